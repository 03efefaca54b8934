import { checkNamePrefix, escapedName } from '@chunks/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../.ci/testing/runs.ts';

// What escapes are made of, and what they are there for.
const key = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.string({ unit: fc.constantFrom('.', '/', '~', 'u', '2', 'f', '7', 'e', '%', 'é', '日', '\ud800'), maxLength: 6 }),
  // The digits of one escape, in another one and bare.
  fc.string({ unit: fc.constantFrom('0', '\x01', '\u0100'), maxLength: 2 }),
);

describe('escapedName', () => {
  test.each([
    ['chunk-7.v2', 'chunk-7.v2'],
    ['a/b c', 'a~2fb~20c'],
    ['~2f', '~7e2f'],
    ['é日', '~e9~u65e5'],
    ['\ud800\0', '~ud800~00'],
  ])('%j is %s', (key, name) => {
    expect(escapedName(key)).toBe(name);
  });

  test('is what a URL leaves alone, begins as its key begins, and is thrice as long at most', () => {
    fc.assert(
      fc.property(key, key, (a, b) => {
        const [nameA, nameB] = [escapedName(a), escapedName(b)];
        expect(nameA).toMatch(/^[A-Za-z0-9._~-]*$/);
        expect(encodeURIComponent(nameA)).toBe(nameA);
        expect(nameA.startsWith(nameB)).toBe(a.startsWith(b));
        expect(nameA.length).toBeLessThanOrEqual(3 * new TextEncoder().encode(a).length);
      }),
      { numRuns: runs(1_000) },
    );
  });
});

test.each(['', 'state/', 'a/b_c/d-', 'v1.2/', 'x'.repeat(200)])('%j may stand before names', (prefix) => {
  expect(checkNamePrefix(prefix)).toBe(prefix);
});

test.each<[prefix: unknown, message: string]>([
  [1, 'prefix must be a string, but is 1'],
  ...['/a', 'a//b', 'a/../b', './a', 'a/.b', 'é/', 'a b', 'x'.repeat(201)].map((prefix): [unknown, string] => [
    prefix,
    'prefix must be of letters, digits and _-./, without empty or dotted segments, but is',
  ]),
])('%j may not', (prefix, message) => {
  expect(() => checkNamePrefix(prefix)).toThrow(message);
});
