import { CodedError } from '@chunks/base';
import type { SchemaIssue } from './schema.ts';

/** Every `code` an error of this package can have. */
export type StateErrorCode = StateFailure['code'];

/** What every error of this package is; branch on `code`. */
export abstract class StateError extends CodedError {
  abstract override readonly code: StateErrorCode;
  /** The record's key. */
  readonly key: string;

  constructor(key: string, message: string, options?: { cause?: unknown }) {
    super(`${message} (key ${JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key)})`, options);
    this.key = key;
  }
}

/** Others kept committing first, or `ifVersion` did not hold. Nothing of this update was written. */
export class UpdateConflictError extends StateError {
  readonly code = 'UPDATE_CONFLICT';
  /** False when it was `ifVersion` that failed: the same call cannot succeed. */
  readonly retryable: boolean;
  readonly attempts: number;
  /** The version that stood in the way; 0 when the record did not exist. */
  readonly lastVersion: number;

  constructor(o: { key: string; attempts: number; lastVersion: number; ifVersion?: number | undefined }) {
    super(
      o.key,
      o.ifVersion === undefined
        ? `lost against other writers ${o.attempts} times`
        : `ifVersion ${o.ifVersion} does not hold: version ${o.lastVersion}, or an earlier update of the same commit`,
    );
    this.retryable = o.ifVersion === undefined;
    this.attempts = o.attempts;
    this.lastVersion = o.lastVersion;
  }
}

/** `timeoutMs` ran out before anything of this update was sent; `cause` is the last failure on the way, if any. */
export class UpdateTimeoutError extends StateError {
  readonly code = 'UPDATE_TIMEOUT';
  readonly retryable = true;
  readonly timeoutMs: number;
  readonly attempts: number;

  constructor(o: { key: string; timeoutMs: number; attempts: number; cause: unknown }) {
    super(o.key, `not done within timeoutMs ${o.timeoutMs}`, { cause: o.cause });
    this.timeoutMs = o.timeoutMs;
    this.attempts = o.attempts;
  }
}

/**
 * The update was sent, and whether it was applied cannot be told: it was applied once or not at all. Read the record
 * and look, or give updates an `idempotencyKey` and call again.
 */
export class UpdateAmbiguousError extends StateError {
  readonly code = 'UPDATE_AMBIGUOUS';
  readonly retryable = false;
  readonly attempts: number;
  /** The version on which the update was built: if it was applied, then as the version after this one. */
  readonly lastVersion: number;

  constructor(o: { key: string; attempts: number; lastVersion: number; cause: unknown }) {
    super(o.key, 'sent, but whether it was applied is unknown', { cause: o.cause });
    this.attempts = o.attempts;
    this.lastVersion = o.lastVersion;
  }
}

/** The store failed at every attempt; nothing of this update was written. `cause` is the store's last error. */
export class StoreUnavailableError extends StateError {
  readonly code = 'STORE_UNAVAILABLE';
  readonly retryable = true;
  readonly attempts: number;

  constructor(o: { key: string; attempts: number; cause: unknown }) {
    super(o.key, `the store failed ${o.attempts} times`, { cause: o.cause });
    this.attempts = o.attempts;
  }
}

/**
 * The record is older than what this instance has seen within the last hour: a restored backup, a store that forgot, or
 * a replica that lags. Nothing is written on it.
 */
export class StoreRegressedError extends StateError {
  readonly code = 'STORE_REGRESSED';
  readonly retryable = false;
  readonly version: number;
  /** The newest version seen before. */
  readonly lastVersion: number;

  constructor(o: { key: string; version: number; lastVersion: number }) {
    super(o.key, `the store went back from version ${o.lastVersion} to ${o.version}`);
    this.version = o.version;
    this.lastVersion = o.lastVersion;
  }
}

/**
 * A state that this code cannot take: the record has a format or a shape that it does not know, or the schema refuses it.
 * What is stored is left untouched. Or the schema refused what an updater made: then that one alone is rejected.
 */
