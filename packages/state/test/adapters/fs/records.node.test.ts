import { seededRandom } from '@chunks/base/testing';
import { checkLinearizable, type HistoryOperation, type RegisterInput, registerModel } from '@chunks/state/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isSoak, runs } from '../../../../../.ci/testing/runs.ts';
import { Records } from '../../../src/adapters/fs/records.ts';
import { MemoryDisk, type Turn, Turns } from './memory-disk.ts';

const { signal } = new AbortController();
const never = Number.POSITIVE_INFINITY;
const HOUR_MS = 3_600_000;

/** `late`: on what this process saw before that. */
type Action = 'read' | 'write' | 'late write' | 'remove' | 'late remove' | 'list' | 'sweep';
interface Script {
  readonly actions: readonly Action[];
  /** After so many steps of the file system it is killed. */
  readonly livesFor: number;
}

type Value = string | null;
type Operation = HistoryOperation<RegisterInput<Value>, Value | boolean | undefined>;

/** Processes on one record, and what they did and heard. */
class Play {
  readonly disk = new MemoryDisk();
  readonly turns = new Turns();
  readonly history: Operation[] = [];
  readonly errors: unknown[] = [];
  /** Which value each revision names: each is written once, so a value stands for its revision. */
  readonly #values = new Map<string, string>();
  readonly #key: string;
  #now = 0;

  constructor(key: string) {
    this.#key = key;
  }

  /** @param now every draft is old after an hour */
  records(turn = this.turns.process(never), now = 0): Records {
    return new Records({ directory: '/state', files: this.disk.files(turn), now: () => now });
  }

