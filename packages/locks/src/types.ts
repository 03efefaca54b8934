import type { Clock, Histogram, MaybePromise } from '@chunks/base';
import type { DeadlockDetector } from './deadlock-detector.ts';
import type { LockError } from './errors.ts';

/** `exclusive`: alone. `shared`: together with other shared holders, never with an exclusive one. */
export type LockMode = 'exclusive' | 'shared';

/** How often and how patiently to start over after a LOCK_TIMEOUT. */
export interface LockRetry {
  /** Attempts in all, the first one counted. At least 1. */
  attempts: number;
  /** The first wait is random in [0, baseMs); the bound doubles with each. @default 50 */
  baseMs?: number | undefined;
  /** The bound grows no further than this. @default 2_000 */
  maxMs?: number | undefined;
}

/** What an acquisition may say about itself. */
export interface AcquireOptions {
  /**
   * Longest wait in ms. 0 tries once; with `retry`, each attempt has this long.
   * @default the locker's `timeoutMs`, else for ever
   */
  timeoutMs?: number | undefined;
  /** The lease in ms, at least 1: how long the lock lives unless renewed. Infinity: never stale. @default the locker's `leaseMs`, else 30_000 */
  leaseMs?: number | undefined;
  /**
   * Renewal ends this many ms after the grant, and the lock with it.
   * @default `KeyedMutex.acquire`, `tryAcquire` and `acquireAll`: `leaseMs` (not renewed); `run` and `runAll`: 10 × `leaseMs`
   */
  maxHoldMs?: number | undefined;
  /** @default 'exclusive' */
  mode?: LockMode | undefined;
  /** Ends the wait: the call rejects with the signal's own reason. After the grant it means nothing. */
  signal?: AbortSignal | undefined;
  /** After LOCK_TIMEOUT: wait with full jitter, then queue again at the tail. Other errors are not retried. @default one attempt */
  retry?: LockRetry | undefined;
  /** A label for people, in snapshots, events and errors; never an identity. @default '' */
  owner?: string | undefined;
}

/** {@link AcquireOptions} without what only a wait needs. */
export type TryOptions = Omit<AcquireOptions, 'timeoutMs' | 'retry'>;

/** A lock that was granted. */
export interface Lock extends AsyncDisposable {
  readonly key: string;
  readonly mode: LockMode;
  readonly owner: string;
  /**
   * Fencing token: strictly increasing per key over holders, take-overs and restarts. Store it with what the lock
   * protects and refuse a lower one there. Shared holders that are in together carry one.
   */
  readonly token: number;
  /** When it was granted, in ms since the epoch. */
  readonly acquiredAtMs: number;
  /** How long the granted attempt waited, in ms. */
  readonly waitedMs: number;
  /** When the lease ends unless extended, in ms since the epoch. */
  readonly expiresAtMs: number;
  /** Aborts with a {@link LockLostError} when the lease is lost, before anybody else gets the key. Created on first read. */
  readonly signal: AbortSignal;
  /** Whether it is still ours. Compares the clock, so it is right even when timers are late. */
  readonly held: boolean;
  /** @throws LockLostError when it is not ours any more. */
  assertHeld(): void;
  /**
   * Sets `expiresAtMs` to max(expiresAtMs, now + leaseMs).
   * @param leaseMs @default the lease it was acquired with
   * @throws LockLostError when it is not ours any more.
   */
  extend(leaseMs?: number | undefined): MaybePromise<void>;
  /** Opens the key for the next in line. `false`: it was not ours any more, and nothing was opened. */
  release(): MaybePromise<boolean>;
}

/** A lock of this process: everything about it is known at once. */
export interface LocalLock extends Lock, Disposable {
  extend(leaseMs?: number | undefined): void;
  release(): boolean;
}

/** A lock that lives in a store, where other processes see it: what changes it is a call over the network. */
export interface LeasedLock extends Lock {
  /**
   * Renews the lease in the store at once, and lets the lock last until now + leaseMs at least, beyond `maxHoldMs` too.
   * Rejects with {@link LockLostError} when it is not ours any more, and with {@link LockUnavailableError} when the
   * store does not answer: the lock then lives on until `expiresAtMs`.
   */
  extend(leaseMs?: number | undefined): Promise<void>;
  /**
   * Resolves when the store has freed the key, or when a local waiter has got it. Rejects with
   * {@link LockUnavailableError} when the store does not answer: the lease then ends by itself.
   */
  release(): Promise<boolean>;
}

/** Several locks that were granted together and live together: when one is lost, all are released. */
export interface LockGroup<L extends Lock = Lock> extends AsyncDisposable {
  /** Sorted by key, by UTF-16 code units. */
  readonly locks: readonly L[];
  get(key: string): L | undefined;
  /** Aborts with the {@link LockLostError} of the first member that is lost. */
  readonly signal: AbortSignal;
  /** Whether all members are still ours. */
  readonly held: boolean;
  /** @throws LockLostError when a member is not ours any more. */
  assertHeld(): void;
  /** Extends every member. Rejects with {@link LockLostError} when one is not ours any more. */
  extend(leaseMs?: number | undefined): Promise<void>;
  /** Releases every member. `false`: at least one was not ours any more. */
  release(): Promise<boolean>;
}

