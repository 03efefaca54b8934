import {
  type ByteRange,
  formatContentRange,
  formatRange,
  formatUnsatisfied,
  MAX_RANGES,
  parseContentRange,
  parseRange,
} from '@chunks/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';

// Whole headers against a model of the RFC: assemble/test/http.test.ts. Here: what is written is what is read.

const safe = fc.oneof(fc.nat(100), fc.maxSafeNat());
const sized = fc.tuple(safe, safe, safe).map((three): { range: ByteRange; totalBytes: number } => {
  const [startByte = 0, endByte = 0, totalBytes = 0] = three.sort((a, b) => a - b);
  return { range: { startByte, endByte }, totalBytes };
});

test('a range that is asked for is the range that is understood, and the one that is answered', () => {
  fc.assert(
    fc.property(sized, ({ range, totalBytes }) => {
      fc.pre(range.startByte < range.endByte);
      expect(parseRange(formatRange(range), totalBytes)).toEqual([range]);
      expect(parseContentRange(formatContentRange(range, totalBytes))).toEqual({ range, totalBytes });
      expect(parseContentRange(formatUnsatisfied(totalBytes))).toEqual({ totalBytes });
    }),
  );
});

test('the inclusive end is one less, only here', () => {
  expect(formatRange({ startByte: 0, endByte: 1 })).toBe('bytes=0-0');
  expect(formatContentRange({ startByte: 5, endByte: 10 }, 20)).toBe('bytes 5-9/20');
  expect(formatUnsatisfied(20)).toBe('bytes */20');
  expect(parseContentRange('bytes 5-9/*')).toEqual({ range: { startByte: 5, endByte: 10 } });
  expect(parseContentRange('Bytes 5-9/20')).toEqual({ range: { startByte: 5, endByte: 10 }, totalBytes: 20 });
});

test.each([
  null,
  '',
  'bytes',
  'bytes 5-9',
  'bytes=5-9/20',
  'bytes 9-5/20',
  'bytes 5-20/20',
  'bytes 0-0/0',
  'bytes */*',
  'bytes -9/20',
  'bytes 5-/20',
  'bytes 5-9/20 ',
  'bytes 5-9/20, bytes 5-9/20',
  'items 5-9/20',
  'bytes 0-9007199254740991/*',
  'bytes */9007199254740992',
  `bytes 0-5/${'9'.repeat(400)}`,
])('%j is no Content-Range to rely on', (field) => {
  expect(parseContentRange(field)).toBeUndefined();
});

test('the limit counts parts that are left apart, not parts that were asked for', () => {
  const many = (count: number, step: number): string =>
    `bytes=${Array.from({ length: count }, (_, i) => `${i * step}-${i * step}`).join(',')}`;
  expect(parseRange(many(MAX_RANGES, 2), 100)).toHaveLength(MAX_RANGES);
  expect(parseRange(many(MAX_RANGES + 1, 2), 100)).toBe('ignored');
  expect(parseRange(many(90, 1), 100)).toEqual([{ startByte: 0, endByte: 90 }]);
});

test('parts come in the order asked for, joined ones where the earliest of them was', () => {
  expect(parseRange('bytes=50-59,0-9,20-29,5-12', 100)).toEqual([
    { startByte: 50, endByte: 60 },
    { startByte: 0, endByte: 13 },
    { startByte: 20, endByte: 30 },
  ]);
});
