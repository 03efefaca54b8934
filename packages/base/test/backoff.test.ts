import { exponentialBackoff } from '@chunks/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const limits = fc
  .tuple(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 100_000 }))
  .map(([baseMs, more]) => ({ baseMs, maxMs: baseMs + more }));
const attempts = fc.integer({ min: 1, max: 2000 });
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

/** Doubling written as doubling. */
const ceilingMs = ({ baseMs, maxMs }: { baseMs: number; maxMs: number }, attempt: number): number => {
  let ms = baseMs;
  for (let i = 1; i < attempt && ms < maxMs; i++) ms *= 2;
  return Math.min(ms, maxMs);
};

test('none: base, doubled with each attempt, up to the maximum, whatever chance says', () => {
  const backoff = exponentialBackoff({ baseMs: 2, maxMs: 20, jitter: 'none' });
  expect([1, 2, 3, 4, 5, 6].map((attempt) => backoff.delayMs(attempt, () => 0.3))).toEqual([2, 4, 8, 16, 20, 20]);
  fc.assert(
    fc.property(limits, attempts, chance, (limit, attempt, random) => {
      const { delayMs } = exponentialBackoff({ ...limit, jitter: 'none' });
      expect(delayMs(attempt, () => random)).toBe(ceilingMs(limit, attempt));
    }),
  );
});

test('full: that share of the ceiling which chance says', () => {
  fc.assert(
    fc.property(limits, attempts, chance, (limit, attempt, random) => {
      const { delayMs } = exponentialBackoff({ ...limit, jitter: 'full' });
      expect(delayMs(attempt, () => random)).toBe(random * ceilingMs(limit, attempt));
    }),
  );
});

test('decorrelated: from base up to three times the ceiling before, never above the maximum', () => {
  fc.assert(
    fc.property(limits, attempts, chance, (limit, attempt, random) => {
      const { delayMs } = exponentialBackoff({ ...limit, jitter: 'decorrelated' });
      const highest = 3 * ceilingMs(limit, Math.max(1, attempt - 1));
      expect(delayMs(attempt, () => 0)).toBe(limit.baseMs);
      expect(delayMs(attempt, () => 1)).toBe(Math.min(limit.maxMs, highest));
      const delay = delayMs(attempt, () => random);
      expect(delay).toBeCloseTo(Math.min(limit.maxMs, limit.baseMs + random * (highest - limit.baseMs)), 6);
      expect(delay).toBeGreaterThanOrEqual(limit.baseMs);
      expect(delay).toBeLessThanOrEqual(limit.maxMs);
    }),
  );
});
