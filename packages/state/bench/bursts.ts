// Crowds on one hot key, which is where sharing a write shines, and one updater alone, which it must not slow down.
import { type Contender, interleave, median, table } from '../../base/bench/interleave.ts';
import { fullJitter, type Tuning, tune } from './by-hand.ts';
import { counted, type Doc, expectCount, type Ground, STATE, type Way, waysOn } from './subjects.ts';

let keys = 0;
const freshKey = (): string => `burst-${++keys}`;
const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;

/** A crowd. */
export interface Burst {
  readonly title: string;
  readonly updaters: number;
  /** Updates of each, one after the other. */
  readonly each: number;
  /** What an updater waits for, in ms. */
  readonly slowMs?: number;
  readonly ballastBytes?: number;
}

const increment = (slowMs: number | undefined) =>
  slowMs === undefined
    ? (doc: Doc): void => void doc.n++
    : async (doc: Doc): Promise<void> => {
        await new Promise((resolve) => setTimeout(resolve, slowMs));
        doc.n++;
      };

async function crowd(way: Way, key: string, { updaters, each, slowMs }: Burst): Promise<number[]> {
  const update = way.on(key);
  const change = increment(slowMs);
  const tookMs: number[] = [];
  await Promise.all(
    Array.from({ length: updaters }, async () => {
      for (let i = 0; i < each; i++) {
        const startMs = performance.now();
        await update(change);
        tookMs.push(performance.now() - startMs);
      }
    }),
  );
  return tookMs.sort((a, b) => a - b);
}

/** The best waits of a loop on this store. */
export async function tunedFor({ store }: Ground, updaters: number): Promise<Tuning> {
  const { signal } = new AbortController();
  return tune(async (tuning) => {
    const key = freshKey();
    const loop = () =>
      fullJitter(
        store,
        key,
        () => ({ n: 0, ballast: '' }),
        (doc) => void doc.n++,
        tuning,
        signal,
      );
    await Promise.all(Array.from({ length: updaters }, loop));
  });
}

/** Wall time, attempts per update and the slowest of a hundred, for the three ways. */
export async function burst(ground: Ground, shape: Burst, tuning: Tuning): Promise<void> {
  const store = counted(ground.store);
  const ways = waysOn(store, tuning, 'x'.repeat(shape.ballastBytes ?? 0));
  const count = shape.updaters * shape.each;
  const attempts = new Map<string, number[]>();
  const p99 = new Map<string, number[]>();
  const contenders = ways.map((way): Contender => {
    let key = '';
    return {
      name: way.name,
      before: () => {
        key = freshKey();
        store.writes = 0;
      },
      run: async () => {
        const startMs = performance.now();
        const tookMs = await crowd(way, key, shape);
        const wallMs = performance.now() - startMs;
        attempts.set(way.name, [...(attempts.get(way.name) ?? []), store.writes / count]);
        p99.set(way.name, [...(p99.get(way.name) ?? []), percentile(tookMs, 0.99)]);
        return wallMs;
      },
      after: () => expectCount(store, key, count),
    };
  });
  const scores = await interleave(contenders, { rounds: 5, drop: 1 });
  const { baseMs, maxMs } = tuning;
  console.log(table(`${shape.title}, ${ground.title} (loop: ${baseMs} to ${maxMs} ms)`, scores));
  const own = median(p99.get(STATE) ?? []);
  for (const [name, values] of p99) {
    const perUpdate = median(attempts.get(name) ?? []).toPrecision(2);
    console.log(
      `${name}: ${perUpdate} attempts per update; p99 ${median(values).toFixed(1)} ms, ${(median(values) / own).toFixed(1)} ×`,
    );
  }
  console.log();
}

/** One update after the other, against a bare read and conditional write. */
export async function alone(ground: Ground, updates: number): Promise<void> {
  const { store } = ground;
  const ways = waysOn(store, { baseMs: 2, maxMs: 200 });
  const contender = (name: string, way: Way | undefined): Contender => {
    let key = '';
    return {
      name,
      before: () => {
        key = freshKey();
      },
      run: async () => {
        const update = way?.on(key);
        for (let i = 0; i < updates; i++) {
          await update?.((doc) => void doc.n++);
          // Lets the record at hand go, so that both sides read and write.
          await new Promise((resolve) => setImmediate(resolve));
        }
      },
      after: () => expectCount(store, key, updates),
    };
  };
  const [own, , loop] = ways;
  const scores = await interleave([contender('bare read and conditional write', loop), contender(STATE, own)], {
    rounds: 15,
    drop: 3,
  });
  console.log(table(`${updates} updates one after the other, ${ground.title}`, scores));
}
