import { type ByteRange, checkByteRange, refuseRange } from '@chunks/base';
import { layoutOf, type PlacedChunk } from './chunk-order.ts';
import type { Manifest } from './types.ts';

/** Part of a chunk; `range` counts from the chunk's own first byte. */
export interface ChunkSlice {
  readonly index: number;
  readonly range: ByteRange;
}

/**
 * Which bytes of which chunks make up a range of the file, in order; empty chunks are left out.
 * @throws RangeError when the range does not lie inside the file, and whatever is wrong with the manifest:
 * TypeError, MissingChunksError, ExtraChunksError, DuplicateChunksError, SizeMismatchError.
 * @example
 * sliceRange(manifest, { startByte: 90, endByte: 110 });
 * // [{ index: 0, range: { startByte: 90, endByte: 100 } }, { index: 1, range: { startByte: 0, endByte: 10 } }]
 */
export function sliceRange(manifest: Manifest, range: ByteRange): ChunkSlice[] {
  const layout = layoutOf(manifest);
  checkByteRange('range', range);
  if (range.endByte > manifest.totalBytes) {
    refuseRange('range.endByte', `at most the file's ${manifest.totalBytes} bytes`, range.endByte);
  }
  return slicesOf(layout, range);
}

/** {@link sliceRange} on a layout that is known to be right. */
export function slicesOf(layout: readonly PlacedChunk[], range: ByteRange): ChunkSlice[] {
  const slices: ChunkSlice[] = [];
  for (let i = firstEndingAfter(layout, range.startByte); i < layout.length; i++) {
    const chunk = layout[i] as PlacedChunk;
    if (chunk.startByte >= range.endByte) break;
    const startByte = Math.max(range.startByte, chunk.startByte) - chunk.startByte;
    const endByte = Math.min(range.endByte, chunk.endByte) - chunk.startByte;
    if (startByte < endByte) slices.push({ index: chunk.index, range: { startByte, endByte } });
  }
  return slices;
}

// By bisection: a seek near the end of a long film does not walk past all chunks before.
function firstEndingAfter(layout: readonly PlacedChunk[], byte: number): number {
  let low = 0;
  let high = layout.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((layout[middle] as PlacedChunk).endByte <= byte) low = middle + 1;
    else high = middle;
  }
  return low;
}
