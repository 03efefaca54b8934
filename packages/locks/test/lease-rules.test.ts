import fc from 'fast-check';
import { expect, test } from 'vitest';
import { tokenAfter } from '../src/lease-rules.ts';

test('tokens rise by whole numbers, and are never behind the clock, whichever way that goes', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 2 ** 52, noNaN: true }), { maxLength: 20 }), (times) => {
      let last = 0;
      for (const now of times) {
        const token = tokenAfter(last, now);
        expect(Number.isSafeInteger(token)).toBe(true);
        expect(token).toBeGreaterThan(last);
        expect(token).toBeGreaterThan(now - 1);
        // No further than it must.
        expect(token === last + 1 || token <= now).toBe(true);
        last = token;
      }
    }),
  );
});