/** Counters since the start, and how things stand now. */
export interface LockStats {
  activeLocks: number;
  waiting: number;
  oldestLockAgeMs: number;
  longestWaitingMs: number;
  acquired: number;
  released: number;
  /** Attempts that ended in LOCK_TIMEOUT. */
  timedOut: number;
  /** Waits that were ended by their signal. */
  aborted: number;
  /** Leases that ended before their release. */
  expired: number;
  /** Locks that were taken from their holder. */
  lost: number;
  /** Attempts refused because the queue was full, the locker closed, or their wait would have closed a circle. */
  rejected: number;
  /** Waits of granted attempts, in ms. */
  wait: Histogram;
  /** From grant to release or loss, in ms. */
  hold: Histogram;
}

/** Who holds and who waits, at one instant; waiting ones in the order of their keys' queues. */
export interface LockSnapshot {
  held: { key: string; mode: LockMode; owner: string; token: number; ageMs: number }[];
  waiting: { key: string; mode: LockMode; owner: string; ageMs: number }[];
}

/** What every event tells. */
export interface LockEvent {
  /** The same in all events of one attempt, from `queued` to `released`; different in all others of this locker. */
  readonly attempt: number;
  readonly key: string;
  readonly mode: LockMode;
  readonly owner: string;
  readonly atMs: number;
}

/** The events of a locker, by name. Listeners run inside the call or timer that caused the event. */
export interface LockEvents {
  /** An attempt has to wait. */
  queued: LockEvent;
  acquired: LockEvent & { readonly token: number; readonly waitedMs: number };
  released: LockEvent & { readonly token: number; readonly heldMs: number };
  timeout: LockEvent & { readonly waitedMs: number };
  aborted: LockEvent & { readonly waitedMs: number; readonly reason: unknown };
  /** A wait was refused, or ended by the locker itself; `reason` is what it rejects with. A closed locker's newcomers are only counted. */
  rejected: LockEvent & { readonly waitedMs: number; readonly reason: LockError };
  /** A lease ended before its release. */
  expired: LockEvent & { readonly token: number; readonly heldMs: number };
  /** A lock was taken from its holder. */
  lost: LockEvent & { readonly token: number; readonly cause: unknown };
}

/** What every locker can do, whether its locks live in this process or in a store. */
export interface Locker<L extends Lock = Lock> extends AsyncDisposable {
  acquire(key: string, options?: AcquireOptions): Promise<L>;
  tryAcquire(key: string, options?: TryOptions): MaybePromise<L | undefined>;
  run<T>(key: string, task: (lock: L) => T | PromiseLike<T>, options?: AcquireOptions): Promise<T>;
  acquireAll(keys: Iterable<string>, options?: AcquireOptions): Promise<LockGroup<L>>;
  runAll<T>(
    keys: Iterable<string>,
    task: (locks: LockGroup<L>) => T | PromiseLike<T>,
    options?: AcquireOptions,
  ): Promise<T>;
  isLocked(key: string): MaybePromise<boolean>;
  stats(): LockStats;
  snapshot(): LockSnapshot;
  on<E extends keyof LockEvents>(event: E, listener: (event: LockEvents[E]) => void): () => void;
  /** Waiters reject LOCK_CLOSED, nothing new is granted; resolves when held locks are released or expired. */
  close(): Promise<void>;
}

/** What every locker can be told. */
export interface LockerOptions {
  /** Longest wait in ms where an acquisition names none. @default for ever */
  timeoutMs?: number | undefined;
  /** Lease in ms where an acquisition names none, at least 1. @default 30_000 */
  leaseMs?: number | undefined;
  /** Waiters over all keys; one more rejects LOCK_QUEUE_FULL. @default 1_000_000 */
  maxWaiting?: number | undefined;
  /** @default the host's clock and timers */
  clock?: Clock | undefined;
  /** In [0, 1), for jitter. @default Math.random */
  random?: (() => number) | undefined;
}

/** Options of a {@link KeyedMutex}. */
export interface KeyedMutexOptions extends LockerOptions {
  /**
   * What happens when a lease ends before its release. `'reclaim'`: `signal` aborts, then the key is handed on with
   * a higher token. `'report'`: it is only told (event, stats); `held` stays true and `signal` silent.
   * @default 'reclaim'
   */
  onExpired?: 'reclaim' | 'report' | undefined;
  /** Refuses a wait that would close a circle of waits. Several mutexes may share one. @default none: a circle waits for ever */
  deadlocks?: DeadlockDetector | undefined;
}

/** A locker whose locks are leases in a store: the same calls as on a `KeyedMutex`, all of them asynchronous. */
export interface LeaseLocker extends Locker<LeasedLock> {
  tryAcquire(key: string, options?: TryOptions): Promise<LeasedLock | undefined>;
  isLocked(key: string): Promise<boolean>;
}

/** Options of `leaseLocker`. */
export interface LeaseLockerOptions extends LockerOptions {
  /**
   * A lock counts as lost this many ms before its lease can end in the store: clocks do not run equally fast.
   * @default 2 + 1 % of the lease
   */
  driftMs?: number | undefined;
  /**
   * How often to ask for a key that somebody else has, in ms and with jitter, where the store cannot tell of a release.
   * @default { minMs: 25, maxMs: 500 }
   */
  poll?: { minMs: number; maxMs: number } | undefined;
  /**
   * A live lease goes from one waiter of this process to the next without the store: this many grants, 1 to 127, or for
   * half the lease, whichever ends first, or until the store says that others wait. Then other processes get their turn.
   * @default { maxGrants: 64 }
   */
  handOff?: { maxGrants: number } | undefined;
  /** A call of the store that takes longer counts as unanswered, in ms, at least 1; never more than half the lease. @default 5_000 */
  requestTimeoutMs?: number | undefined;
}
