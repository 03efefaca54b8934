import { RangeSet } from '@chunks/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const SIZE = 64;
const wide = fc
  .tuple(fc.integer({ min: 0, max: SIZE }), fc.integer({ min: 0, max: SIZE }))
  .map(([a, b]) => ({ startByte: Math.min(a, b), endByte: Math.max(a, b) }));
// Mostly narrow ones: only they leave enough ranges side by side for a bisection to go wrong in.
const narrow = fc
  .tuple(fc.nat(SIZE - 2), fc.nat(2))
  .map(([startByte, width]) => ({ startByte, endByte: startByte + width }));
const range = fc.oneof({ weight: 4, arbitrary: narrow }, { weight: 1, arbitrary: wide });
const step = fc.record({ kind: fc.constantFrom('add', 'delete'), range });

test('is the set of bytes that a plain byte map says, in normal form, after every step', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), range, (steps, probe) => {
      const set = new RangeSet();
      const map = new Uint8Array(SIZE);
      const count = (from: number, to: number): number => map.subarray(from, to).reduce((sum, bit) => sum + bit, 0);
      for (const { kind, range } of steps) {
        const before = count(0, SIZE);
        const changed = kind === 'add' ? set.add(range) : set.delete(range);
        map.fill(kind === 'add' ? 1 : 0, range.startByte, range.endByte);
        expect(changed).toBe(Math.abs(count(0, SIZE) - before));
        expect(set.bytes).toBe(count(0, SIZE));
        let lastEnd = -1;
        for (const part of set.ranges()) {
          expect(part.startByte).toBeGreaterThan(lastEnd);
          expect(part.endByte).toBeGreaterThan(part.startByte);
          expect(count(part.startByte, part.endByte)).toBe(part.endByte - part.startByte);
          lastEnd = part.endByte;
        }
      }
      const width = probe.endByte - probe.startByte;
      const present = count(probe.startByte, probe.endByte);
      expect(set.has(probe)).toBe(present === width);
      const missing = set.missing(probe);
      expect(missing.reduce((sum, gap) => sum + gap.endByte - gap.startByte, 0)).toBe(width - present);
      for (const gap of missing) expect(count(gap.startByte, gap.endByte)).toBe(0);
    }),
  );
});

test('equal sets are equal lists, in whatever order they were filled', () => {
  fc.assert(
    fc.property(
      fc
        .array(range, { maxLength: 8 })
        .chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }))),
      ([all, shuffled]) => {
        const byteByByte = all.flatMap(({ startByte, endByte }) =>
          Array.from({ length: endByte - startByte }, (_, i) => ({
            startByte: startByte + i,
            endByte: startByte + i + 1,
          })),
        );
        expect(new RangeSet(shuffled).ranges()).toEqual(new RangeSet(all).ranges());
        expect(new RangeSet(byteByByte).ranges()).toEqual(new RangeSet(all).ranges());
      },
    ),
  );
});

test('the list handed out is a copy, and the gaps come sorted', () => {
  const set = new RangeSet([
    { startByte: 10, endByte: 20 },
    { startByte: 30, endByte: 40 },
  ]);
  set.ranges().pop();
  expect(set.ranges()).toHaveLength(2);
  expect(set.missing({ startByte: 5, endByte: 45 })).toEqual([
    { startByte: 5, endByte: 10 },
    { startByte: 20, endByte: 30 },
    { startByte: 40, endByte: 45 },
  ]);
});

test('works up to the last safe integer', () => {
  const end = Number.MAX_SAFE_INTEGER;
  const set = new RangeSet([{ startByte: end - 2, endByte: end }]);
  expect(set.has({ startByte: end - 1, endByte: end })).toBe(true);
  expect(set.delete({ startByte: end - 1, endByte: end })).toBe(1);
  expect(set.missing({ startByte: end - 3, endByte: end })).toEqual([
    { startByte: end - 3, endByte: end - 2 },
    { startByte: end - 1, endByte: end },
  ]);
});

test.each(['add', 'delete', 'has', 'missing'] as const)(
  '%s refuses what is no range, and changes nothing',
  (method) => {
    const set = new RangeSet([{ startByte: 0, endByte: 5 }]);
    expect(() => set[method]({ startByte: 2, endByte: 1 })).toThrow('range must be in order');
    expect(() => set[method]({ startByte: 0, endByte: Number.NaN })).toThrow('range.endByte must be an integer');
    expect(set.ranges()).toEqual([{ startByte: 0, endByte: 5 }]);
  },
);