export class InvalidStateError extends StateError {
  readonly code = 'INVALID_STATE';
  readonly retryable = false;
  /** What is wrong, and with which state. */
  readonly why: string;
  /** What the schema said; empty when it was not the schema. */
  readonly issues: readonly SchemaIssue[];

  constructor(o: { key: string; why: string; issues?: readonly SchemaIssue[] | undefined; cause?: unknown }) {
    super(o.key, `the state is not valid: ${o.why}`, { cause: o.cause });
    this.why = o.why;
    this.issues = o.issues ?? [];
  }
}

/** What is stored under the key was not written by this package, or was damaged. It is left untouched. */
export class CorruptRecordError extends StateError {
  readonly code = 'CORRUPT_RECORD';
  readonly retryable = false;

  constructor(o: { key: string; cause?: unknown }) {
    super(o.key, 'the stored record cannot be read', { cause: o.cause });
  }
}

/** The record, or a result to be remembered, would be larger than allowed. */
export class ValueTooLargeError extends StateError {
  readonly code = 'VALUE_TOO_LARGE';
  readonly retryable = false;
  /** The record, or the remembered result. */
  readonly what: string;
  readonly bytes: number;
  readonly limit: number;

  constructor(o: { key: string; what: string; bytes: number; limit: number }) {
    super(o.key, `${o.what} has ${o.bytes} bytes, the limit is ${o.limit}`);
    this.what = o.what;
    this.bytes = o.bytes;
    this.limit = o.limit;
  }
}

/** A value that would not come back from the store as it went in; nothing was written. */
export class LossyStateError extends StateError {
  readonly code = 'LOSSY_STATE';
  readonly retryable = false;
  /** Where it stands, such as `state.items[2].at`. */
  readonly path: string;

  constructor(o: { key: string; path: string; cause?: unknown }) {
    super(o.key, `${o.path} does not survive being stored`, { cause: o.cause });
    this.path = o.path;
  }
}

/** The store has no such ability: choose another store, or do without. */
export class UnsupportedError extends StateError {
  readonly code = 'UNSUPPORTED';
  readonly retryable = false;
  /** What was asked for, such as `watch`. */
  readonly capability: string;
  /** The store's name. */
  readonly store: string;

  /** What to take in its place, where there is something. */
  readonly instead: string | undefined;

  constructor(o: { key: string; capability: string; store: string; instead?: string | undefined }) {
    super(o.key, `the store ${o.store} has no ${o.capability}${o.instead === undefined ? '' : `: ${o.instead}`}`);
    this.capability = o.capability;
    this.store = o.store;
    this.instead = o.instead;
  }
}

/** `coalesce.maxPending` updates are waiting already. */
export class PendingFullError extends StateError {
  readonly code = 'PENDING_FULL';
  readonly retryable = true;
  readonly limit: number;

  constructor(o: { key: string; limit: number }) {
    super(o.key, `${o.limit} updates are pending already`);
    this.limit = o.limit;
  }
}

/** `close()` was called before. */
export class StateClosedError extends StateError {
  readonly code = 'STATE_CLOSED';
  readonly retryable = false;

  constructor(o: { key: string }) {
    super(o.key, 'this state was closed');
  }
}

/** Any error of this package, told apart by `code`. */
export type StateFailure =
  | UpdateConflictError
  | UpdateTimeoutError
  | UpdateAmbiguousError
  | StoreUnavailableError
  | StoreRegressedError
  | InvalidStateError
  | CorruptRecordError
  | ValueTooLargeError
  | LossyStateError
  | UnsupportedError
  | PendingFullError
  | StateClosedError;

/**
 * Whether it is an error of this package; narrows to the union of its classes.
 * @example
 * if (isStateError(error) && error.code === 'UPDATE_CONFLICT') console.log(error.lastVersion);
 */
export function isStateError(error: unknown): error is StateFailure {
  return error instanceof StateError;
}

/** The same failure once more, for another caller: no two share an error object. */
export function anew(error: unknown): unknown {
  if (!isStateError(error)) return error;
  // Every class keeps what its constructor takes.
  const Class = error.constructor as new (o: object) => StateError;
  return new Class({ ...error, cause: error.cause });
}
