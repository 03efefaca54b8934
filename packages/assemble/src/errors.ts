import { CodedError } from '@chunks/base';

/** Stable names of what can go wrong; branch on these. */
export type AssembleErrorCode =
  | 'MISSING_CHUNKS'
  | 'EXTRA_CHUNKS'
  | 'DUPLICATE_CHUNKS'
  | 'SIZE_MISMATCH'
  | 'DIGEST_MISMATCH'
  | 'DESTINATION_EXISTS'
  | 'INSUFFICIENT_SPACE'
  | 'WRITE_FAILED'
  | 'SYNC_FAILED'
  | 'UNSAFE_PATH'
  | 'CHUNK_UNAVAILABLE'
  | 'ASSEMBLY_BUSY';

/** Every failure of this package that is not bad input (TypeError, RangeError) or the caller's own abort reason. */
export abstract class AssembleError extends CodedError {
  abstract override readonly code: AssembleErrorCode;
}

// A listing in a message stays short however many offenders there are.
const listed = (indices: readonly number[], count: number = indices.length): string => {
  const shown = indices.slice(0, 10).join(', ');
  return count > 10 ? `${shown}, … (${count} in all)` : shown;
};

/** Some of the indices below the last one, or bytes at the end, are not there. */
export class MissingChunksError extends AssembleError {
  readonly code = 'MISSING_CHUNKS';
  readonly retryable = true;
  /** Ascending; at most the first 1000. */
  readonly indices: readonly number[];
  /** How many are missing in all, as far as that is known. */
  readonly count: number;

  constructor(o: { indices: readonly number[]; count: number; cause?: unknown }) {
    super(`chunks are missing: ${listed(o.indices, o.count)}`, o);
    this.indices = o.indices;
    this.count = o.count;
  }
}

/** There are chunks behind the end of the file. */
export class ExtraChunksError extends AssembleError {
  readonly code = 'EXTRA_CHUNKS';
  readonly retryable = false;
  readonly indices: readonly number[];

  constructor(o: { indices: readonly number[]; totalBytes: number }) {
    super(`chunks lie behind the end of the file at byte ${o.totalBytes}: ${listed(o.indices)}`);
    this.indices = o.indices;
  }
}

/** An index is given more than once. */
export class DuplicateChunksError extends AssembleError {
  readonly code = 'DUPLICATE_CHUNKS';
  readonly retryable = false;
  readonly indices: readonly number[];

  constructor(o: { indices: readonly number[] }) {
    super(`chunks are given more than once: ${listed(o.indices)}`);
    this.indices = o.indices;
  }
}

/** One size that is not what it should be; `index` is undefined for the whole. */
export interface SizeMismatch {
  readonly index?: number | undefined;
  readonly expected: number;
  readonly actual: number;
}

/** Bytes are too few or too many. Speaks of the first offender; `mismatches` lists all that were found. */
export class SizeMismatchError extends AssembleError {
  readonly code = 'SIZE_MISMATCH';
  readonly retryable = false;
  /** Undefined when it is the whole that does not fit. */
  readonly index: number | undefined;
  readonly expected: number;
  readonly actual: number;
  /** actual − expected */
  readonly difference: number;
  readonly mismatches: readonly SizeMismatch[];

  constructor(first: SizeMismatch, others: readonly SizeMismatch[] = []) {
    const what = first.index === undefined ? 'the bytes' : `chunk ${first.index}`;
    const more = others.length > 0 ? `; further chunks: ${listed(others.map((o) => o.index ?? -1))}` : '';
    super(`${what} should be ${first.expected} bytes, but ${first.actual} are there${more}`);
    this.index = first.index;
    this.expected = first.expected;
    this.actual = first.actual;
    this.difference = first.actual - first.expected;
    this.mismatches = [first, ...others];
  }
}

/** Bytes are not the bytes that the digest was made of. */
export class DigestMismatchError extends AssembleError {
  readonly code = 'DIGEST_MISMATCH';
  readonly retryable = false;
  /** Undefined when it is the whole. */
  readonly index: number | undefined;
  readonly algorithm: string;
  readonly expected: string;
  readonly actual: string;

  constructor(o: { index?: number | undefined; algorithm: string; expected: string; actual: string }) {
    const what = o.index === undefined ? 'the whole' : `chunk ${o.index}`;
    super(`${what} should have ${o.algorithm} ${o.expected}, but has ${o.actual}`);
    this.index = o.index;
    this.algorithm = o.algorithm;
    this.expected = o.expected;
    this.actual = o.actual;
  }
}

