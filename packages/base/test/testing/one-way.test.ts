import { deferred, VirtualClock } from '@chunks/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OneWay } from '../../src/testing/one-way.ts';

test('everything arrives once, in order, and not before its delay', async () => {
  const delays = fc.array(fc.record({ sayMs: fc.nat({ max: 20 }), delayMs: fc.constantFrom(0, 0, 1, 7, 30) }));
  await fc.assert(
    fc.asyncProperty(delays, async (steps) => {
      const clock = new VirtualClock();
      const way = new OneWay(clock);
      const arrived: number[] = [];
      for (const [i, { sayMs, delayMs }] of steps.entries()) {
        await clock.advance(sayMs);
        const dueMs = clock.now() + delayMs;
        way.pass(delayMs, () => {
          expect(clock.now()).toBeGreaterThanOrEqual(dueMs);
          arrived.push(i);
        });
      }
      await clock.advance(30);
      expect(arrived).toEqual(steps.map((_, i) => i));
    }),
  );
});

test('without a delay it goes at once, and waits for what is to come first', async () => {
  const way = new OneWay(new VirtualClock());
  const arrived: string[] = [];
  way.pass(0, () => arrived.push('a'));
  expect(arrived).toEqual(['a']);
  const first = deferred<void>();
  way.pass(0, () => arrived.push('b'), first.promise);
  way.pass(0, () => arrived.push('c'));
  await new VirtualClock().advance(1);
  expect(arrived).toEqual(['a']);
  first.resolve();
  await new VirtualClock().advance(1);
  expect(arrived).toEqual(['a', 'b', 'c']);
  way.pass(0, () => arrived.push('d'));
  expect(arrived).toEqual(['a', 'b', 'c', 'd']);
});

test('muted, nothing arrives any more, not even what was on its way', async () => {
  const clock = new VirtualClock();
  const way = new OneWay(clock);
  const arrived: string[] = [];
  way.pass(5, () => arrived.push('a'));
  way.isMute = true;
  way.pass(0, () => arrived.push('b'));
  await clock.advance(10);
  expect(arrived).toEqual([]);
});
