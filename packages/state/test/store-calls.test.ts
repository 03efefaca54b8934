import { VirtualClock } from '@chunks/base/testing';
import { memoryStore, type VersionedStore } from '@chunks/state';
import { expect, test } from 'vitest';
import { pack } from '../src/envelope.ts';
import { StoreCalls } from '../src/store-calls.ts';

const value = (version: number) =>
  pack({ shape: 0, version, json: '{}', writeId: 'w.1', recent: [], forgotten: 0, applied: [] });

function make(store: Partial<VersionedStore>) {
  const clock = new VirtualClock();
  return { clock, calls: new StoreCalls({ store: { ...memoryStore(), ...store }, clock, attemptTimeoutMs: 100 }) };
}

test('a call that never settles is cut, and told by its signal', async () => {
  let signal: AbortSignal | undefined;
  const { clock, calls } = make({
    read: (_, o) => {
      signal = o.signal;
      return new Promise(() => undefined);
    },
  });
  const cut = expect(calls.read('k', 0)).rejects.toThrow('memory did not answer within attemptTimeoutMs 100');
  await clock.advance(99);
  expect(signal?.aborted).toBe(false);
  await clock.advance(1);
  await cut;
  expect(signal?.aborted).toBe(true);
});

test('a call that throws at once is a rejection; no timer is left', async () => {
  const { clock, calls } = make({
    read: () => {
      throw new Error('at once');
    },
  });
  await expect(calls.read('k', 0)).rejects.toThrow('at once');
  expect(clock.pending).toBe(0);
});

test('the round trip is the average of what succeeded, the newest counting most', async () => {
  let takesMs = 10;
  const { clock, calls } = make({ read: (_, o) => clock.sleep(takesMs, o.signal).then(() => undefined) });
  const ask = async () => {
    const answer = calls.read('k', 0).catch(() => undefined);
    await clock.advance(1_000);
    await answer;
    return calls.roundTripMs;
  };
  expect(calls.roundTripMs).toBeUndefined();
  expect(await ask()).toBe(10);
  takesMs = 60;
  expect(await ask()).toBe(20);
  takesMs = 500;
  expect(await ask()).toBe(20);
});

test('remembers the newest version of the keys used last, and of those only', async () => {
  const versions = new Map<string, number>();
  const { calls } = make({
    read: async (key) => ({ value: value(versions.get(key) ?? 5), revision: 'r' }),
  });
  await calls.read('old', 0);
  await calls.read('kept', 0);
  for (let i = 0; i < 1_023; i++) await calls.read(`k${i}`, 0);
  versions.set('old', 4).set('kept', 4);
  await expect(calls.read('kept', 0)).rejects.toMatchObject({ code: 'STORE_REGRESSED', version: 4, lastVersion: 5 });
  expect(await calls.read('old', 0)).toMatchObject({ version: 4 });
});
