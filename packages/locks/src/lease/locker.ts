import { checkFunction, checkText, onAbort } from '@chunks/base';
import { LockModeError } from '../errors.ts';
import type { LeaseDriver } from '../lease-driver.ts';
import { JointLocks } from '../lock-group.ts';
import { retrying } from '../retrying.ts';
import { runHolding } from '../run-holding.ts';
import { checkKeys, type Terms } from '../settings.ts';
import { snapshotOf, statsOf } from '../telemetry.ts';
import type {
  AcquireOptions,
  LeasedLock,
  LeaseLocker,
  LeaseLockerOptions,
  LockEvents,
  LockGroup,
  LockSnapshot,
  LockStats,
  TryOptions,
} from '../types.ts';
import type { LeasedHold } from './leased-hold.ts';
import { checkDriver, checkLeaseSettings, checkLeaseTerms, type LeaseSettings } from './settings.ts';
import { LeaseTable } from './table.ts';
import type { Patience } from './waiter.ts';

/**
 * One lock per key for all processes that use the same store: the calls of a `KeyedMutex`, with leases in the store
 * instead of entries in a map.
 *
 * Fairness: first come, first served among the waiters of this process on each key. Among processes each key has one
 * contender a process: in the store's own line where it keeps one, else whoever asks first after a release. A live lease
 * goes from one local waiter to the next without the store, within `handOff`, so that other processes get their turn.
 *
 * A lock is renewed at a third of its lease, up to `maxHoldMs` (10 leases unless told otherwise). It counts from when the
 * store was asked, less `driftMs`, so `signal` aborts and `held` is false before anybody else can be granted the key.
 *
 * Busy is waited for. A store that does not answer, also not to the same question put once more, is LOCK_UNAVAILABLE for
 * all who wait for that key: whether it is free is not known then, and nobody is let in.
 *
 * Cancel: a timeout or an abort ends the wait at once; a question that is on its way to the store goes to the next in
 * line, and what nobody wants any more is given back. `timeoutMs: 0` and `tryAcquire` ask the store once.
 *
 * Differences to `KeyedMutex`: `leaseMs` is finite and more than `driftMs`; tokens are the driver's × 128 + the local
 * grant; `isLocked` asks the store (`inspect`), and knows of this process alone where the driver has none.
 * @param driver where the leases live; closed with the locker
 * @throws TypeError | RangeError naming option, rule and value.
 * @example
 * const locks = leaseLocker(redisLeases(client), { timeoutMs: 5_000 });
 * await locks.run('video-7', async (lock) => {
 *   await publish(lock.token, lock.signal);
 * });
 */
export function leaseLocker(driver: LeaseDriver, options: LeaseLockerOptions = {}): LeaseLocker {
  checkDriver(driver);
  return new LeasedLocks(driver, checkLeaseSettings(options));
}

class LeasedLocks implements LeaseLocker {
  readonly #settings: LeaseSettings;
  readonly #table: LeaseTable;

  constructor(driver: LeaseDriver, settings: LeaseSettings) {
    this.#settings = settings;
    this.#table = new LeaseTable(driver, settings);
  }

  async acquire(key: string, options?: AcquireOptions): Promise<LeasedLock> {
    checkText('key', key);
    const terms = this.#terms(key, options);
    return this.#retrying(key, options, () => this.#enter(key, terms));
  }

  async tryAcquire(key: string, options?: TryOptions): Promise<LeasedLock | undefined> {
    checkText('key', key);
    return this.#table.acquire(key, this.#terms(key, options), 'try');
  }

  async run<T>(key: string, task: (lock: LeasedLock) => T | PromiseLike<T>, options?: AcquireOptions): Promise<T> {
    checkFunction('task', task);
    return runHolding(await this.acquire(key, options), task);
  }

  async acquireAll(keys: Iterable<string>, options?: AcquireOptions): Promise<LockGroup<LeasedLock>> {
    const sorted = checkKeys(keys);
    const [first = ''] = sorted;
    const terms = this.#terms(first, options);
    return this.#retrying(first, options, () => this.#enterAll(sorted, terms));
  }

  async runAll<T>(
    keys: Iterable<string>,
    task: (locks: LockGroup<LeasedLock>) => T | PromiseLike<T>,
    options?: AcquireOptions,
  ): Promise<T> {
    checkFunction('task', task);
    return runHolding(await this.acquireAll(keys, options), task);
  }

  async isLocked(key: string): Promise<boolean> {
    checkText('key', key);
    this.#table.catchUp();
    const line = this.#table.lines.get(key);
    const [holder] = line?.holders() ?? [];
    // What is held here needs no question; what a driver cannot tell is not known to be held.
    if (holder !== undefined) return true;
    // A question may overtake a release.
    await line?.left;
    return (await this.#table.inBackground(this.#table.store.isHeld(key))) ?? false;
  }

  stats(): LockStats {
    return statsOf(this.snapshot(), this.#table.telemetry);
  }

  snapshot(): LockSnapshot {
    const nowMs = this.#table.catchUp();
    return snapshotOf(this.#table.lines.values(), nowMs);
  }

  on<E extends keyof LockEvents>(event: E, listener: (event: LockEvents[E]) => void): () => void {
    checkFunction('listener', listener);
    return this.#table.telemetry.on(event, listener);
  }

  close(): Promise<void> {
    return this.#table.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #terms(key: string, options: AcquireOptions | undefined): Terms {
    const terms = checkLeaseTerms(this.#settings, options);
    const { driver } = this.#table.store;
    // Before anything is asked of it.
    if (!driver.modes.includes(terms.mode)) throw new LockModeError(key, terms.mode, driver.name);
    return terms;
  }

  #enter(key: string, terms: Terms, sinceMs?: number): Promise<LeasedHold> {
    const patience: Patience = terms.timeoutMs === 0 ? 'once' : 'wait';
    // Only a try resolves to nothing.
    return this.#table.acquire(key, terms, patience, sinceMs) as Promise<LeasedHold>;
  }

  /** Members live for as long as the others are waited for; when one is lost all the same, there is nothing to wait for. */
  async #enterAll(keys: readonly string[], terms: Terms): Promise<JointLocks<LeasedHold>> {
    const sinceMs = this.#table.admission(keys[0] ?? '', terms.signal);
    const ended = new AbortController();
    const unlink = onAbort(terms.signal, () => ended.abort(terms.signal?.reason));
    const endless: Terms = { ...terms, holdMs: Number.POSITIVE_INFINITY, signal: ended.signal };
    const holds: LeasedHold[] = [];
    try {
      for (const key of keys) {
        const hold = await this.#enter(key, endless, sinceMs);
        holds.push(hold);
        onAbort(hold.signal, () => ended.abort(hold.signal.reason));
      }
      ended.signal.throwIfAborted();
    } catch (error) {
      // On time, whatever the store takes for it.
      for (const hold of holds) void hold[Symbol.asyncDispose]();
      throw error;
    } finally {
      unlink();
    }
    const endsAtMs = this.#settings.clock.now() + terms.holdMs;
    for (const hold of holds) hold.lease.setEnd(hold, endsAtMs);
    return new JointLocks(holds);
  }

  #retrying<T>(key: string, options: AcquireOptions | undefined, attempt: () => Promise<T>): Promise<T> {
    const { retry, signal } = options ?? {};
    if (retry === undefined) return attempt();
    const pause = (ms: number): Promise<void> => this.#table.pause(key, ms, signal);
    return retrying(retry, this.#settings.random, pause, async () => attempt());
  }
}
