import { seededRandom } from '@chunks/base/testing';
import { memoryStore, type VersionedStore } from '@chunks/state';
import { expect, test } from 'vitest';
import { bareHistory, counterHistory, registerHistory } from '../../src/testing/history-programs.ts';
import { HistoryTrial } from '../../src/testing/history-trial.ts';

/** A store that counts, and how one trial of it went. */
async function ran(
  program: (trial: HistoryTrial) => Promise<void>,
  change: (store: VersionedStore) => Partial<VersionedStore> = () => ({}),
) {
  const counts = { reads: 0, writes: 0, conflicts: 0, keys: new Set<string>() };
  const inner = memoryStore();
  const counting: VersionedStore = {
    ...inner,
    async read(key, o) {
      counts.reads++;
      return inner.read(key, o);
    },
    async write(key, value, expected, o) {
      counts.writes++;
      counts.keys.add(key);
      const reply = await inner.write(key, value, expected, o);
      if ('conflict' in reply) counts.conflicts++;
      return reply;
    },
    close: async () => undefined,
  };
  const trial = new HistoryTrial(
    { open: () => ({ ...counting, ...change(counting) }) },
    { random: seededRandom(5), attemptTimeoutMs: 20 },
  );
  await program(trial).finally(() => trial.end());
  return counts;
}

test.each([
  ['register', registerHistory, 2],
  ['counter', counterHistory, 1],
  ['bare store', bareHistory, 1],
])('of a %s: many reads, writes, and clients that meet', async (_, program, keys) => {
  const counts = await ran(program);
  expect(counts.keys.size).toBe(keys);
  expect(Math.min(counts.reads, counts.writes - counts.conflicts, counts.conflicts)).toBeGreaterThan(15);
});

test('updates of a counter share commits', async () => {
  // 200 operations, 70 % of them additions.
  const { writes, conflicts } = await ran(counterHistory);
  expect(writes - conflicts).toBeLessThan(130);
});

test('calls that never settle are given up, and are unknown', async () => {
  for (const program of [registerHistory, counterHistory, bareHistory]) {
    let calls = 0;
    await ran(program, (store) => ({
      write: async (...all) => (++calls % 30 === 0 ? new Promise(() => undefined) : store.write(...all)),
    }));
    expect(calls).toBeGreaterThan(30);
  }
});

test('updates of which nobody learns what became are unknown', async () => {
  let lost = 0;
  const blacksOut = (store: VersionedStore): Partial<VersionedStore> => {
    let writes = 0;
    let blind = 0;
    return {
      async write(...all) {
        const reply = await store.write(...all);
        if ('conflict' in reply || ++writes % 8 > 0) return reply;
        lost++;
        // Longer than an update is tried.
        blind = 12;
        throw new Error('written, and lost');
      },
      async read(...all) {
        if (blind-- > 0) throw new Error('not reached');
        return store.read(...all);
      },
    };
  };
  for (const program of [registerHistory, counterHistory]) await ran(program, blacksOut);
  expect(lost).toBeGreaterThan(10);
});

test('a version that nobody has is told, though all counts are right', async () => {
  const skips = (store: VersionedStore): Partial<VersionedStore> => ({
    write: (key, value, ...rest) => store.write(key, value.replace('"version":20,', '"version":21,'), ...rest),
  });
  await expect(ran(counterHistory, skips)).rejects.toThrow('nobody has version 21 index 0, and only 0 are unknown');
});

test('an error that no store may cause is no outcome, and what nobody wrote has no place', async () => {
  let reads = 0;
  const corrupt = (store: VersionedStore): Partial<VersionedStore> => ({
    read: async (...all) => (++reads === 50 ? { value: 'no record', revision: '1' } : store.read(...all)),
  });
  await expect(ran(registerHistory, corrupt)).rejects.toMatchObject({ code: 'CORRUPT_RECORD' });
  reads = 0;
  await expect(ran(bareHistory, corrupt)).rejects.toThrow('"value":"no record"');
});
