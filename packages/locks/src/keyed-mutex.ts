import { checkFunction, checkText } from '@chunks/base';
import type { HeldLock } from './held-lock.ts';
import { JointLocks } from './lock-group.ts';
import { LockTable } from './lock-table.ts';
import { retrying } from './retrying.ts';
import { runHolding } from './run-holding.ts';
import { checkKeys, checkSettings, checkTerms, type Settings, type Terms } from './settings.ts';
import { snapshotOf, statsOf } from './telemetry.ts';
import type {
  AcquireOptions,
  KeyedMutexOptions,
  LocalLock,
  LockEvents,
  Locker,
  LockGroup,
  LockSnapshot,
  LockStats,
  TryOptions,
} from './types.ts';

/** Whether the lock is given to a task, handed out, or handed out in a group. */
type Use = 'task' | 'lock' | 'group';

/**
 * One lock per key, for the tasks of one process, with timeouts, cancellation, shared mode and leases that end.
 *
 * Fairness: first come, first served on each key. A newcomer never passes a waiter; shared holders enter together, but
 * never past a waiting exclusive one. Keys know nothing of each other.
 *
 * An idle mutex holds no entry for any key and at most one timer, which keeps no process alive.
 * @example
 * const locks = new KeyedMutex({ timeoutMs: 5_000 });
 * await locks.run('video-7/chunk-3', async (lock) => {
 *   await writeChunk(bytes, { token: lock.token });
 * });
 */
export class KeyedMutex implements Locker<LocalLock> {
  readonly #settings: Settings;
  readonly #table: LockTable;

  /** @throws TypeError | RangeError naming option, rule and value. */
  constructor(options: KeyedMutexOptions = {}) {
    this.#settings = checkSettings(options);
    this.#table = new LockTable(this.#settings);
  }

  /**
   * Waits for the key and returns the lock, which must be released; after `leaseMs` unreleased it is taken away.
   *
   * Fairness: first come, first served. Cancel: an abort or a timeout leaves the queue at once, in O(1), and what comes
   * behind moves up; when the grant came first, the lock is returned.
   * @throws LockTimeoutError when the key is not free within `timeoutMs`.
   * @throws LockClosedError when the mutex is or gets closed.
   * @throws QueueFullError when `maxWaiting` others wait.
   * @throws DeadlockError when a detector was given and the wait would close a circle of waits.
   * @throws TypeError | RangeError on bad input; the signal's own reason when that aborts.
   * @example
   * const lock = await locks.acquire('video-7', { timeoutMs: 500, signal });
   * try {
   *   await publish();
   * } finally {
   *   lock.release();
   * }
   */
  acquire(key: string, options?: AcquireOptions): Promise<LocalLock> {
    return this.#acquire(key, options, 'lock');
  }

  /**
   * The lock, when the key is free and nobody waits for it; else `undefined`, at once.
   * @throws LockClosedError when the mutex is closed.
   * @throws TypeError | RangeError on bad input; the signal's own reason when that has aborted.
   */
  tryAcquire(key: string, options?: TryOptions): LocalLock | undefined {
    checkText('key', key);
    return this.#table.tryAcquire(key, this.#terms(options, 'lock'));
  }

  /**
   * Runs the task under the key's lock and releases it when the task has settled, and never before. The lock lasts ten
   * leases unless `maxHoldMs` says otherwise; a task that may take longer extends it.
   *
   * Fairness and cancel: as {@link acquire}; once the task runs, `signal` means nothing and `lock.signal` tells of a loss.
   * @throws whatever the task throws, and what {@link acquire} throws.
   * @throws LockLostError when the lock was lost under the task, after that has settled: its outcome is `value` or `cause`.
   * @example
   * const size = await locks.run('video-7', (lock) => append(bytes, lock.signal), { timeoutMs: 2_000 });
   */
  async run<T>(key: string, task: (lock: LocalLock) => T | PromiseLike<T>, options?: AcquireOptions): Promise<T> {
    checkFunction('task', task);
    const lock = await this.#acquire(key, options, 'task');
    return runHolding(lock, task, lock.terms.claim);
  }

  /**
   * All of these keys or none: duplicates count once, the order given does not matter, and groups never wait for each
   * other in a circle. `timeoutMs` covers the whole. While the last key is waited for, no member's lease runs; all of
   * them count from the moment the group is complete.
   *
   * Fairness: first come, first served on each key, one key after the other in sorted order.
   * Cancel: members that were granted already are released.
   * @throws what {@link acquire} throws.
   * @example
   * const both = await locks.acquireAll(['account-1', 'account-2'], { timeoutMs: 1_000 });
   * try {
   *   await transfer();
   * } finally {
   *   await both.release();
   * }
   */
  acquireAll(keys: Iterable<string>, options?: AcquireOptions): Promise<LockGroup<LocalLock>> {
    return this.#acquireAll(keys, options, 'group');
  }

