import { type ByteRange, checkByteRange, intersectRanges, rangeBytes } from '@chunks/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const range = fc
  .tuple(fc.nat(30), fc.nat(30))
  .map(([a, b]) => ({ startByte: Math.min(a, b), endByte: Math.max(a, b) }));
const bytesOf = ({ startByte, endByte }: ByteRange): number[] =>
  Array.from({ length: 31 }, (_, at) => at).filter((at) => at >= startByte && at < endByte);

test('size and intersection are those of the sets of bytes', () => {
  fc.assert(
    fc.property(range, range, (a, b) => {
      expect(rangeBytes(a)).toBe(bytesOf(a).length);
      const shared = intersectRanges(a, b);
      expect(shared === undefined ? [] : bytesOf(shared)).toEqual(bytesOf(a).filter((at) => bytesOf(b).includes(at)));
      expect(shared === undefined || rangeBytes(shared) > 0).toBe(true);
    }),
  );
});

test('a good range is handed back, empty ones too', () => {
  const empty = { startByte: 5, endByte: 5 };
  expect(checkByteRange('range', empty)).toBe(empty);
  expect(checkByteRange('range', { startByte: 0, endByte: Number.MAX_SAFE_INTEGER }).startByte).toBe(0);
});

test.each([
  [{ startByte: 3, endByte: 2 }, RangeError, 'range must be in order, startByte ≤ endByte, but is "3–2"'],
  [{ startByte: -1, endByte: 2 }, RangeError, 'range.startByte must be an integer ≥ 0, but is -1'],
  [{ startByte: 0, endByte: 1.5 }, RangeError, 'range.endByte must be an integer ≥ 0, but is 1.5'],
  [{ startByte: 0, endByte: 2 ** 53 }, RangeError, 'range.endByte must be an integer ≥ 0, but is 9007199254740992'],
  [{ startByte: 0 }, TypeError, 'range.endByte must be a number, but is undefined'],
  [undefined, TypeError, 'range must be { startByte, endByte }, but is undefined'],
  [null, TypeError, 'range must be { startByte, endByte }, but is null'],
])('%o is refused', (wrong, kind, message) => {
  const check = (): unknown => checkByteRange('range', wrong as ByteRange);
  expect(check).toThrow(kind);
  expect(check).toThrow(message);
});
