import { settle, VirtualClock } from '@chunks/base/testing';
import * as api from '@chunks/state';
import { createState, isStateError, memoryStore, type State, type StateOptions } from '@chunks/state';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { codeOf, drive, scripted } from './support/stores.ts';

interface Doc {
  n: number;
}
const make = (o: Partial<StateOptions<Doc>> = {}): State<Doc> =>
  createState({ store: memoryStore(), initial: () => ({ n: 0 }), ...o });

test('a key longer than the store takes is refused by every call before the store hears of it', async () => {
  const store = scripted({ ...memoryStore(), capabilities: { ...memoryStore().capabilities, maxKeyBytes: 4 } }, []);
  const state = make({ store });
  for (const key of ['12345', 'ééé', '\ud800\ud800']) {
    const refused = {
      name: 'RangeError',
      message: expect.stringContaining('key must be at most 4 bytes on this store'),
    };
    await expect(state.get(key)).rejects.toMatchObject(refused);
    await expect(state.update(key, (draft) => void draft.n++)).rejects.toMatchObject(refused);
    await expect(state.delete(key)).rejects.toMatchObject(refused);
  }
  expect(store.counts).toEqual({ reads: 0, writes: 0 });
  await expect(state.update('éé', (draft) => void draft.n++)).resolves.toMatchObject({ version: 1 });
});

describe('get', () => {
  test('undefined when there is none, else a copy of the state with its version', async () => {
    const state = make();
    expect(await state.get('k')).toBeUndefined();
    await state.update('k', (draft) => void draft.n++);
    const record = await state.get('k');
    expect(record).toEqual({ state: { n: 1 }, version: 1 });
    if (record) record.state.n = 99;
    expect(await state.get('k')).toEqual({ state: { n: 1 }, version: 1 });
  });

  test('tries again when the store fails, up to 20 times and 30 s', async () => {
    const clock = new VirtualClock();
    const store = scripted(memoryStore(), [], ['lose-request', 'hang-before'], clock);
    expect(await drive(clock, make({ store, clock }).get('k'))).toBeUndefined();
    const dead = scripted(memoryStore(), [], Array(100).fill('lose-request'), clock);
    const error = await drive(
      clock,
      make({ store: dead, clock })
        .get('k')
        .catch((error) => error),
    );
    expect(error).toMatchObject({
      code: 'STORE_UNAVAILABLE',
      attempts: 20,
      cause: { message: 'the connection was cut' },
    });
    const hanging = scripted(memoryStore(), [], Array(100).fill('hang-before'), clock);
    const late = await drive(
      clock,
      make({ store: hanging, clock, attemptTimeoutMs: 10_000 })
        .get('k')
        .catch((error) => error),
    );
    expect(late).toMatchObject({ code: 'STORE_UNAVAILABLE', attempts: 3 });
  });

  test('an abort leaves at once, also from a call that hangs or a wait', async () => {
    const clock = new VirtualClock();
    for (const fault of ['hang-before', 'lose-request'] as const) {
      const state = make({
        store: scripted(memoryStore(), [], Array(9).fill(fault), clock),
        clock,
        retry: { maxMs: 1e6, baseMs: 1e5 },
      });
      const controller = new AbortController();
      const end = state.get('k', { signal: controller.signal });
      await settle();
      const reason = new Error('gone');
      controller.abort(reason);
      await expect(end).rejects.toBe(reason);
    }
  });
});

describe('close', () => {
  test('takes nothing new, waits for what was accepted, then closes the store', async () => {
    const clock = new VirtualClock();
    let closed = 0;
    const inner = memoryStore();
    const store = {
      ...inner,
      write: (...all: Parameters<typeof inner.write>) => clock.sleep(50).then(() => inner.write(...all)),
      close: async () => {
        closed++;
      },
    };
    const state = make({ store, clock });
    const accepted = state.update('k', (draft) => ++draft.n);
    const closing = state.close();
    await clock.advance(10);
    expect(closed).toBe(0);
    for (const refused of [state.get('k'), state.update('k', () => 1), state.delete('k')]) {
      await expect(refused).rejects.toMatchObject({ code: 'STATE_CLOSED', retryable: false });
    }
    await drive(clock, closing);
    expect(await accepted).toMatchObject({ version: 1 });
    await state.close();
    await state[Symbol.asyncDispose]();
    expect(closed).toBe(1);
  });
});

describe('limits', () => {
  test('PENDING_FULL above maxPending, all keys together, and room again afterwards', async () => {
    const state = make({ coalesce: { maxPending: 3 } });
    const all = ['a', 'b', 'a', 'c'].map((key) => state.update(key, (draft) => ++draft.n).catch((error) => error));
    expect((await Promise.all(all))[3]).toMatchObject({ code: 'PENDING_FULL', limit: 3, retryable: true, key: 'c' });
    expect(await state.update('c', () => 1)).toMatchObject({ version: 1 });
  });

  test('nothing is left behind: no timer, and no memory of a key that is at rest', async () => {
    const clock = new VirtualClock();
    const state = make({ clock });
    await Promise.all(Array.from({ length: 100 }, (_, i) => state.update(`${i}`, () => 1)));
    await settle();
    expect(clock.pending).toBe(0);
  });
});

