import { Emitter, LogHistogram } from '@chunks/base';
import type { Terms } from './settings.ts';
import type { Lock, LockEvent, LockEvents, LockSnapshot, LockStats } from './types.ts';

type Granted = Pick<Lock, 'key' | 'mode' | 'owner' | 'token' | 'acquiredAtMs' | 'waitedMs'>;
interface Waiting {
  readonly queue: { readonly key: string };
  readonly terms: Terms;
  readonly sinceMs: number;
}
type Counts = Pick<LockStats, 'acquired' | 'released' | 'timedOut' | 'aborted' | 'expired' | 'lost' | 'rejected'>;

/** What everybody who is interested is told: counters always, events only once somebody has listened. */
export class Telemetry implements Counts {
  acquired = 0;
  released = 0;
  timedOut = 0;
  aborted = 0;
  expired = 0;
  lost = 0;
  rejected = 0;
  readonly wait: LogHistogram = new LogHistogram();
  readonly hold: LogHistogram = new LogHistogram();
  #events: Emitter<LockEvents> | undefined;

  on<E extends keyof LockEvents>(event: E, listener: (event: LockEvents[E]) => void): () => void {
    this.#events ??= new Emitter();
    return this.#events.on(event, listener);
  }

  onQueued(waiter: Waiting): void {
    this.#events?.emit('queued', ofWaiter(waiter, waiter.sinceMs));
  }

  onAcquired(lock: Granted): void {
    this.acquired++;
    this.wait.record(lock.waitedMs);
    const { token, waitedMs } = lock;
    this.#events?.emit('acquired', { ...ofLock(lock, lock.acquiredAtMs), token, waitedMs });
  }

  onReleased(lock: Granted, atMs: number): void {
    this.released++;
    this.hold.record(atMs - lock.acquiredAtMs);
    this.#events?.emit('released', ofEnd(lock, atMs));
  }

  onTimeout(waiter: Waiting, atMs: number): void {
    this.timedOut++;
    this.#events?.emit('timeout', { ...ofWaiter(waiter, atMs), waitedMs: atMs - waiter.sinceMs });
  }

  onAborted(waiter: Waiting, atMs: number): void {
    this.aborted++;
    const reason: unknown = waiter.terms.signal?.reason;
    this.#events?.emit('aborted', { ...ofWaiter(waiter, atMs), waitedMs: atMs - waiter.sinceMs, reason });
  }

  onExpired(lock: Granted, atMs: number): void {
    this.expired++;
    this.#events?.emit('expired', ofEnd(lock, atMs));
  }

  onLost(lock: Granted, atMs: number, cause: unknown): void {
    this.lost++;
    this.hold.record(atMs - lock.acquiredAtMs);
    this.#events?.emit('lost', { ...ofLock(lock, atMs), token: lock.token, cause });
  }
}

const ofLock = ({ key, mode, owner }: Granted, atMs: number): LockEvent => ({ key, mode, owner, atMs });

const ofEnd = (lock: Granted, atMs: number): LockEvents['released'] => ({
  ...ofLock(lock, atMs),
  token: lock.token,
  heldMs: atMs - lock.acquiredAtMs,
});

const ofWaiter = ({ queue: { key }, terms: { mode, owner } }: Waiting, atMs: number): LockEvent => ({
  key,
  mode,
  owner,
  atMs,
});

/** The counters, and how things stand. */
export function statsOf({ held, waiting }: LockSnapshot, telemetry: Telemetry): LockStats {
  const { acquired, released, timedOut, aborted, expired, lost, rejected, wait, hold } = telemetry;
  return {
    activeLocks: held.length,
    waiting: waiting.length,
    oldestLockAgeMs: held.reduce((oldest, { ageMs }) => Math.max(oldest, ageMs), 0),
    longestWaitingMs: waiting.reduce((longest, { ageMs }) => Math.max(longest, ageMs), 0),
    acquired,
    released,
    timedOut,
    aborted,
    expired,
    lost,
    rejected,
    wait,
    hold,
  };
}
