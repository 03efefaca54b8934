import { bytesOf } from '../envelope.ts';

const KEYS: readonly string[] = [
  '',
  ' ',
  'a',
  'a/b',
  'a/',
  '/a',
  'a//b',
  'a:b',
  'a:',
  'a.b',
  'a.',
  '.a',
  'a\0b',
  'a\0',
  '\0',
  'a*',
  'a?',
  'a>',
  'a%',
  'a%00',
  'a%2F',
  'a_',
  '_',
  '[a]',
  '{a}',
  '.',
  '..',
  '../a',
  'A',
  'á',
  'a\u0301',
  '\ud800',
  '\ud801',
  '\udc00',
  '\ufffd',
  '\uffff',
  '😀',
  '\\u0000',
  '\\',
  '"',
  "'; DROP TABLE chunks_state; --",
  '__proto__',
  'constructor',
  'con',
  'a\n',
  'a\r\n',
];

/**
 * Keys that stores like to confuse: prefixes, separators, globs, NUL, lone surrogates, forms of one letter, length.
 * @param maxKeyBytes of UTF-8; some keys are that long, or very long where there is no limit
 */
export function opaqueKeys(maxKeyBytes: number | undefined): readonly string[] {
  const length = Math.min(maxKeyBytes ?? 50_000, 50_000);
  const long = ['k'.repeat(length), `${'k'.repeat(length - 1)}2`, '\u00e9'.repeat(Math.floor(length / 2))];
  return [...KEYS, ...long, '/'.repeat(length), '\ud800'.repeat(Math.floor(length / 3))].filter(
    (key) => bytesOf(key) <= length,
  );
}
