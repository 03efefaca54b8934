import { ChunkGeometry } from '@chunks/manager';
import fc from 'fast-check';
import { expect, test } from 'vitest';

test('every byte lies in exactly one chunk, the chunks follow one another and end with the file', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 1, max: 60 }), (totalBytes, chunkSizeBytes) => {
      const geometry = new ChunkGeometry({ totalBytes, chunkSizeBytes });
      let at = 0;
      for (let chunk = 0; chunk < geometry.count; chunk++) {
        const { startByte, endByte } = geometry.rangeOf(chunk);
        expect(startByte).toBe(at);
        expect(endByte - startByte).toBeGreaterThan(0);
        expect(endByte - startByte).toBeLessThanOrEqual(chunkSizeBytes);
        if (chunk < geometry.count - 1) expect(endByte - startByte).toBe(chunkSizeBytes);
        for (let byte = startByte; byte < endByte; byte++) expect(geometry.chunkOf(byte)).toBe(chunk);
        at = endByte;
      }
      expect(at).toBe(totalBytes);
    }),
    { numRuns: 60 },
  );
});

test('chunksFor is the span of the chunks of its bytes', () => {
  const cases = fc
    .tuple(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 60 }), fc.nat(300), fc.nat(300))
    .map(([total, size, a, b]) => ({
      geometry: new ChunkGeometry({ totalBytes: total, chunkSizeBytes: size }),
      range: { startByte: Math.min(a, b, total), endByte: Math.min(Math.max(a, b), total) },
    }));
  fc.assert(
    fc.property(cases, ({ geometry, range }) => {
      const chunks = new Set<number>();
      for (let byte = range.startByte; byte < range.endByte; byte++) chunks.add(geometry.chunkOf(byte));
      const { firstChunk, endChunk } = geometry.chunksFor(range);
      expect(endChunk - firstChunk).toBe(chunks.size);
      if (chunks.size > 0) expect([firstChunk, endChunk - 1]).toEqual([Math.min(...chunks), Math.max(...chunks)]);
    }),
  );
});

test('chunks are 10 MiB unless told otherwise', () => {
  expect(new ChunkGeometry({ totalBytes: 1 }).chunkSizeBytes).toBe(10_485_760);
});

test('sizes beyond 2^32 stay exact', () => {
  const geometry = new ChunkGeometry({ totalBytes: 2 ** 40, chunkSizeBytes: 2 ** 21 });
  expect(geometry.count).toBe(524_288);
  expect(geometry.chunkOf(2 ** 40 - 1)).toBe(524_287);
  expect(geometry.rangeOf(524_287)).toEqual({ startByte: 2 ** 40 - 2 ** 21, endByte: 2 ** 40 });
});

test.each([
  ['negative total', () => new ChunkGeometry({ totalBytes: -1 })],
  ['fractional total', () => new ChunkGeometry({ totalBytes: 1.5 })],
  ['chunk size 0', () => new ChunkGeometry({ totalBytes: 1, chunkSizeBytes: 0 })],
  ['too many chunks', () => new ChunkGeometry({ totalBytes: 2 ** 40, chunkSizeBytes: 1 })],
  ['byte past the end', () => new ChunkGeometry({ totalBytes: 5 }).chunkOf(5)],
  ['any byte of an empty file', () => new ChunkGeometry({ totalBytes: 0 }).chunkOf(0)],
  ['negative chunk', () => new ChunkGeometry({ totalBytes: 5 }).rangeOf(-1)],
  ['chunk past the end', () => new ChunkGeometry({ totalBytes: 5 }).rangeOf(1)],
  ['range past the end', () => new ChunkGeometry({ totalBytes: 5 }).chunksFor({ startByte: 0, endByte: 6 })],
  ['reversed range', () => new ChunkGeometry({ totalBytes: 5 }).chunksFor({ startByte: 3, endByte: 2 })],
])('refuses %s with a RangeError', (_, build) => {
  expect(build).toThrow(RangeError);
});
