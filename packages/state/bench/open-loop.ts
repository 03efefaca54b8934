// Updates that come when they come, whether earlier ones are done or not, as requests to a server do.
import { seededRandom } from '@chunks/base/testing';
import { score, table } from '../../base/bench/interleave.ts';
import type { Tuning } from './by-hand.ts';
import { type Ground, STATE, type Way, waysOn } from './subjects.ts';

const SECONDS = 2;
const ROUNDS = 5;
/** What is not done so long after its call has failed its caller. */
const GIVE_UP_MS = 3_000;

interface Taken {
  readonly p50: number;
  readonly p99: number;
  readonly lateShare: number;
}

async function arrivals(way: Way, key: string, aSecond: number, seed: number): Promise<Taken> {
  const random = seededRandom(seed);
  const stop = new AbortController();
  const update = way.on(key, stop.signal);
  const tookMs: number[] = [];
  const running: Promise<unknown>[] = [];
  const startMs = performance.now();
  let nextMs = 0;
  while (nextMs < SECONDS * 1_000) {
    const nowMs = performance.now() - startMs;
    for (; nextMs <= nowMs; nextMs += (-Math.log(1 - random()) * 1_000) / aSecond) {
      // From the moment when it was due: who is held up by a busy loop waits, too.
      const dueMs = startMs + nextMs;
      const done = update((doc) => void doc.n++).then(() => tookMs.push(performance.now() - dueMs));
      running.push(done.catch(() => undefined));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.race([Promise.all(running), new Promise((resolve) => setTimeout(resolve, GIVE_UP_MS).unref())]);
  const late = running.length - tookMs.length;
  const all = [...tookMs, ...Array<number>(late).fill(GIVE_UP_MS)].sort((a, b) => a - b);
  stop.abort();
  await Promise.all(running);
  const at = (share: number): number => all[Math.floor(all.length * share)] ?? 0;
  return { p50: at(0.5), p99: at(0.99), lateShare: late / all.length };
}

/** Latencies of the three ways at one rate of arrivals. */
export async function openLoop({ title, store }: Ground, aSecond: number, tuning: Tuning): Promise<void> {
  const ways = waysOn(store, tuning);
  const taken = new Map<string, Taken[]>(ways.map(({ name }) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (let turn = 0; turn < ways.length; turn++) {
      const way = ways[(round + turn) % ways.length] as Way;
      taken.get(way.name)?.push(await arrivals(way, `open-${aSecond}-${round}-${way.name}`, aSecond, round + 1));
    }
  }
  for (const what of ['p50', 'p99'] as const) {
    const values = (name: string): number[] => (taken.get(name) ?? []).map((one) => one[what]);
    const scores = ways.map(({ name }) => score(name, values(name), values(STATE)));
    console.log(table(`${aSecond} arrivals a second on one key, ${title}, ${what}`, scores));
  }
  for (const [name, all] of taken) {
    const late = Math.max(...all.map(({ lateShare }) => lateShare));
    if (late > 0) console.log(`${name}: up to ${(100 * late).toFixed(0)} % not done after ${GIVE_UP_MS} ms\n`);
  }
}
