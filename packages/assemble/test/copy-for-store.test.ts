import { copyForStore } from '@chunks/assemble/range';
import { expect, test } from 'vitest';

test('copyForStore copies exactly the view, out of a shared buffer and for good', () => {
  const pool = new Uint8Array(100).fill(7);
  const view = pool.subarray(10, 14);
  view.set([1, 2, 3, 4]);
  const copy = copyForStore(view, 4);
  view.fill(9);
  expect([...copy]).toEqual([1, 2, 3, 4]);
  expect(copy.buffer.byteLength).toBe(4);
});

test('copyForStore refuses another length, and what is no view', () => {
  expect(() => copyForStore(new Uint8Array(5), 4)).toThrow(
    expect.objectContaining({ code: 'SIZE_MISMATCH', difference: 1 }),
  );
  expect(() => copyForStore(new Uint8Array(4), -1)).toThrow(RangeError);
  expect(() => copyForStore('abcd' as unknown as Uint8Array, 4)).toThrow(TypeError);
});
