import { seededRandom } from '@chunks/base/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';

test('one seed is one run, in [0, 1), spread evenly', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const [a, b] = [seededRandom(seed), seededRandom(seed)];
      const tenths = new Array<number>(10).fill(0);
      for (let i = 0; i < 500; i++) {
        const value = a();
        expect(b()).toBe(value);
        const tenth = Math.floor(value * 10);
        tenths[tenth] = (tenths[tenth] as number) + 1;
      }
      // A share of NaN or out of range would grow the list; 50 each on average, 10 is six standard deviations off.
      expect(tenths).toHaveLength(10);
      expect(Math.min(...tenths)).toBeGreaterThan(9);
    }),
    { numRuns: 20 },
  );
  expect(seededRandom(1)()).not.toBe(seededRandom(2)());
});
