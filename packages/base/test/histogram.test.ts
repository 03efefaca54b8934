import { LogHistogram } from '@chunks/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const HIGHEST = 2 ** 44;
const value = fc.oneof(
  fc.nat(40),
  fc.double({ min: 0, max: 100, noNaN: true }),
  fc.tuple(fc.double({ min: 1, max: 2, noNaN: true }), fc.integer({ min: -10, max: 43 })).map(([m, e]) => m * 2 ** e),
  fc.tuple(fc.integer({ min: 16, max: 32 }), fc.integer({ min: -8, max: 39 })).map(([m, e]) => m * 2 ** e),
);
const share = fc.oneof(fc.constantFrom(0, 0.5, 0.95, 0.99, 1), fc.double({ min: 0, max: 1, noNaN: true }));
const recorded = (values: readonly number[]): LogHistogram => {
  const histogram = new LogHistogram();
  for (const each of values) histogram.record(each);
  return histogram;
};

test('a percentile is never below the exact one, and at most a sixteenth above', () => {
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 60 }), share, (values, p) => {
      const histogram = recorded(values);
      const sorted = [...values].sort((a, b) => a - b);
      const exact = sorted[Math.max(1, Math.ceil(p * values.length)) - 1] as number;
      const said = histogram.percentile(p);
      expect(said).toBeGreaterThanOrEqual(exact);
      expect(said).toBeLessThanOrEqual(Math.max(exact * (17 / 16), 1 / 16));
      expect(said).toBeLessThanOrEqual(histogram.max);
      if (exact <= 32 && Number.isInteger(exact) && exact > 0) expect(said).toBe(exact);
      expect(histogram.count).toBe(values.length);
      expect(histogram.max).toBe(sorted.at(-1));
      expect(histogram.sum).toBeCloseTo(
        values.reduce((sum, each) => sum + each, 0),
        6,
      );
    }),
  );
});

test('beyond the last edge the answer is the maximum', () => {
  expect(recorded([HIGHEST]).percentile(0.5)).toBe(HIGHEST);
  expect(recorded([1, HIGHEST * 8]).percentile(1)).toBe(HIGHEST * 8);
  expect(recorded([1, HIGHEST * 8]).percentile(0.5)).toBe(1);
});

test('negative and NaN count as nothing', () => {
  const histogram = recorded([-5, Number.NaN, 4]);
  expect(histogram.toJSON()).toEqual({ count: 3, sum: 4, max: 4, p50: 0.0625, p95: 4, p99: 4 });
});

test('an empty one says 0, and a share that is none is refused', () => {
  expect(new LogHistogram().toJSON()).toEqual({ count: 0, sum: 0, max: 0, p50: 0, p95: 0, p99: 0 });
  for (const p of [-0.1, 1.1, Number.NaN]) {
    expect(() => recorded([1]).percentile(p)).toThrow('p must be a number from 0 to 1');
  }
});
