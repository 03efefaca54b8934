import { type ByteRange, CodedError } from '@chunks/base';

export type ManagerErrorCode =
  | 'WAIT_TIMEOUT'
  | 'CHUNK_FAILED'
  | 'GENERATION_CHANGED'
  | 'UNKNOWN_FILE'
  | 'RANGE_UNSATISFIABLE'
  | 'MANAGER_CLOSED'
  | 'DISK_BUDGET'
  | 'BAD_ORIGIN';

/** What every error of this package is. Branch on `code`; `fileId` says which file it is about. */
export abstract class ManagerError extends CodedError {
  abstract override readonly code: ManagerErrorCode;
  readonly fileId: string;

  constructor(fileId: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.fileId = fileId;
  }
}

/** Nothing arrived for longer than the wait's `timeoutMs`. The chunk stays queued if others still want it. */
export class WaitTimeoutError extends ManagerError {
  readonly code = 'WAIT_TIMEOUT';
  readonly retryable = true;
  /** How long nothing had arrived. */
  readonly waitedMs: number;

  constructor(o: { fileId: string; waitedMs: number }) {
    super(o.fileId, `No byte of ${JSON.stringify(o.fileId)} arrived for ${o.waitedMs} ms`);
    this.waitedMs = o.waitedMs;
  }
}

/** A chunk could not be had. `cause` is the last attempt's error; a new request starts anew. */
export class ChunkFailedError extends ManagerError {
  readonly code = 'CHUNK_FAILED';
  readonly retryable = true;
  readonly chunk: number;
  readonly attempts: number;

  constructor(o: { fileId: string; chunk: number; attempts: number; cause: unknown }) {
    super(o.fileId, `Chunk ${o.chunk} of ${JSON.stringify(o.fileId)} failed after ${o.attempts} attempts`, o);
    this.chunk = o.chunk;
    this.attempts = o.attempts;
  }
}

/** The origin has another version of the file now. Open the file again to get it whole. */
export class GenerationChangedError extends ManagerError {
  readonly code = 'GENERATION_CHANGED';
  readonly retryable = true;
  readonly from: string;
  /** Undefined when only the change is known, not what came of it. */
  readonly to: string | undefined;

  constructor(o: { fileId: string; from: string; to: string | undefined }) {
    super(o.fileId, `${JSON.stringify(o.fileId)} changed from generation ${o.from} to ${o.to ?? 'another'}`);
    this.from = o.from;
    this.to = o.to;
  }
}

/** The file was never opened with `openFile`, or was removed. */
export class UnknownFileError extends ManagerError {
  readonly code = 'UNKNOWN_FILE';
  readonly retryable = false;

  constructor(o: { fileId: string; cause?: unknown }) {
    super(o.fileId, `${JSON.stringify(o.fileId)} is not open: call openFile first`, 'cause' in o ? o : undefined);
  }
}

/** An empty or reversed range, or bytes or chunks that the file does not have. */
export class RangeUnsatisfiableError extends ManagerError {
  readonly code = 'RANGE_UNSATISFIABLE';
  readonly retryable = false;
  /** What was asked for, in bytes; a chunk index outside the file is undefined here. */
  readonly range: ByteRange | undefined;
  readonly totalBytes: number;

  constructor(o: { fileId: string; asked: string; range?: ByteRange | undefined; totalBytes: number }) {
    super(o.fileId, `${JSON.stringify(o.fileId)} has ${o.totalBytes} bytes and no ${o.asked}`);
    this.range = o.range;
    this.totalBytes = o.totalBytes;
  }
}

/** The manager was closed before or while this ran. */
export class ManagerClosedError extends ManagerError {
  readonly code = 'MANAGER_CLOSED';
  readonly retryable = false;

  constructor(o: { fileId: string }) {
    super(o.fileId, 'The manager is closed');
  }
}

/** `diskBudget` leaves no room, and everything that is stored is pinned, waited for or being read. */
export class DiskBudgetError extends ManagerError {
  readonly code = 'DISK_BUDGET';
  readonly retryable = true;
  readonly neededBytes: number;
  readonly maxBytes: number;

  constructor(o: { fileId: string; neededBytes: number; maxBytes: number; cause?: unknown }) {
    super(
      o.fileId,
      `No room for ${o.neededBytes} bytes of ${JSON.stringify(o.fileId)} within ${o.maxBytes}`,
      'cause' in o ? o : undefined,
    );
    this.neededBytes = o.neededBytes;
    this.maxBytes = o.maxBytes;
  }
}

/** The origin answered something that must not be stored: a wrong range, a short or long body, an error status. */
export class BadOriginError extends ManagerError {
  readonly code = 'BAD_ORIGIN';
  /** False for answers that another try will not change, such as 404. */
  readonly retryable: boolean;
  /** The HTTP status, where there was one. */
  readonly status: number | undefined;

  constructor(o: {
    fileId: string;
    problem: string;
    status?: number | undefined;
    retryable?: boolean | undefined;
    cause?: unknown;
  }) {
    super(o.fileId, `Origin of ${JSON.stringify(o.fileId)}: ${o.problem}`, 'cause' in o ? o : undefined);
    this.retryable = o.retryable ?? true;
    this.status = o.status;
  }
}

/** Whether this came from this package. */
export function isManagerError(error: unknown): error is ManagerError {
  return error instanceof ManagerError;
}
