import { VirtualClock } from '@chunks/base/testing';
import { memoryStore, type VersionedStore } from '@chunks/state';
import { describe, expect, test } from 'vitest';
import { pack, unpack } from '../src/envelope.ts';
import { StoreCalls } from '../src/store-calls.ts';
import { codeOf } from './support/stores.ts';

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

test('a clock that is set back meanwhile makes no round trip shorter than nothing', async () => {
  const clock = new VirtualClock();
  const times = [5_000, 1_000];
  const setBack = {
    after: clock.after.bind(clock),
    sleep: clock.sleep.bind(clock),
    now: () => times.shift() ?? clock.now(),
  };
  const calls = new StoreCalls({ store: memoryStore(), clock: setBack, attemptTimeoutMs: 100 });
  await calls.peek('k');
  expect([calls.roundTripMs, times]).toEqual([0, []]);
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

describe('a store that goes back', () => {
  const HOUR_MS = 3_600_000;
  const tombstone = (version: number, deletedAtMs: number) =>
    pack({ shape: 0, version, json: undefined, deletedAtMs, writeId: 'w.1', recent: [], forgotten: 0, applied: [] });
  /** What is read after what was read before, some time later. */
  async function after(before: (nowMs: number) => string, now: string | undefined, laterMs: number) {
    let stands: string | undefined;
    const { clock, calls } = make({
      read: async () => (stands === undefined ? undefined : { value: stands, revision: 'r' }),
    });
    stands = before(clock.now());
    await calls.read('k', 0);
    await clock.advance(laterMs);
    stands = now;
    return calls.read('k', 0).then(({ version }) => version, codeOf);
  }

  test.each<[string, (nowMs: number) => string, string | undefined, number, string | number]>([
    ['that lost a record', () => value(5), undefined, HOUR_MS - 1, 'STORE_REGRESSED'],
    ['that shows an older one', () => value(5), value(4), HOUR_MS - 1, 'STORE_REGRESSED'],
    // After that it may have been deleted and purged.
    ['an hour later', () => value(5), undefined, HOUR_MS, 0],
    ['an hour later, created anew', () => value(5), value(1), HOUR_MS, 1],
    ['that lost a tombstone, which means the same as none', (nowMs) => tombstone(5, nowMs), undefined, 0, 0],
    ['where what was deleted stands again', (nowMs) => tombstone(5, nowMs), value(4), HOUR_MS - 1, 'STORE_REGRESSED'],
    ['where it was deleted over an hour ago', (nowMs) => tombstone(5, nowMs - HOUR_MS), value(1), 0, 1],
  ])('%s', async (_, before, now, laterMs, end) => {
    expect(await after(before, now, laterMs)).toBe(end);
  });

  test('what was committed while a read was under way is not forgotten over its older answer', async () => {
    let stands = value(5);
    const answers: (() => void)[] = [];
    const { calls } = make({
      read: () => {
        const answer = { value: stands, revision: 'r' };
        return new Promise((resolve) => void answers.push(() => resolve(answer)));
      },
    });
    const slow = calls.read('k', 0);
    calls.saw('k', { ...unpack('k', { value: value(6), revision: 'r' }, 0) });
    answers[0]?.();
    expect(await slow).toMatchObject({ version: 5 });
    stands = value(5);
    const next = calls.read('k', 0);
    answers[1]?.();
    expect(await next.catch(codeOf)).toBe('STORE_REGRESSED');
  });
});
