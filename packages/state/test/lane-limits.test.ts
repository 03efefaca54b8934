import { settle, VirtualClock } from '@chunks/base/testing';
import { createState, memoryStore, type StateOptions, type VersionedStore } from '@chunks/state';
import type { StoreFault } from '@chunks/state/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../.ci/testing/runs.ts';
import { bytesOf } from '../src/envelope.ts';
import { codeOf, drive, outcomes, recording, scripted } from './support/stores.ts';

interface Doc {
  log: string[];
}

const make = (store: VersionedStore, o: Partial<StateOptions<Doc>> = {}) =>
  createState<Doc>({ store, initial: () => ({ log: [] }), random: () => 0.5, ...o });
const push = (name: string) => (draft: Doc) => void draft.log.push(name);

/** Refuses values over a limit that it declares nowhere. */
function narrow(limit: number, tells: boolean) {
  const inner = recording(memoryStore());
  const counts = { writes: 0 };
  const store: VersionedStore & { history: typeof inner.history; counts: typeof counts } = {
    ...inner,
    counts,
    write: async (key, value, expected, o) => {
      counts.writes++;
      if (bytesOf(value) <= limit) return inner.write(key, value, expected, o);
      const error = new TypeError('payload violation');
      throw Object.assign(error, { definite: true, code: 'VALUE_TOO_LARGE', ...(tells && { limit }) });
    },
  };
  return store;
}

// What fits alone, and what never does.
const size = fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 400 }) }, fc.integer({ min: 600, max: 700 }));

describe('a limit that only the write brings to light', () => {
  test.each([true, false])('those who do not fit are rejected, the others written (limit told: %s)', async (tells) => {
    await fc.assert(
      fc.asyncProperty(fc.array(size, { minLength: 1, maxLength: 12 }), async (sizes) => {
        const store = narrow(600, tells);
        const ends = await outcomes(sizes.map((size, i) => make(store).update(`${i}`, push('x'.repeat(size)))));
        expect(ends.map((end) => typeof end === 'object' || end)).toEqual(
          sizes.map((size) => size < 600 || 'VALUE_TOO_LARGE'),
        );
        // All in one commit: who goes over the limit, in the order of the calls, is out.
        const state = make(store, { remember: { commits: 1 } });
        const together = await outcomes(sizes.map((size) => state.update('k', push('x'.repeat(size)))));
        const done = sizes.filter((_, i) => typeof together[i] === 'object');
        const value = store.history.findLast(({ key }) => key === 'k')?.value ?? '{"state":{"log":[]}}';
        expect(JSON.parse(value).state.log.map((text: string) => text.length)).toEqual(done);
        expect(together.filter((end) => typeof end === 'string' && end !== 'VALUE_TOO_LARGE')).toEqual([]);
        expect(store.history.filter(({ key }) => key === 'k')).toHaveLength(done.length > 0 ? 1 : 0);
        if (done.length === 0 || done.length === sizes.length) return;
        // One refusal is enough to know.
        if (tells) expect(store.counts.writes).toBe(sizes.length + 2);
        // The first who is out would really have been too much.
        const lengthOf = (texts: readonly number[]) => texts.reduce((sum, length) => sum + length + 3, 0);
        const head = bytesOf(value) - lengthOf(done);
        const first = sizes.slice(0, together.indexOf('VALUE_TOO_LARGE') + 1);
        expect(head + lengthOf(first)).toBeGreaterThan(600);
      }),
      { numRuns: runs(60) },
    );
  });

  test('the error tells bytes and limit; it costs no attempt; the next update is not held up', async () => {
    const store = narrow(300, true);
    const state = make(store);
    const large = state.update('k', push('x'.repeat(400)), { maxAttempts: 1 });
    const small = state.update('k', push('y'), { maxAttempts: 1 });
    const error = await large.catch((error) => error);
    expect(error).toMatchObject({ code: 'VALUE_TOO_LARGE', what: 'the record', limit: 300, retryable: false });
    expect(error.bytes).toBeGreaterThan(400);
    expect(await small).toMatchObject({ version: 1, attempts: 1, state: { log: ['y'] } });
    expect(store.counts.writes).toBe(2);
  });
});

describe('attempts', () => {
  test('a round for another one’s sake is none: nothing failed', async () => {
    const clock = new VirtualClock();
    const inner = memoryStore();
    const state = make(inner, { clock });
    const slow = state.update('k', () => clock.sleep(50), { timeoutMs: 20 }).catch(codeOf);
    const left = state.update('k', push('left'), { timeoutMs: 20 }).catch(codeOf);
    const seen: number[] = [];
    const ends = [1, 2].map(() =>
      state.update(
        'k',
        async (draft, { attempt }) => {
          seen.push(attempt);
          await clock.sleep(50);
          draft.log.push('stays');
        },
        { maxAttempts: 1 },
      ),
    );
    expect(await drive(clock, Promise.all([slow, left]))).toEqual(['UPDATE_TIMEOUT', 'UPDATE_TIMEOUT']);
    expect(await drive(clock, Promise.all(ends))).toMatchObject([{ attempts: 1 }, { attempts: 1, batched: 2 }]);
    expect(new Set(seen)).toEqual(new Set([1]));
  });

  test('what is decided without a write is tried once, also where it had to be looked at again', async () => {
    const inner = memoryStore();
    const state = make(inner);
    const [, skipped] = await Promise.all([
      state.update('k', push('a')),
      settle().then(() => state.update('k', (draft, { skip }) => skip(draft.log.length), { maxAttempts: 1 })),
    ]);
    expect(skipped).toMatchObject({ result: 1, attempts: 1 });
  });

  test('conflicts and failures each cost one', async () => {
    const clock = new VirtualClock();
    const faults: StoreFault[] = ['lose-request', 'refuse', 'lose-request'];
    const store = scripted(memoryStore(), faults, ['lose-request'], clock);
    // The read that failed, and three writes.
    expect(await drive(clock, make(store, { clock }).update('k', push('a')))).toMatchObject({ attempts: 5 });
  });
});
