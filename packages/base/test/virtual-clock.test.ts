import { settle, VirtualClock } from '@chunks/base/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';

test('timers run by time, then by age, none early and none after it was cancelled', async () => {
  const timer = fc.record({ ms: fc.integer({ min: -2, max: 20 }), cancelled: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(timer, { maxLength: 15 }), fc.nat(25), async (timers, advanceMs) => {
      const clock = new VirtualClock(1000);
      const ran: [id: number, atMs: number][] = [];
      timers.forEach(({ ms, cancelled }, id) => {
        const cancel = clock.after(ms, () => ran.push([id, clock.now()]));
        if (cancelled) cancel();
      });
      await clock.advance(advanceMs);
      const due = timers
        .map(({ ms, cancelled }, id) => ({ id, atMs: 1000 + Math.max(0, ms), cancelled }))
        .filter(({ cancelled }) => !cancelled)
        .sort((a, b) => a.atMs - b.atMs || a.id - b.id);
      const wanted = due.filter(({ atMs }) => atMs <= 1000 + advanceMs);
      expect(ran).toEqual(wanted.map(({ id, atMs }) => [id, atMs]));
      expect(clock.pending).toBe(due.length - wanted.length);
      expect(clock.now()).toBe(1000 + advanceMs);
    }),
  );
});

test('what a timer sets in motion falls due within the same advance', async () => {
  const clock = new VirtualClock(0);
  const seen: number[] = [];
  const loop = async (): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      await clock.sleep(10);
      seen.push(clock.now());
    }
  };
  const done = loop();
  await clock.advance(30);
  await done;
  expect(seen).toEqual([10, 20, 30]);
});

test('a jump passes time and runs nothing until time moves again', async () => {
  const clock = new VirtualClock(0);
  let calls = 0;
  clock.after(10, () => void calls++);
  clock.jump(50);
  await settle();
  expect([calls, clock.now()]).toEqual([0, 50]);
  await clock.advance(0);
  expect([calls, clock.now()]).toEqual([1, 50]);
});

test('time never goes back when a callback jumps', async () => {
  const clock = new VirtualClock(0);
  clock.after(1, () => clock.jump(100));
  await clock.advance(5);
  expect(clock.now()).toBe(101);
});

test('for ever is no timer', () => {
  const clock = new VirtualClock();
  clock.after(Number.POSITIVE_INFINITY, () => undefined)();
  expect(clock.pending).toBe(0);
});

test('settling runs chains of promises', async () => {
  let depth = 0;
  const chain = async (left: number): Promise<void> => {
    await undefined;
    depth++;
    if (left > 1) await chain(left - 1);
  };
  void chain(20);
  await settle();
  expect(depth).toBe(20);
});
