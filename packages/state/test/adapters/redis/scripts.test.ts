import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runs } from '../../../../../.ci/testing/runs.ts';
import { keyOf, textOf } from '../../../src/adapters/redis/scripts.ts';

const keys = fc
  .array(fc.constantFrom('a', '\\', '\\u', 'u005c', 'd800', '\ud83d', '\ude00', '\ud800', '😀', '\0', 'é'))
  .map((parts) => parts.join(''));

test('any key comes back from its text, also through UTF-8, and no two have one', () => {
  fc.assert(
    fc.property(keys, keys, (key, other) => {
      const text = textOf(key);
      expect(new TextDecoder('utf-8', { ignoreBOM: true }).decode(new TextEncoder().encode(text))).toBe(text);
      expect(keyOf(text)).toBe(key);
      expect(textOf(other) === text).toBe(other === key);
    }),
    { numRuns: runs(500) },
  );
});

test('the text of a key begins with that of each of its beginnings that ends with a whole sign', () => {
  fc.assert(
    fc.property(keys, fc.nat(), (key, at) => {
      const begin = key.slice(0, at % (key.length + 1)).replace(/[\ud800-\udbff]$/, '');
      expect(textOf(key).startsWith(textOf(begin))).toBe(true);
    }),
    { numRuns: runs(500) },
  );
});