  /**
   * {@link run} under all of these keys.
   * @throws what {@link run} throws; LockLostError already when one member was lost.
   */
  async runAll<T>(
    keys: Iterable<string>,
    task: (locks: LockGroup<LocalLock>) => T | PromiseLike<T>,
    options?: AcquireOptions,
  ): Promise<T> {
    checkFunction('task', task);
    const group = await this.#acquireAll(keys, options, 'task');
    return runHolding(group, task, (group.locks[0] as HeldLock | undefined)?.terms.claim);
  }

  /** Whether somebody holds the key. True is old news as soon as it is told: to act on it, use {@link tryAcquire}. */
  isLocked(key: string): boolean {
    checkText('key', key);
    this.#table.catchUp();
    return this.#table.entries.has(key);
  }

  /** Counters and how things stand. Visits every lock and waiter: for once a second, not for every request. */
  stats(): LockStats {
    return statsOf(this.snapshot(), this.#table.telemetry);
  }

  /** Everybody who holds or waits, at this instant. */
  snapshot(): LockSnapshot {
    const nowMs = this.#table.catchUp();
    return snapshotOf(this.#table.entries.values(), nowMs);
  }

  /**
   * Listens to one kind of event. The listener runs inside the call or timer that caused it; when it throws, the error
   * surfaces as an uncaught one and the lock goes on undisturbed.
   * @returns takes the listener off again.
   */
  on<E extends keyof LockEvents>(event: E, listener: (event: LockEvents[E]) => void): () => void {
    checkFunction('listener', listener);
    return this.#table.telemetry.on(event, listener);
  }

  /**
   * Waiters reject LOCK_CLOSED, nothing new is granted. Resolves when every held lock is released or expired; with
   * endless leases or `onExpired: 'report'` only a release counts. A second call gives the same promise.
   */
  close(): Promise<void> {
    return this.#table.close();
  }

  /** {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // Not an async function: an uncontended lock costs one resolved promise and nothing else.
  #acquire(key: string, options: AcquireOptions | undefined, use: Use): Promise<HeldLock> {
    try {
      checkText('key', key);
      const terms = this.#terms(options, use);
      if (options?.retry !== undefined) return this.#acquirePatiently(key, terms, options);
      return Promise.resolve(this.#table.acquire(key, terms));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  // Apart from the above, where its closure would cost each call a context on the heap.
  #acquirePatiently(key: string, terms: Terms, options: AcquireOptions): Promise<HeldLock> {
    return this.#retry(options, async () => this.#table.acquire(key, terms));
  }

  async #acquireAll(
    keys: Iterable<string>,
    options: AcquireOptions | undefined,
    use: Use,
  ): Promise<JointLocks<HeldLock>> {
    const sorted = checkKeys(keys);
    const terms = this.#terms(options, use);
    const group = await this.#retry(options, () => this.#enterAll(sorted, terms));
    if (use === 'group') terms.claim?.handOut();
    return group;
  }

  async #enterAll(keys: readonly string[], terms: Terms): Promise<JointLocks<HeldLock>> {
    // Where there are no keys, nothing else would ask.
    const sinceMs = this.#table.admission(keys[0] ?? '', terms);
    const endless = { ...terms, holdMs: Number.POSITIVE_INFINITY };
    const locks: HeldLock[] = [];
    try {
      for (const key of keys) locks.push(await this.#table.acquire(key, endless, sinceMs));
    } catch (error) {
      for (const lock of locks) lock.release();
      throw error;
    }
    const expiresAtMs = this.#settings.clock.now() + terms.holdMs;
    for (const lock of locks) this.#table.setExpiry(lock, expiresAtMs);
    return new JointLocks(locks);
  }

  #terms(options: AcquireOptions | undefined, use: Use): Terms {
    const terms = checkTerms(this.#settings, options, use === 'task');
    const claim = this.#settings.deadlocks?.claim(use);
    return claim === undefined ? terms : { ...terms, claim };
  }

  #retry<T>(options: AcquireOptions | undefined, attempt: () => Promise<T>): Promise<T> {
    const { retry, signal } = options ?? {};
    if (retry === undefined) return attempt();
    return retrying(retry, this.#settings.random, (ms) => this.#table.agenda.pause(ms, signal), attempt);
  }
}
