import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatBytes, formatClock, formatCount, formatMs, formatRange, plural, shortDigest } from '../page/format.ts';

const MiB = 1024 * 1024;

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [1536, '1.5 KiB'],
  [MiB - 1, '1.0 MiB'],
  [62.46 * MiB, '62.5 MiB'],
  [3 * 1024 ** 4, '3.0 TiB'],
  [5000 * 1024 ** 4, '5000.0 TiB'],
  [-1, '0 B'],
])('%d bytes are %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test('a number of bytes never needs more than four digits before its point', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 49 }), (bytes) => {
      expect(formatBytes(bytes)).toMatch(/^(\d{1,4} B|\d{1,4}\.\d [KMGT]iB)$/);
      expect(formatBytes(bytes)).not.toMatch(/^1024\.0 [KMG]iB$/);
    }),
  );
});

test('a range speaks in the unit of its end', () => {
  expect(formatRange(8 * MiB, 16 * MiB)).toBe('8.0–16.0 MiB');
  expect(formatRange(0, 100)).toBe('0–100 B');
  expect(formatRange(MiB / 2, 1.5 * MiB)).toBe('0.5–1.5 MiB');
});

test.each([
  [0, '0 ms'],
  [0.04, '0 ms'],
  [2.345, '2.3 ms'],
  [9.97, '10 ms'],
  [640, '640 ms'],
  [999.7, '1.0 s'],
  [59_949, '59.9 s'],
  [59_999, '1 min 00 s'],
  [125_000, '2 min 05 s'],
  [3_599_900, '1 h 00 min'],
  [7_500_000, '2 h 05 min'],
])('%d ms are %s', (ms, text) => {
  expect(formatMs(ms)).toBe(text);
});

test.each([
  [0, '0:00'],
  [65.9, '1:05'],
  [3723, '1:02:03'],
  [Number.NaN, '0:00'],
  [Number.POSITIVE_INFINITY, '0:00'],
])('%d seconds into a film are %s', (seconds, text) => {
  expect(formatClock(seconds)).toBe(text);
});

test('counts are grouped, nouns agree', () => {
  expect(formatCount(1234567)).toBe('1\u202f234\u202f567');
  expect(formatCount(999)).toBe('999');
  expect(plural(1, 'chunk')).toBe('1 chunk');
  expect(plural(0, 'chunk')).toBe('0 chunks');
});

test('a digest is cut in its middle, a short one is not', () => {
  expect(shortDigest(`${'a'.repeat(10)}${'b'.repeat(46)}${'c'.repeat(8)}`)).toBe('aaaaaaaaaa…cccccccc');
  expect(shortDigest('abc')).toBe('abc');
});
