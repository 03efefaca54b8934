import { checkSize, type SizePolicy } from '@chunks/assemble/range';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const passes = (expected: number, actual: number, policy: SizePolicy): boolean => {
  try {
    return checkSize(expected, actual, policy).difference === actual - expected;
  } catch (error) {
    expect(error).toMatchObject({ code: 'SIZE_MISMATCH', expected, actual, difference: actual - expected });
    return false;
  }
};

describe('checkSize', () => {
  test('tolerates below either bound, strictly; nothing of an expected 0', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 10_000_000 }),
        fc.integer({ min: -12_000, max: 12_000 }),
        fc.option(fc.integer({ min: 0, max: 5000 }), { nil: undefined }),
        fc.option(fc.double({ min: 0, max: 0.01, noNaN: true }), { nil: undefined }),
        (expected, off, bytes, fraction) => {
          const actual = Math.max(0, expected + off);
          const away = Math.abs(actual - expected);
          const tolerated =
            away === 0 || (expected > 0 && (away < (bytes ?? 2048) || away < (fraction ?? 0.001) * expected));
          expect(passes(expected, actual, { policy: 'tolerance', bytes, fraction })).toBe(tolerated);
          expect(passes(expected, actual, { policy: 'exact' })).toBe(away === 0);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test.each([
    [1000, 3047, true],
    [1000, 3048, false],
    [5_242_880, 5_242_880 + 5242, true],
    [5_242_880, 5_242_880 + 5243, false],
    [5_000_000, 5_005_000, false],
    [0, 1, false],
    [0, 0, true],
    [100, 0, true],
  ])('%i expected, %i there: %s', (expected, actual, tolerated) => {
    expect(passes(expected, actual, { policy: 'tolerance' })).toBe(tolerated);
  });

  test('refuses bad input', () => {
    expect(() => checkSize(-1, 0, { policy: 'exact' })).toThrow(/expected/);
    expect(() => checkSize(0, 0.5, { policy: 'exact' })).toThrow(/actual/);
    expect(() => checkSize(0, 0, { policy: 'tolerance', bytes: -1 })).toThrow(/size.bytes/);
    expect(() => checkSize(0, 0, { policy: 'tolerance', fraction: 2 })).toThrow(/size.fraction/);
    expect(() => checkSize(0, 0, undefined as unknown as SizePolicy)).toThrow(/size.policy/);
  });
});
