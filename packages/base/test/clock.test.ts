import { type Clock, sleepOn, steadyClock, steadyNow, systemClock } from '@chunks/base';
import { countListeners, VirtualClock } from '@chunks/base/testing';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';

const original = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
afterEach(() => {
  Object.assign(globalThis, original);
});

/** The host's timers, replaced by a list that a test fires itself. */
function fakeTimers(): { armed: { ms: number; fire: () => void }[]; unrefs: () => number } {
  const armed: { ms: number; fire: () => void }[] = [];
  let unrefs = 0;
  Object.assign(globalThis, {
    setTimeout: (fire: () => void, ms: number) => {
      const timer = { ms, fire, unref: () => void unrefs++ };
      armed.push(timer);
      return timer;
    },
    clearTimeout: (timer: unknown) => void armed.splice(armed.indexOf(timer as never) >>> 0, 1),
  });
  return { armed, unrefs: () => unrefs };
}

describe('system clock', () => {
  test('tells the wall clock', () => {
    const before = Date.now();
    const now = systemClock.now();
    expect(now).toBeGreaterThanOrEqual(before);
    expect(now).toBeLessThanOrEqual(Date.now());
  });

  test('really waits, and really cancels', async () => {
    const heard: string[] = [];
    const cancel = systemClock.after(1, () => heard.push('cancelled'));
    systemClock.after(2, () => heard.push('fired'));
    cancel();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(heard).toEqual(['fired']);
  });

  test('a wait that no host timer can hold is made of several, and can be cancelled in each', () => {
    const { armed } = fakeTimers();
    const limit = 2 ** 31 - 1;
    let calls = 0;
    const cancel = systemClock.after(2 * limit + 5, () => void calls++);
    const waited: number[] = [];
    while (armed.length > 0) {
      expect(calls).toBe(0);
      const [timer] = armed.splice(0, 1);
      waited.push(timer?.ms ?? 0);
      timer?.fire();
    }
    expect(waited).toEqual([limit, limit, 5]);
    expect(calls).toBe(1);
    cancel();

    const stop = systemClock.after(2 * limit, () => void calls++);
    armed.splice(0, 1)[0]?.fire();
    expect(armed).toHaveLength(1);
    stop();
    expect(armed).toHaveLength(0);
  });

  test('arms no timer for ever, none early, none in the past, and keeps no process alive by one', () => {
    const { armed, unrefs } = fakeTimers();
    systemClock.after(Number.POSITIVE_INFINITY, () => undefined)();
    expect(armed).toHaveLength(0);
    systemClock.after(1.2, () => undefined);
    systemClock.after(-5, () => undefined);
    expect(armed.map(({ ms }) => ms)).toEqual([2, 0]);
    expect(unrefs()).toBe(2);
  });
});

describe.each<[string, () => { clock: Clock; pass: (ms: number) => Promise<void> }]>([
  [
    'virtual',
    () => {
      const clock = new VirtualClock();
      return { clock, pass: (ms) => clock.advance(ms) };
    },
  ],
  ['system', () => ({ clock: systemClock, pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms + 25)) })],
])('sleep on the %s clock', (_, make) => {
  test('ends after its time', async () => {
    const { clock, pass } = make();
    let isOver = false;
    clock.sleep(5).then(() => {
      isOver = true;
    });
    await pass(5);
    expect(isOver).toBe(true);
  });

  test("rejects with the signal's own reason, before or while it sleeps", async () => {
    const { clock } = make();
    const reason = { mine: true };
    await expect(clock.sleep(5, AbortSignal.abort(reason))).rejects.toBe(reason);
    const controller = new AbortController();
    const sleeping = clock.sleep(60_000, controller.signal);
    controller.abort(reason);
    await expect(sleeping).rejects.toBe(reason);
  });
});

test('a sleep leaves neither timer nor listener behind, however it ends', async () => {
  const clock = new VirtualClock();
  const controller = new AbortController();
  const { signal } = controller;
  const listeners = countListeners(signal);
  const done = sleepOn(clock, 5, signal);
  expect([clock.pending, listeners()]).toEqual([1, 1]);
  await clock.advance(5);
  await done;
  expect([clock.pending, listeners()]).toEqual([0, 0]);
  const aborted = sleepOn(clock, 5, signal);
  controller.abort('enough');
  await expect(aborted).rejects.toBe('enough');
  expect(clock.pending).toBe(0);
});

describe('steady time', () => {
  const step = fc.record({
    passesMs: fc.nat(10_000),
    sleepsMs: fc.nat(10_000),
    wallJumpMs: fc.integer({ min: -50_000, max: 5_000 }),
  });

  test('never goes back, counts all that passes, and is never behind the wall clock', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        let [upMs, wallMs] = [5, 1_700_000_000_000];
        const now = steadyNow(
          () => wallMs,
          () => upMs,
        );
        let lastMs = now();
        for (const { passesMs, sleepsMs, wallJumpMs } of steps) {
          upMs += passesMs;
          wallMs += passesMs + sleepsMs + wallJumpMs;
          const nowMs = now();
          expect(nowMs).toBeGreaterThanOrEqual(lastMs + passesMs);
          expect(nowMs).toBeGreaterThanOrEqual(wallMs);
          lastMs = nowMs;
        }
      }),
    );
  });

  test('is the wall clock where nobody sets that back', () => {
    const before = systemClock.now();
    const nowMs = steadyClock.now();
    // It may have caught the wall clock late in its millisecond.
    expect(nowMs).toBeGreaterThanOrEqual(before - 1);
    expect(nowMs).toBeLessThanOrEqual(systemClock.now() + 1);
    expect(Number.isInteger(nowMs)).toBe(true);
  });
});
