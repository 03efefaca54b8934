import { isEntityTag, matchesStrongly, matchesWeakly, parseEntityTags } from '@chunks/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const opaque = fc
  .array(fc.integer({ min: 0x21, max: 0xff }), { maxLength: 6 })
  .map((codes) => String.fromCharCode(...codes.filter((code) => code !== 0x22 && code !== 0x7f)));
const tag = fc.tuple(fc.boolean(), opaque).map(([isWeak, text]) => `${isWeak ? 'W/' : ''}"${text}"`);
const separator = fc.constantFrom(',', ', ', ' ,', '\t, ', ',,', ', ,\t');

test('a list gives back the tags that were put in, whatever commas they hold', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(tag, separator), { minLength: 1, maxLength: 5 }), (items) => {
      const tags = items.map(([text]) => text);
      expect(tags.every(isEntityTag)).toBe(true);
      expect(parseEntityTags(tags.join(', '))).toEqual(tags);
      expect(parseEntityTags(items.map(([text, between]) => text + between).join(''))).toEqual(tags);
    }),
  );
});

test.each([
  '',
  'v1',
  '"v1',
  'v1"',
  'w/"v1"',
  'W/v1',
  'W/ "v1"',
  '"a" "b"',
  '"a";"b"',
  '*',
  '*, "a"',
  '"a b"',
  '"a\u007f"',
  "'a'",
])('%j is no list of tags', (text) => {
  expect(isEntityTag(text)).toBe(false);
  expect(parseEntityTags(text)).toEqual([]);
});

test('a long list that ends badly is refused in no time', () => {
  // Backtracking would not come to an end here within the age of the universe.
  expect(parseEntityTags(`${'"a" , ,, '.repeat(5000)}x`)).toEqual([]);
});

// The table of RFC 9110, 8.8.3.2.
test.each([
  ['W/"1"', 'W/"1"', false, true],
  ['W/"1"', 'W/"2"', false, false],
  ['W/"1"', '"1"', false, true],
  ['"1"', '"1"', true, true],
])('%s and %s: strong %s, weak %s', (a, b, strong, weak) => {
  expect([matchesStrongly(a, b), matchesStrongly(b, a)]).toEqual([strong, strong]);
  expect([matchesWeakly(a, b), matchesWeakly(b, a)]).toEqual([weak, weak]);
});
