import { type ByteRange, type ChunkSpan, checkByteRange, checkInteger } from '@chunks/base';

export const DEFAULT_CHUNK_SIZE_BYTES: number = 10 * 1024 * 1024;

/** A bitmap of more chunks than this is no longer small: 256 MB. */
export const MAX_CHUNKS: number = 2 ** 31 - 1;

/**
 * How a file of known length falls into chunks of equal size, the last one shorter. Plain arithmetic, immutable.
 * @example
 * const geometry = new ChunkGeometry({ totalBytes: 25, chunkSizeBytes: 10 });
 * geometry.count;                                        // 3
 * geometry.rangeOf(2);                                   // { startByte: 20, endByte: 25 }
 * geometry.chunksFor({ startByte: 9, endByte: 11 });     // { firstChunk: 0, endChunk: 2 }
 */
export class ChunkGeometry {
  readonly totalBytes: number;
  readonly chunkSizeBytes: number;
  /** How many chunks there are; 0 for an empty file. */
  readonly count: number;

  /**
   * @param o.totalBytes length of the file, ≥ 0
   * @param o.chunkSizeBytes bytes a chunk, ≥ 1. @default 10 MiB
   * @throws TypeError | RangeError naming the option; RangeError above 2^31 − 1 chunks
   */
  constructor(o: { totalBytes: number; chunkSizeBytes?: number | undefined }) {
    this.totalBytes = checkInteger('totalBytes', o.totalBytes, 0);
    this.chunkSizeBytes = checkInteger('chunkSizeBytes', o.chunkSizeBytes ?? DEFAULT_CHUNK_SIZE_BYTES, 1);
    this.count = checkInteger('chunk count', Math.ceil(this.totalBytes / this.chunkSizeBytes), 0, MAX_CHUNKS);
  }

  /** The chunk that holds this byte. @throws RangeError unless 0 ≤ byte < totalBytes */
  chunkOf(byte: number): number {
    return Math.floor(checkInteger('byte', byte, 0, this.totalBytes - 1) / this.chunkSizeBytes);
  }

  /** The bytes of one chunk. @throws RangeError unless 0 ≤ chunk < count */
  rangeOf(chunk: number): ByteRange {
    checkInteger('chunk', chunk, 0, this.count - 1);
    const startByte = chunk * this.chunkSizeBytes;
    return { startByte, endByte: Math.min(startByte + this.chunkSizeBytes, this.totalBytes) };
  }

  /** The chunks that hold any byte of the range; none for an empty range. @throws RangeError beyond totalBytes */
  chunksFor(range: ByteRange): ChunkSpan {
    checkByteRange('range', range);
    checkInteger('range.endByte', range.endByte, 0, this.totalBytes);
    const firstChunk = Math.floor(range.startByte / this.chunkSizeBytes);
    if (range.startByte === range.endByte) return { firstChunk, endChunk: firstChunk };
    return { firstChunk, endChunk: Math.ceil(range.endByte / this.chunkSizeBytes) };
  }
}
