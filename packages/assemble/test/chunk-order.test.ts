import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inOrder, layoutOf, place } from '../src/chunk-order.ts';
import type { Manifest } from '../src/types.ts';

const chunksOf = (indices: readonly number[]) => indices.map((index) => ({ index }));
const errorOf = (task: () => unknown): { code?: string; indices?: number[]; count?: number } | undefined => {
  try {
    task();
    return undefined;
  } catch (error) {
    return error as { code?: string; indices?: number[] };
  }
};

describe('inOrder', () => {
  test('finds every duplicate, extra and missing index', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 12 })),
        fc.option(fc.integer({ min: 0, max: 10 }), { nil: undefined }),
        (indices, count) => {
          const error = errorOf(() =>
            inOrder(chunksOf(indices), { totalBytes: 0, ...(count === undefined ? {} : { count }) }),
          );
          const all = [...new Set(indices)].sort((a, b) => a - b);
          const twice = all.filter((index) => indices.indexOf(index) !== indices.lastIndexOf(index));
          const wanted = count ?? (all.at(-1) ?? -1) + 1;
          const extra = all.filter((index) => index >= wanted);
          const missing = Array.from({ length: wanted }, (_, i) => i).filter((index) => !all.includes(index));
          if (twice.length > 0) expect(error).toMatchObject({ code: 'DUPLICATE_CHUNKS', indices: twice });
          else if (extra.length > 0) expect(error).toMatchObject({ code: 'EXTRA_CHUNKS', indices: extra });
          else if (missing.length > 0)
            expect(error).toMatchObject({ code: 'MISSING_CHUNKS', indices: missing, count: missing.length });
          else expect(error).toBeUndefined();
        },
      ),
      { numRuns: 500 },
    );
  });

  test('a hostile index makes no endless list', () => {
    const error = errorOf(() => inOrder(chunksOf([2 ** 50]), { totalBytes: 1 }));
    expect(error).toMatchObject({ code: 'MISSING_CHUNKS', count: 2 ** 50 });
    expect(error?.indices).toHaveLength(1000);
  });

  test.each([-1, 0.5, Number.NaN, 2 ** 53, '1' as unknown as number])('refuses the index %s', (index) => {
    expect(() => inOrder(chunksOf([index]), { totalBytes: 0 })).toThrow(/chunks\[0\].index/);
  });

  test('refuses what is no chunk, and sizes that are none', () => {
    expect(() => inOrder([undefined as unknown as { index: number }], { totalBytes: 0 })).toThrow(TypeError);
    expect(() => inOrder([{ index: 0, size: -1 }], { totalBytes: 0 })).toThrow(/chunks\[0\].size/);
  });
});

describe('place', () => {
  test('puts chunks end to end when they make up the total, and names what does not fit', () => {
    expect(place([3, 0, 4], 7)).toEqual([
      { index: 0, startByte: 0, endByte: 3 },
      { index: 1, startByte: 3, endByte: 3 },
      { index: 2, startByte: 3, endByte: 7 },
    ]);
    expect(place([], 0)).toEqual([]);
    expect(errorOf(() => place([3, 4], 9))).toMatchObject({ code: 'MISSING_CHUNKS', indices: [2] });
    expect(errorOf(() => place([3, 4, 0, 5, 6], 7))).toMatchObject({ code: 'EXTRA_CHUNKS', indices: [3, 4] });
    expect(errorOf(() => place([3, 4], 5))).toMatchObject({
      code: 'SIZE_MISMATCH',
      index: undefined,
      expected: 5,
      actual: 7,
    });
  });
});

describe('layoutOf', () => {
  const manifest = (o: Partial<Manifest>): Manifest => ({
    version: 1,
    id: 'm',
    totalBytes: 25,
    chunks: chunksOf([0, 1, 2]),
    ...o,
  });

  test('derives sizes from the chunk size, or a single one from the total', () => {
    const ends = [10, 20, 25];
    expect(layoutOf(manifest({ chunkSizeBytes: 10 })).map((chunk) => chunk.endByte)).toEqual(ends);
    const sized = [{ index: 0, size: 10 }, { index: 1 }, { index: 2, size: 5 }];
    expect(layoutOf(manifest({ chunks: sized })).map((chunk) => chunk.endByte)).toEqual(ends);
  });

  test('an empty file is no chunk or an empty one', () => {
    for (const chunkSizeBytes of [undefined, 10]) {
      expect(layoutOf(manifest({ totalBytes: 0, chunks: [], chunkSizeBytes }))).toEqual([]);
      expect(layoutOf(manifest({ totalBytes: 0, chunks: [{ index: 0, size: 0 }], chunkSizeBytes }))).toHaveLength(1);
    }
  });

  test('refuses a manifest that contradicts itself', () => {
    expect(errorOf(() => layoutOf(manifest({ chunkSizeBytes: 5 })))).toMatchObject({
      code: 'MISSING_CHUNKS',
      indices: [3, 4],
    });
    expect(errorOf(() => layoutOf(manifest({ chunkSizeBytes: 20 })))).toMatchObject({
      code: 'EXTRA_CHUNKS',
      indices: [2],
    });
    const chunks = [{ index: 0, size: 9 }, { index: 1 }, { index: 2 }];
    expect(errorOf(() => layoutOf(manifest({ chunkSizeBytes: 10, chunks })))).toMatchObject({
      code: 'SIZE_MISMATCH',
      index: 0,
      expected: 10,
      actual: 9,
    });
    expect(() => layoutOf(manifest({}))).toThrow(TypeError);
    expect(() => layoutOf(manifest({ totalBytes: -1 }))).toThrow(RangeError);
    expect(() => layoutOf(manifest({ chunkSizeBytes: 0 }))).toThrow(RangeError);
    expect(() => layoutOf(manifest({ chunks: 'x' as unknown as [] }))).toThrow(TypeError);
  });
});