/** Something lies at the destination, and `overwrite` was not asked for or cannot help. */
export class DestinationExistsError extends AssembleError {
  readonly code = 'DESTINATION_EXISTS';
  readonly retryable = false;
  readonly path: string;

  constructor(o: { path: string; cause?: unknown }) {
    super(`${o.path} exists already`, o);
    this.path = o.path;
  }
}

/** The file system has less room than the file needs; found before anything was written. */
export class InsufficientSpaceError extends AssembleError {
  readonly code = 'INSUFFICIENT_SPACE';
  readonly retryable = true;
  readonly needBytes: number;
  readonly freeBytes: number;

  constructor(o: { needBytes: number; freeBytes: number }) {
    super(`${o.needBytes} bytes are needed, but only ${o.freeBytes} are free`);
    this.needBytes = o.needBytes;
    this.freeBytes = o.freeBytes;
  }
}

/** A file could not be written or published: `cause` is the system's error (ENOSPC, EIO, EFBIG, …). */
export class WriteFailedError extends AssembleError {
  readonly code = 'WRITE_FAILED';
  readonly retryable = true;
  readonly path: string;
  /** Bytes that this call was to write, and that it wrote before the error. */
  readonly wanted: number;
  readonly written: number;

  constructor(o: { path: string; wanted?: number; written?: number; cause?: unknown }) {
    super(`${o.path} could not be written: ${reason(o.cause)}`, o);
    this.path = o.path;
    this.wanted = o.wanted ?? 0;
    this.written = o.written ?? 0;
  }
}

/** The disk did not confirm. The kernel may have dropped the data: only writing everything again can help. */
export class SyncFailedError extends AssembleError {
  readonly code = 'SYNC_FAILED';
  readonly retryable = true;
  readonly path: string;
  /** True when the complete file stands at its destination already and only its directory entry is not confirmed. */
  readonly published: boolean;

  constructor(o: { path: string; published: boolean; cause: unknown }) {
    super(`${o.path} could not be synced: ${reason(o.cause)}`, o);
    this.path = o.path;
    this.published = o.published;
  }
}

/** A path leads outside its root, through a symbolic link, or to something that is no plain file. */
export class UnsafePathError extends AssembleError {
  readonly code = 'UNSAFE_PATH';
  readonly retryable = false;
  readonly paths: readonly string[];
  readonly indices: readonly number[];

  constructor(o: { paths: readonly string[]; indices?: readonly number[]; why: string }) {
    super(
      `${o.paths
        .slice(0, 3)
        .map((path) => JSON.stringify(path))
        .join(', ')}: ${o.why}`,
    );
    this.paths = o.paths;
    this.indices = o.indices ?? [];
  }
}

/** A chunk is known but cannot be read: `cause` is why. */
export class ChunkUnavailableError extends AssembleError {
  readonly code = 'CHUNK_UNAVAILABLE';
  readonly retryable = true;
  readonly index: number;
  readonly key: string | undefined;

  constructor(o: { index: number; key?: string | undefined; cause?: unknown }) {
    const why = o.cause === undefined ? 'it is not there' : reason(o.cause);
    super(`chunk ${o.index}${o.key === undefined ? '' : ` (${o.key})`} cannot be read: ${why}`, o);
    this.index = o.index;
    this.key = o.key;
  }
}

/** Another run, in this process or another one, is assembling to the same destination. */
export class AssemblyBusyError extends AssembleError {
  readonly code = 'ASSEMBLY_BUSY';
  readonly retryable = true;
  readonly path: string;

  constructor(o: { path: string }) {
    super(`${o.path} is being assembled by another run`);
    this.path = o.path;
  }
}

const reason = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

/** All concrete errors, so that `error.code` narrows to the data of each. */
export type AnyAssembleError =
  | MissingChunksError
  | ExtraChunksError
  | DuplicateChunksError
  | SizeMismatchError
  | DigestMismatchError
  | DestinationExistsError
  | InsufficientSpaceError
  | WriteFailedError
  | SyncFailedError
  | UnsafePathError
  | ChunkUnavailableError
  | AssemblyBusyError;

/** Whether an error is one of this package's own, so that `error.code` tells which. */
export function isAssembleError(error: unknown): error is AnyAssembleError {
  return error instanceof AssembleError;
}
