/// <reference lib="esnext.disposable" preserve="true" />
export type { ByteRange, ByteSource, ChunkSpan, Clock, Histogram, MaybePromise, OwnBytes } from '@chunks/base';
export { Coverage } from './coverage.ts';
export {
  BadOriginError,
  ChunkFailedError,
  DiskBudgetError,
  GenerationChangedError,
  isManagerError,
  ManagerClosedError,
  ManagerError,
  type ManagerErrorCode,
  RangeUnsatisfiableError,
  UnknownFileError,
  WaitTimeoutError,
} from './errors.ts';
export { ChunkGeometry } from './geometry.ts';
export { ChunkManager } from './manager.ts';
export { memoryRepository } from './memory-repository.ts';
export { memoryChunkStore } from './memory-store.ts';
export { type PerPriority, Priority } from './priority.ts';
export { ChunkQueue } from './queue.ts';
export type * from './types.ts';
