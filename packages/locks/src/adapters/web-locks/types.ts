import type { LockMode } from '../../types.ts';

/** What a callback is given: which lock it holds. It needs no release: the lock lasts as long as the callback's result is open. */
export interface WebLock {
  readonly name: string;
  readonly mode: LockMode;
}

/** Runs while the lock is held. `null`: `ifAvailable` was asked for, and somebody else has the name or waits for it. */
export type LockGrantedCallback<T> = (lock: WebLock | null) => T;

/** What a request may say about itself. */
export interface WebLockOptions {
  /** @default 'exclusive' */
  mode?: LockMode | undefined;
  /** Do not wait: where others hold the name or wait for it, the callback runs at once and is given `null`. @default false */
  ifAvailable?: boolean | undefined;
  /**
   * Take the name from its holders, past all who wait. Their `request` rejects with an AbortError; what they do
   * meanwhile nobody stops. Not with `shared`. @default false
   */
  steal?: boolean | undefined;
  /** Ends the wait. Once the callback runs it means nothing. Not with `ifAvailable` nor `steal`. */
  signal?: AbortSignal | undefined;
}

/** One who holds or waits. */
export interface LockInfo {
  name: string;
  mode: LockMode;
  /** One per lock manager. */
  clientId: string;
}

/** Who holds, in the order of the grants, and who waits, in the order of arrival, at one instant. */
export interface LockManagerSnapshot {
  held: LockInfo[];
  pending: LockInfo[];
}

/** The shape of `navigator.locks`, written out so that it needs the type library of no runtime. */
export interface LockManager {
  /**
   * Runs the callback while holding the name. The promise settles as the callback's result does, after the release.
   *
   * Fairness: first come, first served on each name; shared requests enter together, never past a waiting exclusive
   * one; only `steal` passes others. Cancel: an aborted request leaves the queue at once, and who comes behind moves up.
   *
   * Rejects with a TypeError on a wrong argument; with a NotSupportedError on a name that begins with `-` and on options
   * that exclude each other; with the signal's reason when that aborts before the callback runs; with an AbortError
   * when the lock is stolen; else with what the callback throws.
   * @example
   * await locks.request('video-7', async () => {
   *   await publish();
   * });
   */
  request<T>(name: string, callback: LockGrantedCallback<T>): Promise<Awaited<T>>;
  request<T>(name: string, options: WebLockOptions, callback: LockGrantedCallback<T>): Promise<Awaited<T>>;
  /** How things stand at the call. */
  query(): Promise<LockManagerSnapshot>;
}
