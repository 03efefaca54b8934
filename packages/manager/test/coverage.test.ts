import { Coverage } from '@chunks/manager';
import fc from 'fast-check';
import { expect, test } from 'vitest';

// Sizes around the borders of a word (32) and of a summary word (1024).
const counts = fc.oneof(
  fc.constantFrom(0, 1, 31, 32, 33, 64, 1023, 1024, 1025, 2048),
  fc.integer({ min: 0, max: 2200 }),
);
// Some of them single chunks at the edge of a word.
const run = fc.oneof(
  fc.record({ on: fc.boolean(), from: fc.nat(2200), length: fc.nat(1500) }),
  fc.record({ on: fc.boolean(), from: fc.nat(68).map((word) => word * 32), length: fc.constantFrom(1, 31, 32) }),
);
const runs = fc.array(run, { maxLength: 12, size: 'max' });

const naiveNext = (bits: readonly boolean[], from: number, wanted: boolean): number => {
  for (let chunk = from; chunk < bits.length; chunk++) if (bits[chunk] === wanted) return chunk;
  return bits.length;
};

test('is the plain list of booleans, after every run of marks and unmarks', () => {
  fc.assert(
    fc.property(counts, runs, fc.array(fc.nat(2200), { maxLength: 8, size: 'max' }), (count, steps, probes) => {
      const coverage = new Coverage(count);
      const bits = new Array<boolean>(count).fill(false);
      const check = (of: Coverage): void => {
        expect(of.marked).toBe(bits.filter(Boolean).length);
        expect(of.complete).toBe(bits.every(Boolean));
        for (const probe of [0, count, ...probes.map((p) => Math.min(p, count))]) {
          expect(of.nextGap(probe)).toBe(naiveNext(bits, probe, false));
          expect(of.nextPresent(probe)).toBe(naiveNext(bits, probe, true));
          if (probe < count) expect(of.has(probe)).toBe(bits[probe]);
          const span = { firstChunk: Math.min(probe, naiveNext(bits, 0, true)), endChunk: probe };
          expect(of.hasSpan(span)).toBe(bits.slice(span.firstChunk, span.endChunk).every(Boolean));
        }
      };
      for (const { on, from, length } of steps) {
        for (let chunk = from; chunk < Math.min(count, from + length); chunk++) {
          expect(on ? coverage.mark(chunk) : coverage.unmark(chunk)).toBe(bits[chunk] !== on);
          bits[chunk] = on;
        }
        check(coverage);
      }
      check(Coverage.from(coverage.toBytes(), count));
    }),
    { numRuns: 60 },
  );
});

test('gaps are exactly the missing chunks, in runs that do not touch', () => {
  fc.assert(
    fc.property(counts, runs, fc.nat(2200), fc.nat(2200), (count, steps, a, b) => {
      const coverage = new Coverage(count);
      for (const { on, from, length } of steps) {
        for (let chunk = from; chunk < Math.min(count, from + length); chunk++) {
          if (on) coverage.mark(chunk);
          else coverage.unmark(chunk);
        }
      }
      const span = { firstChunk: Math.min(a, b, count), endChunk: Math.min(Math.max(a, b), count) };
      const missing: number[] = [];
      let lastEnd = -1;
      for (const gap of coverage.gaps(span)) {
        expect(gap.firstChunk).toBeGreaterThan(lastEnd);
        lastEnd = gap.endChunk;
        for (let chunk = gap.firstChunk; chunk < gap.endChunk; chunk++) missing.push(chunk);
      }
      const naive: number[] = [];
      for (let chunk = span.firstChunk; chunk < span.endChunk; chunk++) if (!coverage.has(chunk)) naive.push(chunk);
      expect(missing).toEqual(naive);
    }),
    { numRuns: 60 },
  );
});

test('an image with bits past the end counts only the chunks', () => {
  const coverage = Coverage.from(new Uint8Array([0xff]), 3);
  expect(coverage.marked).toBe(3);
  expect(coverage.toBytes()).toEqual(new Uint8Array([0b111]));
});

test('1 TB at 2 MiB fits in 64 kB', () => {
  expect(new Coverage(Math.ceil(1e12 / 2 ** 21)).toBytes().byteLength).toBeLessThan(60_000);
});

test.each([
  ['a negative count', () => new Coverage(-1)],
  ['an image of the wrong length', () => Coverage.from(new Uint8Array(2), 3)],
  ['a chunk past the end', () => new Coverage(3).mark(3)],
  ['a fractional chunk', () => new Coverage(3).has(0.5)],
  ['a negative chunk', () => new Coverage(3).unmark(-1)],
  ['a search from past the end', () => new Coverage(3).nextGap(4)],
  ['a span past the end', () => new Coverage(3).hasSpan({ firstChunk: 0, endChunk: 4 })],
  ['a reversed span', () => [...new Coverage(3).gaps({ firstChunk: 2, endChunk: 1 })]],
])('refuses %s with a RangeError', (_, act) => {
  expect(act).toThrow(RangeError);
});
