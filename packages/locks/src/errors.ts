import { CodedError } from '@chunks/base';

/** What to branch on. */
export type LockErrorCode =
  | 'LOCK_TIMEOUT'
  | 'LOCK_LOST'
  | 'LOCK_CLOSED'
  | 'LOCK_UNAVAILABLE'
  | 'LOCK_DEADLOCK'
  | 'LOCK_QUEUE_FULL'
  | 'LOCK_STALE_TOKEN'
  | 'LOCK_MODE_UNSUPPORTED';

/** What every error of this package is. An abort is none of these: it rejects with the signal's own reason. */
export abstract class LockError extends CodedError {
  abstract override readonly code: LockErrorCode;
  readonly key: string;

  /** @param what became of the key: the message, but for the key itself */
  constructor(key: string, what: string, options?: { cause?: unknown }) {
    super(JSON.stringify(key) + what, options);
    this.key = key;
  }
}

/** The key was not free within `timeoutMs`; where the store did not answer for so long, the `cause` is LOCK_UNAVAILABLE. */
export class LockTimeoutError extends LockError {
  readonly code = 'LOCK_TIMEOUT';
  readonly retryable = true;
  readonly waitedMs: number;
  /** Who held the key at that moment; of several shared holders, one. */
  readonly holder: { owner: string; heldMs: number } | undefined;

  constructor(
    key: string,
    waitedMs: number,
    holder: { owner: string; heldMs: number } | undefined,
    options?: { cause?: LockUnavailableError },
  ) {
    const by = holder && ` (held for ${holder.heldMs} ms by ${JSON.stringify(holder.owner)})`;
    super(key, ` was not free within ${waitedMs} ms${by ?? ''}`, options);
    this.waitedMs = waitedMs;
    this.holder = holder;
  }
}

/** The lock was not ours any more: its lease had ended, or it had been released. */
export class LockLostError extends LockError {
  readonly code = 'LOCK_LOST';
  readonly retryable = false;
  /** From `run`: what the task returned all the same; when it threw instead, that is the `cause`. */
  readonly value: unknown;

  constructor(key: string, outcome?: { value?: unknown; cause?: unknown }) {
    super(key, ` is not ours any more: the lease ended or was released`, outcome);
    this.value = outcome?.value;
  }
}

/** The locker was closed. */
export class LockClosedError extends LockError {
  readonly code = 'LOCK_CLOSED';
  readonly retryable = false;

  constructor(key: string) {
    super(key, ` was not granted: the locker is closed`);
  }
}

/** The wait would have closed a circle in which everybody waits for the next. Nobody else in it was disturbed. */
export class DeadlockError extends LockError {
  readonly code = 'LOCK_DEADLOCK';
  readonly retryable = false;
  /**
   * Who was refused, then who holds what that one wants, and so on: the last one wants what the first one holds. Who
   * only stands before somebody in a key's line "holds" that key, too.
   */
  readonly cycle: readonly { owner: string; holds: string; wants: string }[];

  constructor(key: string, cycle: readonly { owner: string; holds: string; wants: string }[]) {
    const say = JSON.stringify;
    const links = cycle.map(({ owner, holds, wants }) => `${say(owner)} holds ${say(holds)} and wants ${say(wants)}`);
    super(key, ` was not waited for, as that would never end: ${links.join('; ')}`);
    this.cycle = cycle;
  }
}

/** The store did not answer, or not in a way that tells who has the key. It says nothing about whether that is free. */
export class LockUnavailableError extends LockError {
  readonly code = 'LOCK_UNAVAILABLE';
  readonly retryable = true;

  /** @param store the driver's name; the client's own error is the `cause` */
  constructor(key: string, store: string, cause: unknown) {
    const why = cause instanceof Error ? `: ${cause.message}` : '';
    super(key, `: no answer from the store ${JSON.stringify(store)}${why}`, { cause });
  }
}

/** As many waiters as `maxWaiting` allows are in the queues. */
export class QueueFullError extends LockError {
  readonly code = 'LOCK_QUEUE_FULL';
  readonly retryable = true;

  constructor(key: string, maxWaiting: number) {
    super(key, ` was not queued: maxWaiting (${maxWaiting}) is reached`);
  }
}

/** A write of an older holder: somebody with a higher token has written since. */
export class StaleTokenError extends LockError {
  readonly code = 'LOCK_STALE_TOKEN';
  readonly retryable = false;
  readonly token: number;
  readonly storedToken: number;

  constructor(key: string, token: number, storedToken: number) {
    super(key, ` was written under token ${storedToken} already, ${token} is older`);
    this.token = token;
    this.storedToken = storedToken;
  }
}

/** The store cannot keep leases of this mode. */
export class LockModeError extends LockError {
  readonly code = 'LOCK_MODE_UNSUPPORTED';
  readonly retryable = false;

  constructor(key: string, mode: string, store: string) {
    super(key, `: the store ${JSON.stringify(store)} has no ${mode} leases`);
  }
}

/** Whether it is one of this package's errors; `code` then tells which. */
export function isLockError(
  error: unknown,
): error is
  | LockTimeoutError
  | LockLostError
  | LockClosedError
  | LockUnavailableError
  | DeadlockError
  | QueueFullError
  | StaleTokenError
  | LockModeError {
  return error instanceof LockError;
}
