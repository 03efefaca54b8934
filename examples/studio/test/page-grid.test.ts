import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { boxOf, cellAt, fitGrid, type Grid, placeOf, rowSpans, stepTo } from '../page/map/grid.ts';

const MiB = 1024 * 1024;
const sizes = fc.oneof(fc.integer({ min: 1, max: 4096 * MiB }), fc.integer({ min: 1, max: 2 ** 45 }));
const widths = fc.integer({ min: 300, max: 1900 });
const heights = fc.integer({ min: 100, max: 400 });
const grids: fc.Arbitrary<Grid> = fc
  .record({ size: sizes, width: widths, height: heights })
  .map(({ size, width, height }) => fitGrid(size, width, height));

describe('fitGrid', () => {
  test('any file fits into its area, in cells that can be seen', () => {
    fc.assert(
      fc.property(sizes, widths, heights, (size, width, height) => {
        const grid = fitGrid(size, width, height);
        expect(grid.count * grid.cellBytes).toBeGreaterThanOrEqual(size);
        expect((grid.count - 1) * grid.cellBytes).toBeLessThan(size);
        expect(grid.columns * grid.rows).toBeGreaterThanOrEqual(grid.count);
        expect(grid.columns * grid.width).toBeLessThanOrEqual(width + 1e-6);
        expect(grid.rows * grid.height).toBeLessThanOrEqual(height + 1e-6);
        expect(grid.width - grid.gap).toBeGreaterThan(5);
        expect(grid.height - grid.rowGap).toBeGreaterThan(5);
      }),
    );
  });

  test('a cell is 1 MiB where that fits, smaller for a small file, larger for a huge one', () => {
    expect(fitGrid(64 * MiB, 1200, 216).cellBytes).toBe(MiB);
    expect(fitGrid(400 * 1024, 1200, 216).cellBytes).toBeLessThan(MiB / 32);
    expect(fitGrid(1024 ** 4, 1200, 216).cellBytes).toBeGreaterThan(MiB);
    expect(fitGrid(1, 1200, 216).count).toBe(1);
    expect(fitGrid(0, 1200, 216).count).toBe(0);
  });
});

test('the middle of a cell is in that cell, and a byte lies where its cell is', () => {
  fc.assert(
    fc.property(grids, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (grid, share) => {
      const index = Math.floor(share * grid.count);
      const box = boxOf(grid, index);
      expect(cellAt(grid, box.x + box.width / 2, box.y + box.height / 2)).toBe(index);
      const place = placeOf(grid, (index + 0.5) * grid.cellBytes);
      expect(cellAt(grid, place.x, place.y + grid.height / 2)).toBe(index);
    }),
  );
});

test('beside the map is no cell', () => {
  const grid = fitGrid(50 * MiB, 1200, 216);
  expect(cellAt(grid, -1, 5)).toBeUndefined();
  expect(cellAt(grid, 1300, 5)).toBeUndefined();
  expect(cellAt(grid, 5, 500)).toBeUndefined();
});

test('a bracket is as long as the bytes that it embraces', () => {
  fc.assert(
    fc.property(
      grids,
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (grid, one, other) => {
        const total = grid.count * grid.cellBytes;
        const [from, to] = [Math.floor(Math.min(one, other) * total), Math.floor(Math.max(one, other) * total)];
        const spans = rowSpans(grid, from, to);
        const length = spans.reduce((sum, span) => sum + span.x1 - span.x0, 0);
        expect(length).toBeCloseTo(((to - from) / grid.cellBytes) * grid.width, 3);
        for (const span of spans) expect(span.x1).toBeLessThanOrEqual(grid.columns * grid.width + 1e-6);
      },
    ),
  );
});

test('arrow keys stay on the map', () => {
  const keys = ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown', 'PageUp', 'PageDown', 'Home', 'End'];
  fc.assert(
    fc.property(grids, fc.array(fc.constantFrom(...keys), { maxLength: 30 }), (grid, pressed) => {
      let at = 0;
      for (const key of pressed) {
        at = stepTo(grid, at, key) ?? Number.NaN;
        expect(at).toBeGreaterThanOrEqual(0);
        expect(at).toBeLessThan(grid.count);
      }
    }),
  );
  const grid = fitGrid(64 * MiB, 1200, 216);
  expect(stepTo(grid, 3, 'ArrowDown')).toBe(3 + grid.columns);
  expect(stepTo(grid, 3, 'End')).toBe(63);
  expect(stepTo(grid, 3, 'a')).toBeUndefined();
});