test('stats count what happened', async () => {
  const state = make();
  await Promise.all(Array.from({ length: 10 }, () => state.update('k', (draft) => ++draft.n)));
  await state.update('k', () => Promise.reject(new Error('no'))).catch(() => undefined);
  await state.delete('k');
  const stats = state.stats();
  expect(stats).toMatchObject({
    updates: 12,
    commits: 2,
    attempts: 2,
    conflicts: 0,
    recovered: 0,
    ambiguous: 0,
    rejected: 1,
  });
  expect([stats.batch.count, stats.batch.sum, stats.batch.max, stats.latency.count]).toEqual([2, 11, 10, 12]);
});

describe('bad input', () => {
  test.each<[string, object, string]>([
    ['no store', { store: undefined }, 'store must be a VersionedStore, but is undefined'],
    ['half a store', { store: { read() {} } }, 'store must be a VersionedStore'],
    ['initial', { initial: {} }, 'initial must be a function'],
    ['codec', { codec: { encode: () => '' } }, 'codec.decode must be a function'],
    ['retry.baseMs', { retry: { baseMs: 0 } }, 'retry.baseMs must be a number ≥ 0.001, but is 0'],
    ['retry.maxMs', { retry: { baseMs: 5, maxMs: 4 } }, 'retry.maxMs must be a number ≥ 5, but is 4'],
    [
      'retry.jitter',
      { retry: { jitter: 'half' } },
      'retry.jitter must be one of "full", "decorrelated", "none", but is "half"',
    ],
    ['retry.spreadMs', { retry: { spreadMs: Number.NaN } }, 'retry.spreadMs must be'],
    ['coalesce.maxBatch', { coalesce: { maxBatch: 0 } }, 'coalesce.maxBatch must be an integer ≥ 1, but is 0'],
    ['coalesce.maxPending', { coalesce: { maxPending: 1.5 } }, 'coalesce.maxPending must be'],
    ['attemptTimeoutMs', { attemptTimeoutMs: 0 }, 'attemptTimeoutMs must be'],
    ['remember.commits', { remember: { commits: 0 } }, 'remember.commits must be'],
    ['remember.keys', { remember: { keys: -1 } }, 'remember.keys must be'],
    ['remember.maxBytes', { remember: { maxBytes: 1 } }, 'remember.maxBytes must be an integer ≥ 64'],
  ])('%s', (_, o, message) => {
    expect(() => make(o)).toThrow(message);
  });

  test.each<[string, (state: State<Doc>) => Promise<unknown>, string]>([
    ['key', (state) => state.get(7 as never), 'key must be a string, but is 7'],
    ['key of update', (state) => state.update(undefined as never, () => 1), 'key must be a string'],
    ['updater', (state) => state.update('k', {} as never), 'updater must be a function'],
    ['no updater', (state) => state.update('k', undefined as never), 'updater must be a function'],
    ['maxAttempts', (state) => state.update('k', () => 1, { maxAttempts: 0 }), 'maxAttempts must be'],
    ['timeoutMs', (state) => state.update('k', () => 1, { timeoutMs: -1 }), 'timeoutMs must be'],
    ['ifVersion', (state) => state.update('k', () => 1, { ifVersion: '1' as never }), 'ifVersion must be a number'],
    ['ifVersion of delete', (state) => state.delete('k', { ifVersion: 0.5 }), 'ifVersion must be'],
    ['idempotencyKey', (state) => state.update('k', () => 1, { idempotencyKey: '' }), 'idempotencyKey must be'],
  ])('%s', async (_, call, message) => {
    const state = make();
    const error = (await call(state).catch((error) => error)) as Error;
    expect(error.message).toContain(message);
    expect([TypeError.name, RangeError.name]).toContain(error.constructor.name);
    expect(state.stats().updates).toBe(0);
  });
});

test('errors: a class each, narrowed by code', async () => {
  const error: unknown = await make()
    .update('k', () => 1, { ifVersion: 3 })
    .catch((error) => error);
  expect(isStateError(error)).toBe(true);
  expect(isStateError(new Error('other'))).toBe(false);
  if (isStateError(error) && error.code === 'UPDATE_CONFLICT') expectTypeOf(error.lastVersion).toBeNumber();
  expect(error).toBeInstanceOf(api.UpdateConflictError);
  expect(error).toBeInstanceOf(api.StateError);
  expect(codeOf(error)).toBe('UPDATE_CONFLICT');
  expect((error as Error).name).toBe('UpdateConflictError');
});

test('types: the result is the updater’s, and may be a replay only with a key', () => {
  const types = async (state: State<Doc>) => {
    const plain = await state.update('k', (draft) => String(draft.n));
    expectTypeOf(plain.result).toBeString();
    expectTypeOf(plain.replayed).toEqualTypeOf<false>();
    const waits = await state.update('k', async (draft) => draft.n);
    expectTypeOf(waits.result).toBeNumber();
    const keyed = await state.update('k', (draft) => draft.n, { idempotencyKey: 'a' });
    expectTypeOf(keyed.result).toBeUnknown();
    if (!keyed.replayed) expectTypeOf(keyed.result).toBeNumber();
    const skipped = await state.update('k', (draft, { skip }) => (draft.n > 0 ? skip('no' as const) : draft.n));
    expectTypeOf(skipped.result).toEqualTypeOf<'no' | number>();
  };
  expect(types).toBeTypeOf('function');
});
