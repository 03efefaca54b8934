import { type Manifest, sliceRange } from '@chunks/assemble/range';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

describe('sliceRange', () => {
  test('names the same bytes as counting them one by one', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 12 }), fc.nat(), fc.nat(), (sizes, a, b) => {
        const bytes = sizes.flatMap((size, index) => Array.from({ length: size }, (_, at) => `${index}:${at}`));
        const [startByte, endByte] = [a % (bytes.length + 1), b % (bytes.length + 1)].sort((x, y) => x - y) as [
          number,
          number,
        ];
        const manifest: Manifest = {
          version: 1,
          id: 'm',
          totalBytes: bytes.length,
          chunks: sizes.map((size, index) => ({ index, size })),
        };
        const slices = sliceRange(manifest, { startByte, endByte });
        const named = slices.flatMap(({ index, range }) =>
          Array.from({ length: range.endByte - range.startByte }, (_, i) => `${index}:${range.startByte + i}`),
        );
        expect(named).toEqual(bytes.slice(startByte, endByte));
        expect(slices.every(({ range }) => range.startByte < range.endByte)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('refuses a range that does not lie inside the file', () => {
    const manifest: Manifest = { version: 1, id: 'm', totalBytes: 10, chunks: [{ index: 0, size: 10 }] };
    expect(() => sliceRange(manifest, { startByte: 0, endByte: 11 })).toThrow(/range.endByte/);
    expect(() => sliceRange(manifest, { startByte: 3, endByte: 2 })).toThrow(RangeError);
    expect(sliceRange(manifest, { startByte: 10, endByte: 10 })).toEqual([]);
  });
});
