import { VirtualClock } from '@chunks/base';
import { ValueTooLargeError } from '@chunks/state';
import type { AppendStore } from '@chunks/state/event-log';
import { memoryAppendStore } from '@chunks/state/testing';
import { describe, expect, test } from 'vitest';
import { LogCalls, onEach, within } from '../../src/event-log/log-calls.ts';
import { drive } from '../support/event-logs.ts';

type Outcome = Error | 'ok' | 'hang';

const refused = (): Error => Object.assign(new Error('429'), { definite: true });
const lost = (): Error => new Error('lost');

/** A store whose puts fare as listed, then well. */
function scripted(...outcomes: Outcome[]): { store: AppendStore; calls: () => number } {
  const inner = memoryAppendStore();
  let calls = 0;
  const fare = async <T>(call: () => Promise<T>): Promise<T> => {
    calls++;
    const outcome = outcomes.shift() ?? 'ok';
    if (outcome === 'hang') return new Promise<T>(() => undefined);
    if (outcome !== 'ok') throw outcome;
    return call();
  };
  return {
    calls: () => calls,
    store: {
      name: 'scripted',
      put: (key, value) => fare(() => inner.put(key, value)),
      get: (key) => fare(() => inner.get(key)),
      list: (prefix, cursor) => fare(() => inner.list(prefix, cursor)),
      delete: (key) => fare(() => inner.delete(key)),
    },
  };
}

const times = (count: number, make: () => Outcome): Outcome[] => Array.from({ length: count }, make);

describe('LogCalls', () => {
  test('what fails is tried again, for each kind of call', async () => {
    const clock = new VirtualClock();
    const { store, calls } = scripted(lost(), refused(), 'ok', lost(), 'ok', lost(), 'ok', lost(), 'ok');
    const log = new LogCalls(store, clock);
    await drive(clock, log.put('k', 'k/e/1', 'one'));
    expect(await drive(clock, log.get('k', 'k/e/1'))).toBe('one');
    expect(await drive(clock, log.list('k', 'k/e/'))).toEqual(new Set(['1']));
    await drive(clock, log.delete('k', 'k/e/1'));
    expect(calls()).toBe(9);
    expect(await log.get('k', 'k/e/1')).toBeUndefined();
    expect(clock.pending).toBe(0);
  });

  test('a write that failed every time is unavailable when surely nothing was written, else ambiguous', async () => {
    for (const [outcomes, code] of [
      [times(10, refused), 'STORE_UNAVAILABLE'],
      [[...times(4, refused), lost(), ...times(5, refused)], 'UPDATE_AMBIGUOUS'],
    ] as const) {
      const clock = new VirtualClock();
      const { store, calls } = scripted(...outcomes);
      const putting = new LogCalls(store, clock).put('k', 'k/e/1', 'one', { appends: true });
      await expect(drive(clock, putting)).rejects.toMatchObject({ code, attempts: 10, key: 'k' });
      expect(calls()).toBe(10);
    }
  });

  test('other calls that failed every time are unavailable, with the last failure', async () => {
    const clock = new VirtualClock();
    const { store } = scripted(...times(10, lost));
    await expect(drive(clock, new LogCalls(store, clock).get('k', 'x'))).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      attempts: 10,
      cause: { message: 'lost' },
    });
  });

  test('a call that never settles is cut, and the time is bounded', async () => {
    const clock = new VirtualClock();
    const { store, calls } = scripted(...times(10, () => 'hang'));
    await expect(drive(clock, new LogCalls(store, clock).put('k', 'x', 'v', { appends: true }))).rejects.toMatchObject({
      code: 'UPDATE_AMBIGUOUS',
      cause: { message: 'scripted did not answer within 10000 ms' },
    });
    expect(calls()).toBe(3);
    expect(clock.pending).toBe(0);
  });

  test('what was refused for good is not tried again', async () => {
    const error = new ValueTooLargeError({ key: 'x', what: 'the key', bytes: 2, limit: 1 });
    const { store, calls } = scripted(error);
    await expect(new LogCalls(store, new VirtualClock()).put('k', 'x', 'v')).rejects.toBe(error);
    expect(calls()).toBe(1);
  });

  test('an abort ends the waiting, and nothing more is sent', async () => {
    const clock = new VirtualClock();
    const { store, calls } = scripted(...times(10, lost));
    const controller = new AbortController();
    const putting = new LogCalls(store, clock).put('k', 'x', 'v', { signal: controller.signal, appends: true });
    putting.catch(() => undefined);
    await clock.advance(50);
    controller.abort(new Error('enough'));
    await expect(putting).rejects.toThrow('enough');
    await clock.advance(60_000);
    expect(calls()).toBe(1);
    await expect(new LogCalls(store, clock).put('k', 'x', 'v', { signal: controller.signal })).rejects.toThrow(
      'enough',
    );
    expect(calls()).toBe(1);
  });

  test('a list is all its pages, each key once', async () => {
    const store = memoryAppendStore({ pageSize: 2 });
    for (let i = 0; i < 7; i++) await store.put(`k/e/${i}`, 'v');
    const twice: AppendStore = {
      ...store,
      list: async (prefix, cursor) => {
        const page = await store.list(prefix, cursor);
        return { ...page, keys: [...page.keys, 'k/e/3'] };
      },
    };
    const listed = await new LogCalls(twice, new VirtualClock()).list('k', 'k/e/');
    expect([...listed].sort()).toEqual(['0', '1', '2', '3', '4', '5', '6']);
  });
});

describe('onEach', () => {
  test('keeps the order, and runs a limited number at once', async () => {
    let running = 0;
    let most = 0;
    const results = await onEach(
      Array.from({ length: 100 }, (_, i) => i),
      async (i) => {
        most = Math.max(most, ++running);
        for (let turn = 0; turn <= i % 5; turn++) await Promise.resolve();
        running--;
        return i * 2;
      },
    );
    expect(results).toEqual(Array.from({ length: 100 }, (_, i) => i * 2));
    expect(most).toBe(32);
    expect(await onEach([], async () => 1)).toEqual([]);
  });

  test('ends with the first failure', async () => {
    let begun = 0;
    const work = onEach(Array.from({ length: 1_000 }), async () => {
      if (++begun === 40) throw new Error('the fortieth');
    });
    await expect(work).rejects.toThrow('the fortieth');
    expect(begun).toBeLessThan(80);
  });
});

describe('within', () => {
  test('what is in time comes through, also what throws at once', async () => {
    const clock = new VirtualClock();
    expect(
      await within(
        clock,
        5,
        () => 'late',
        async () => 7,
      ),
    ).toBe(7);
    await expect(
      within(
        clock,
        5,
        () => 'late',
        () => {
          throw new Error('at once');
        },
      ),
    ).rejects.toThrow('at once');
    expect(clock.pending).toBe(0);
  });

  test('what is late rejects, and its signal says so', async () => {
    const clock = new VirtualClock();
    let heard: AbortSignal | undefined;
    const late = new Error('late');
    const work = within(
      clock,
      5,
      () => late,
      (signal) => {
        heard = signal;
        return new Promise(() => undefined);
      },
    );
    work.catch(() => undefined);
    await clock.advance(5);
    await expect(work).rejects.toBe(late);
    expect(heard?.reason).toBe(late);
  });
});
