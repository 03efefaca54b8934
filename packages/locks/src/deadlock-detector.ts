import type { Clock } from '@chunks/base';
import type { DeadlockError } from './errors.ts';
import type { LockMode } from './types.ts';

/**
 * Notices when a wait would close a circle of waits; `deadlockDetector()` of `@chunks/locks/deadlock` makes one. Its
 * methods are for the lockers it is given to, and for whoever writes another one.
 */
export interface DeadlockDetector {
  readonly name: string;
  /**
   * In whose name an acquisition is made. Called once for each, in the caller's own async context.
   * @param use what becomes of the lock: it is given to a task (`run`, `runAll`), handed out, or handed out in a group
   * @returns `undefined` when it is nobody's that the detector knows: the locker then asks it nothing more
   */
  claim(use: 'task' | 'lock' | 'group'): DeadlockClaim | undefined;
}

/** One acquisition's link with its detector. The locks it is granted carry it, for as long as they are held. */
export interface DeadlockClaim {
  /**
   * Called before a wait begins, when nothing was changed for it yet.
   * @returns what to refuse it with, when it would close a circle; else it is taken down until {@link left}
   */
  wait(wait: DeadlockWait): DeadlockError | undefined;
  /** The wait is over, whatever it came to. */
  left(wait: DeadlockWait): void;
  /** Runs the task that was given the lock. */
  enter<T>(task: () => T | PromiseLike<T>): Promise<T>;
  /** A group is complete and goes to who asked for it: from here on it is no part of the acquisition. */
  handOut(): void;
}

/** What a detector sees of somebody who waits. */
export interface DeadlockWait {
  readonly sinceMs: number;
  readonly terms: DeadlockTerms & { readonly timeoutMs: number; readonly signal: AbortSignal | undefined };
  readonly table: { readonly clock: Clock };
  /** As things stand now; the waiters in their order. */
  readonly queue: {
    readonly key: string;
    readonly waiters: Iterable<DeadlockWait>;
    holders(): Iterable<DeadlockHolder>;
  };
}

/** What a detector sees of somebody who is in. */
export interface DeadlockHolder {
  readonly held: boolean;
  readonly terms: DeadlockTerms;
}

/** What either said about itself. */
export interface DeadlockTerms {
  readonly mode: LockMode;
  readonly owner: string;
  readonly claim?: DeadlockClaim | undefined;
}