  async act(name: string, actions: readonly Action[], turn: Turn): Promise<void> {
    const records = this.records(turn);
    let [seen, before]: (string | undefined)[] = [];
    for (const [i, action] of actions.entries()) {
      const expected = action.startsWith('late') ? before : seen;
      if (action === 'read') {
        before = seen;
        seen = await this.#read(records, name);
      } else if (action === 'list') {
        for await (const key of records.list('', signal)) expect(key).toBe(this.#key);
      } else if (action === 'sweep') {
        await this.records(turn, HOUR_MS).open();
      } else if (action.endsWith('write')) {
        seen = (await this.write(records, name, `${name} ${i}`, expected)) ?? seen;
      } else if (expected !== undefined) {
        await this.#remove(records, name, expected);
      }
    }
  }

  /** @returns the revision, if it won */
  async write(records: Records, process: string, value: string, expected?: string): Promise<string | undefined> {
    const input = { type: 'compare-and-set', expected: this.#valueOf(expected), value } as const;
    return this.#noted(process, input, async () => {
      const reply = await records.write(this.#key, value, expected, signal);
      if ('conflict' in reply) return { output: false, result: undefined };
      this.#names(reply.revision, value);
      return { output: true, result: reply.revision };
    });
  }

  async #read(records: Records, process: string): Promise<string | undefined> {
    return this.#noted(process, { type: 'read' }, async () => {
      const found = await records.read(this.#key, signal);
      if (found !== undefined) this.#names(found.revision, found.value);
      return { output: found?.value ?? null, result: found?.revision };
    });
  }

  async #remove(records: Records, process: string, expected: string): Promise<void> {
    const input = { type: 'compare-and-set', expected: this.#valueOf(expected), value: null } as const;
    await this.#noted(process, input, async () => ({
      output: await records.remove(this.#key, expected),
      result: undefined,
    }));
  }

  #names(revision: string, value: string): void {
    const before = this.#values.get(revision);
    if (before !== undefined && before !== value) this.errors.push(new Error(`${revision} names two values`));
    this.#values.set(revision, value);
  }

  #valueOf(revision: string | undefined): Value {
    return revision === undefined ? null : (this.#values.get(revision) as string);
  }

  async #noted<R>(
    process: string,
    input: RegisterInput<Value>,
    work: () => Promise<{ output: Value | boolean; result: R }>,
  ): Promise<R | undefined> {
    const begun = { process, input, start: this.#now++ };
    const at = this.history.push({ ...begun, outcome: 'unknown', output: undefined, end: undefined } as Operation) - 1;
    try {
      const { output, result } = await work();
      this.history[at] = { ...begun, outcome: 'done', output, end: this.#now++ } as Operation;
      return result;
    } catch (error) {
      // Only a draft may be swept under the hands of who works on it.
      const { definite, message } = error as Error & { definite?: boolean };
      if (definite !== true || !message.startsWith('ENOENT: /state/drafts/')) this.errors.push(error);
      this.history[at] = { ...begun, outcome: 'failed', output: undefined, end: this.#now++ } as Operation;
      return undefined;
    }
  }
}

const script = fc.record<Script>({
  actions: fc.array(
    fc.constantFrom<Action>('read', 'read', 'write', 'write', 'late write', 'remove', 'late remove', 'list', 'sweep'),
    { minLength: 2, maxLength: 9 },
  ),
  livesFor: fc.oneof(fc.constant(never), fc.integer({ min: 5, max: 80 })),
});

/** All that must hold when everybody is done or dead. */
async function checkEnd(play: Play, key: string, random: () => number): Promise<void> {
  const ended = async <T>(work: Promise<T>): Promise<T> => {
    await play.turns.run(random);
    return work;
  };
  expect(play.errors).toEqual([]);
  // The record is whole, and goes on.
  const records = play.records();
  const found = await ended(records.read(key, signal));
  const value = JSON.stringify({ after: found?.value });
  const reply = await ended(records.write(key, value, found?.revision, signal));
  expect(reply).toHaveProperty('revision');
  expect(await ended(records.read(key, signal))).toEqual({ value, ...reply });
  const keys: string[] = [];
  const listing = (async () => {
    for await (const one of records.list('', signal)) keys.push(one);
  })();
  await ended(listing);
  expect(keys).toEqual([key]);
  const [start, end] = [1_000_000, 1_000_001];
  play.history.push({ input: { type: 'read' }, outcome: 'done', output: found?.value ?? null, start, end });
  const order = checkLinearizable(play.history, registerModel<Value>(null));
  expect(order.ok ? '' : order.explanation).toBe('');
  // Of what the dead and the losers left nothing is there, but what the next sweep takes.
  expect(play.disk.paths().filter((path) => path.startsWith('/state/keys/'))).toHaveLength(key.length > 200 ? 4 : 3);
  await ended(play.records(play.turns.process(never), HOUR_MS).open());
  expect(play.disk.paths().filter((path) => path.startsWith('/state/drafts/'))).toEqual([]);
}

test('whatever the order of all steps of all processes, and whoever dies: one after the other, none lost, nothing left', async () => {
  const key = fc.constantFrom('key', 'k'.repeat(300));
  await fc.assert(
    fc.asyncProperty(fc.array(script, { minLength: 2, maxLength: 4 }), fc.nat(), key, async (scripts, seed, key) => {
      const play = new Play(key);
      const random = seededRandom(seed);
      const acts = scripts.map(({ actions, livesFor }, i) =>
        play.act(`process ${i}`, actions, play.turns.process(livesFor)),
      );
      await play.turns.run(random);
      // Those who are killed never end.
      await Promise.all(acts.filter((_, i) => scripts[i]?.livesFor === never));
      await checkEnd(play, key, random);
    }),
    { numRuns: runs(400) },
  );
});

// Every pair of steps in the soak; otherwise some, other ones for each step of the first.
const STRIDE = isSoak ? 1 : 2;

const SCRIPTS: readonly (readonly Action[])[] = [
  ['sweep', 'write'],
  ['read', 'write'],
  ['read', 'remove', 'write'],
  ['list', 'read', 'remove'],
];

test('each of two processes interrupted at each of its steps by the other: nothing is lost or seen that is not so', async () => {
  const random = seededRandom(1);
  for (const first of SCRIPTS) {
    for (const second of SCRIPTS) {
      // The one stops after `i` steps, the other after `j`, then both go on: until neither has so many.
      for (let i = 0, hasMore = true; hasMore; i++) {
        for (let [j, hasOtherMore] = [i % STRIDE, true]; hasOtherMore; j += STRIDE) {
          const play = new Play('key');
          const written = play.act('before', ['write'], play.turns.process(never));
          await play.turns.run(random);
          await written;
          const [one, other] = [play.turns.process(never), play.turns.process(never)];
          const acts = [play.act('one', first, one), play.act('other', second, other)];
          for (let n = 0; n < i; n++) hasMore = await play.turns.step(one);
          for (let n = 0; n < j; n++) hasOtherMore = await play.turns.step(other);
          while (await play.turns.step(one));
          await play.turns.run(random);
          await Promise.all(acts);
          await checkEnd(play, 'key', random);
        }
      }
    }
  }
});
