import { checkInteger, refuseType } from '@chunks/base';
import { DuplicateChunksError, ExtraChunksError, MissingChunksError, SizeMismatchError } from './errors.ts';
import type { ChunkInfo, Manifest } from './types.ts';

// An index of 2^50 in a hostile manifest must not make a list of 2^50 numbers.
const MAX_LISTED = 1000;

/** A chunk with its place in the file. */
export interface PlacedChunk {
  readonly index: number;
  readonly startByte: number;
  readonly endByte: number;
}

/**
 * Chunks by ascending index, which is complete from 0 on. `count` is how many there must be, when that is known.
 * @throws DuplicateChunksError | ExtraChunksError | MissingChunksError listing every offender.
 */
export function inOrder<C extends ChunkInfo>(chunks: Iterable<C>, o: { count?: number; totalBytes: number }): C[] {
  const ordered = [...chunks];
  for (const [i, chunk] of ordered.entries()) {
    if (typeof chunk !== 'object' || chunk === null) refuseType(`chunks[${i}]`, 'a chunk', chunk);
    checkInteger(`chunks[${i}].index`, chunk.index, 0);
    if (chunk.size !== undefined) checkInteger(`chunks[${i}].size`, chunk.size, 0);
  }
  ordered.sort((a, b) => a.index - b.index);
  const duplicates = ordered.filter((chunk, i) => i > 0 && ordered[i - 1]?.index === chunk.index);
  if (duplicates.length > 0) {
    throw new DuplicateChunksError({ indices: [...new Set(duplicates.map((chunk) => chunk.index))] });
  }
  const count = o.count ?? (ordered.at(-1)?.index ?? -1) + 1;
  const extra = ordered.filter((chunk) => chunk.index >= count);
  if (extra.length > 0) {
    throw new ExtraChunksError({ indices: extra.map((chunk) => chunk.index), totalBytes: o.totalBytes });
  }
  if (ordered.length < count) throw missing(ordered, count);
  return ordered;
}

function missing(ordered: readonly ChunkInfo[], count: number): MissingChunksError {
  const indices: number[] = [];
  let next = 0;
  // The sentinel at `count` closes the last gap.
  for (const index of [...ordered.map((chunk) => chunk.index), count]) {
    for (; next < index && indices.length < MAX_LISTED; next++) indices.push(next);
    next = index + 1;
  }
  return new MissingChunksError({ indices, count: count - ordered.length });
}

/**
 * Where chunks of known sizes lie in a file of `totalBytes`.
 * @throws MissingChunksError when bytes lack at the end, ExtraChunksError for chunks that start behind the end,
 * SizeMismatchError when a chunk crosses the end.
 */
export function place(sizes: readonly number[], totalBytes: number): PlacedChunk[] {
  let at = 0;
  const placed = sizes.map((size, index) => ({ index, startByte: at, endByte: (at += size) }));
  if (at === totalBytes) return placed;
  if (at < totalBytes) throw new MissingChunksError({ indices: [sizes.length], count: 1 });
  const extra = placed.filter((chunk) => chunk.startByte >= totalBytes && chunk.endByte > chunk.startByte);
  const crossing = placed.some((chunk) => chunk.startByte < totalBytes && chunk.endByte > totalBytes);
  if (crossing) throw new SizeMismatchError({ expected: totalBytes, actual: at });
  throw new ExtraChunksError({ indices: extra.map((chunk) => chunk.index), totalBytes });
}

/** The size that a chunk of an equally cut file has. */
export const cutSize = (index: number, totalBytes: number, chunkSizeBytes: number): number =>
  Math.min(chunkSizeBytes, totalBytes - index * chunkSizeBytes);

/** @throws TypeError | RangeError for a manifest that is none. */
export function checkManifest(manifest: Manifest): void {
  if (typeof manifest !== 'object' || manifest === null) refuseType('manifest', 'a manifest', manifest);
  if (manifest.version !== 1) refuseType('manifest.version', '1', manifest.version);
  checkInteger('manifest.totalBytes', manifest.totalBytes, 0);
  if (manifest.chunkSizeBytes !== undefined) checkInteger('manifest.chunkSizeBytes', manifest.chunkSizeBytes, 1);
  if (!Array.isArray(manifest.chunks)) refuseType('manifest.chunks', 'an array', manifest.chunks);
}

/**
 * The layout that a manifest speaks of. A size that is not given follows from `chunkSizeBytes`, or, if it is the only
 * one, from the total.
 * @throws TypeError when sizes cannot be known, and what {@link inOrder} and {@link place} throw.
 */
export function layoutOf(manifest: Manifest): PlacedChunk[] {
  checkManifest(manifest);
  const { totalBytes, chunkSizeBytes } = manifest;
  const ordered = inOrder(manifest.chunks, expectedCount(manifest));
  const unknown = ordered.filter((chunk) => chunk.size === undefined);
  if (chunkSizeBytes === undefined && unknown.length > 1) {
    refuseType('manifest.chunkSizeBytes', 'given when chunks have no size', chunkSizeBytes);
  }
  const known = ordered.reduce((sum, chunk) => sum + (chunk.size ?? 0), 0);
  const sizes = ordered.map((chunk) => {
    if (chunkSizeBytes === undefined) return chunk.size ?? Math.max(0, totalBytes - known);
    const expected = cutSize(chunk.index, totalBytes, chunkSizeBytes);
    if (chunk.size !== undefined && chunk.size !== expected) {
      throw new SizeMismatchError({ index: chunk.index, expected, actual: chunk.size });
    }
    return expected;
  });
  return place(sizes, totalBytes);
}

/** What {@link inOrder} needs to know of a manifest. */
export function expectedCount(manifest: Manifest): { count?: number; totalBytes: number } {
  const { totalBytes, chunkSizeBytes, chunks } = manifest;
  if (chunkSizeBytes === undefined) return { totalBytes };
  // An empty file may come as no chunk or as one empty chunk: uploaders differ.
  if (totalBytes === 0) return { count: Math.min(1, chunks.length), totalBytes };
  return { count: Math.ceil(totalBytes / chunkSizeBytes), totalBytes };
}
