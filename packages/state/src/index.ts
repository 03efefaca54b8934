/// <reference lib="esnext.disposable" preserve="true" />
export type { Clock, Histogram, Jitter, MaybePromise } from '@chunks/base';
export { createState } from './create-state.ts';
export {
  CorruptRecordError,
  InvalidStateError,
  isStateError,
  LossyStateError,
  PendingFullError,
  StateClosedError,
  StateError,
  type StateErrorCode,
  type StateFailure,
  StoreRegressedError,
  StoreUnavailableError,
  UnsupportedError,
  UpdateAmbiguousError,
  UpdateConflictError,
  UpdateTimeoutError,
  ValueTooLargeError,
} from './errors.ts';
export { memoryStore } from './memory-store.ts';
export type { SchemaIssue, SchemaResult, StandardSchema } from './schema.ts';
export type { Revision, VersionedStore, WriteResult } from './store.ts';
export type {
  Replayed,
  State,
  StateOptions,
  StateStats,
  UpdateContext,
  Updated,
  UpdateOptions,
  Updater,
  Versioned,
} from './types.ts';
