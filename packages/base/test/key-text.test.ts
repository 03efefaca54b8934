import fc from 'fast-check';
import { expect, test } from 'vitest';
import { escapedUnits, withoutHalf } from '../src/key-text.ts';

const units = fc.string({ unit: fc.constantFrom('a', '\\', 'u', '\0', 'd', '8', '0', '\ud83d', '\ude00', '\ud800') });
const SPECIAL = /[\0\\\p{Surrogate}]/gu;

test('escaped, texts stay apart in UTF-8 and without NUL, and come back', () => {
  expect(escapedUnits('a\\\ud800\0', SPECIAL)).toBe('a\\u005c\\ud800\\u0000');
  expect(escapedUnits('😀', SPECIAL)).toBe('😀');
  fc.assert(
    fc.property(units, (text) => {
      const escaped = escapedUnits(text, SPECIAL);
      expect(escaped).not.toContain('\0');
      const stored = new TextDecoder().decode(new TextEncoder().encode(escaped));
      const back = stored.replace(/\\u(.{4})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
      expect(back).toBe(text);
    }),
  );
});

test('a prefix loses half a sign at its end, and nothing else', () => {
  expect(['', 'a', 'a\ud83d', '😀', 'a\ude00', '\ud83da'].map(withoutHalf)).toEqual([
    '',
    'a',
    'a',
    '😀',
    'a\ude00',
    '\ud83da',
  ]);
  fc.assert(
    fc.property(units, units, (prefix, rest) => {
      expect((prefix + rest).startsWith(withoutHalf(prefix))).toBe(true);
      const escaped = escapedUnits(prefix + rest, SPECIAL);
      expect(escaped.startsWith(escapedUnits(withoutHalf(prefix), SPECIAL))).toBe(true);
    }),
  );
});
