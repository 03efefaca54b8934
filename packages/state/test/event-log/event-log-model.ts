import { type Clock, VirtualClock } from '@chunks/base';
import { seededRandom } from '@chunks/base/testing';
import type { AppendStore } from '@chunks/state/event-log';
import { staleKv } from '@chunks/state/testing';
import { workersKvLog } from '@chunks/state/workers-kv';
import fc from 'fast-check';
import { dying, faultsOf, type TallyLog, tallyLog } from '../support/event-logs.ts';

export const COLOS = 3;
export const LAG_MS = 60_000;

/** One thing that somebody does at some place; nobody waits for it, time goes on by `waitMs`. */
export type Step =
  | { readonly do: 'append'; readonly colo: number; readonly againMs: readonly number[]; readonly waitMs: number }
  | { readonly do: 'read'; readonly colo: number; readonly waitMs: number }
  | { readonly do: 'compact'; readonly colo: number; readonly dieAfter: number; readonly waitMs: number };

const colo = fc.nat({ max: COLOS - 1 });
const waitMs = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.nat({ max: 5_000 }) },
  { weight: 3, arbitrary: fc.nat({ max: 100_000 }) },
  { weight: 1, arbitrary: fc.nat({ max: 600_000 }) },
);
const dieAfter = fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.integer({ min: 1, max: 8 }));
// A caller without a reply asks again, perhaps elsewhere.
const againMs = fc.array(fc.nat({ max: 200_000 }), { maxLength: 2 });

const append = fc.record({ do: fc.constant('append' as const), colo, againMs, waitMs });
const read = fc.record({ do: fc.constant('read' as const), colo, waitMs });
const compact = fc.record({ do: fc.constant('compact' as const), colo, dieAfter, waitMs });

// The dangerous moments: events old enough, compactions one upon the other, and somebody who reads right after.
const shortMs = fc.nat({ max: 20_000 });
const brisk = <S extends Step>(step: fc.Arbitrary<S>): fc.Arbitrary<Step> =>
  fc.tuple(step, shortMs).map(([one, ms]) => ({ ...one, waitMs: ms }));
const rush: fc.Arbitrary<Step[]> = fc
  .tuple(fc.array(append, { minLength: 1, maxLength: 3 }), fc.array(brisk(fc.oneof(compact, read)), { maxLength: 8 }))
  .map(([appends, rest]) => [...appends, { do: 'read', colo: 0, waitMs: 110_000 }, ...rest]);

export const steps: fc.Arbitrary<Step[]> = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: append.map((step): Step[] => [step]) },
      { weight: 2, arbitrary: read.map((step): Step[] => [step]) },
      { weight: 4, arbitrary: compact.map((step): Step[] => [step]) },
      { weight: 2, arbitrary: rush },
    ),
    { minLength: 5, maxLength: 30 },
  )
  .map((parts) => parts.flat());

const skewed = (clock: Clock, skewMs: number): Clock => ({
  now: () => clock.now() + skewMs,
  after: (ms, callback) => clock.after(ms, callback),
  sleep: (ms, signal) => clock.sleep(ms, signal),
});

/** A network that loses one write in six, on the way there, on the way back, or for some minutes. */
function unsteady(inner: AppendStore, clock: Clock, random: () => number): AppendStore {
  return {
    ...inner,
    async put(key, value) {
      const fault = random() * 18;
      if (fault < 1) throw new Error('the request was lost');
      if (fault < 2) {
        clock.after(random() * 300_000, () => void inner.put(key, value).catch(() => undefined));
        throw new Error('on its way');
      }
      await inner.put(key, value);
      if (fault < 3) throw new Error('the reply was lost');
    },
  };
}

/** Runs a program against a plain list of what was appended. @returns what is wrong, which is nothing */
export async function play(program: readonly Step[], seed: number): Promise<string[]> {
  const world = new World(seed);
  for (const step of program) {
    world.take(step);
    await world.pass(step.waitMs);
  }
  return world.end();
}

class World {
  readonly #clock = new VirtualClock();
  readonly #random: () => number;
  readonly #places: readonly AppendStore[];
  readonly #wrong: string[] = [];
  // When each was appended for sure; undefined while that is open.
  readonly #appended = new Map<string, number | undefined>();
  #pending = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    // Calls that take time: virtual time must not run ahead of work that is only promises.
    const kv = staleKv({
      clock: this.#clock,
      random: this.#random,
      colos: COLOS,
      lagMs: LAG_MS,
      pageSize: 3,
      latencyMs: 50,
    });
    this.#places = kv.colos.map((place) => unsteady(workersKvLog(place), this.#clock, this.#random));
  }

  take(step: Step): void {
    if (step.do === 'append') this.#append(step.colo, step.againMs);
    else if (step.do === 'read') void this.#track(this.#read(step.colo));
    else {
      const { store, isDead } = dying(this.#places[step.colo] as AppendStore, step.dieAfter);
      const compacting = this.#log(step.colo, store).compact('log');
      // What the dead wait for never comes, and is not heard.
      if (step.dieAfter === Number.POSITIVE_INFINITY) void this.#track(compacting);
      else void compacting.catch((error: unknown) => isDead() || this.#wrong.push(`compact: ${String(error)}`));
    }
  }

  async pass(ms: number): Promise<void> {
    await this.#clock.advance(ms);
  }

  async end(): Promise<string[]> {
    // Until the last late write has landed, and everybody sees it.
    await this.pass(400_000);
    while (this.#pending > 0) await this.pass(1_000);
    for (let round = 0; round < 4; round++) {
      await this.#finish(
        this.#log(round % COLOS)
          .compact('log')
          .then(() => undefined),
      );
      await this.pass(round === 1 ? 900_000 : 100_000);
    }
    for (let place = 0; place < COLOS; place++) await this.#finish(this.#read(place));
    return this.#wrong;
  }

  #log(place: number, store = this.#places[place] as AppendStore): TallyLog {
    return tallyLog(store, skewed(this.#clock, (place - 1) * 10_000), { rememberMs: 0 });
  }

  #append(place: number, againMs: readonly number[]): void {
    const name = `event ${this.#appended.size}`;
    this.#appended.set(name, undefined);
    const o = againMs.length > 0 || this.#random() < 0.3 ? { id: name } : {};
    const once = async (where: number): Promise<void> => {
      await this.#log(where).append('log', { name }, o);
      this.#appended.set(name, this.#appended.get(name) ?? this.#clock.now());
    };
    void this.#track(once(place));
    for (const [i, ms] of againMs.entries()) {
      void this.#track(this.#clock.sleep(ms).then(() => once((place + i + 1) % COLOS)));
    }
  }

  async #read(place: number): Promise<void> {
    const startedMs = this.#clock.now();
    const due = [...this.#appended].filter(([, ms]) => ms !== undefined && ms + LAG_MS <= startedMs);
    const { state, events } = await this.#log(place).read('log');
    const { doubled } = faultsOf(state, this.#appended.keys());
    const { lost } = faultsOf(
      state,
      due.map(([name]) => name),
    );
    if (doubled.length > 0) this.#wrong.push(`doubled ${doubled}`);
    if (lost.length > 0) this.#wrong.push(`lost ${lost}`);
    if (events !== Object.keys(state.times).length) this.#wrong.push(`${events} events counted`);
  }

  async #track(work: Promise<unknown>): Promise<void> {
    this.#pending++;
    await work.catch((error: unknown) => this.#wrong.push(String(error)));
    this.#pending--;
  }

  async #finish(work: Promise<void>): Promise<void> {
    void this.#track(work);
    while (this.#pending > 0) await this.pass(1_000);
  }
}
