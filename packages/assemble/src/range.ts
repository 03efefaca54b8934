/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Byte ranges out of chunks that lie anywhere, each chunk checked before it goes out. No `node:` import.
 * @module
 */
export type { ByteRange, ByteSource, MaybePromise, OwnBytes } from '@chunks/base';
export type { ChunkMismatch, FetchChunk } from './checked-chunk.ts';
export { copyForStore } from './copy-for-store.ts';
export {
  AssembleError,
  type AssembleErrorCode,
  ChunkUnavailableError,
  DigestMismatchError,
  DuplicateChunksError,
  ExtraChunksError,
  isAssembleError,
  MissingChunksError,
  type SizeMismatch,
  SizeMismatchError,
} from './errors.ts';
export { type RangeRead, type ReadRangeOptions, readRange } from './read-range.ts';
export { checkSize } from './size-policy.ts';
export { type ChunkSlice, sliceRange } from './slice-range.ts';
export type { ChunkInfo, Digest, Manifest, SizePolicy } from './types.ts';
