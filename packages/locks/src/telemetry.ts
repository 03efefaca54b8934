import { Emitter, LogHistogram } from '@chunks/base';
import type { HeldLock } from './held-lock.ts';
import type { LockEvent, LockEvents, LockStats } from './types.ts';
import type { Waiter } from './waiter.ts';

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

  onQueued(waiter: Waiter): void {
    this.#events?.emit('queued', ofWaiter(waiter, waiter.sinceMs));
  }

  onAcquired(lock: HeldLock): void {
    this.acquired++;
    this.wait.record(lock.waitedMs);
    const { token, waitedMs } = lock;
    this.#events?.emit('acquired', { ...ofLock(lock, lock.acquiredAtMs), token, waitedMs });
  }

  onReleased(lock: HeldLock, atMs: number): void {
    this.released++;
    this.hold.record(atMs - lock.acquiredAtMs);
    this.#events?.emit('released', ofEnd(lock, atMs));
  }

  onTimeout(waiter: Waiter, atMs: number): void {
    this.timedOut++;
    this.#events?.emit('timeout', { ...ofWaiter(waiter, atMs), waitedMs: atMs - waiter.sinceMs });
  }

  onAborted(waiter: Waiter, atMs: number): void {
    this.aborted++;
    const reason: unknown = waiter.terms.signal?.reason;
    this.#events?.emit('aborted', { ...ofWaiter(waiter, atMs), waitedMs: atMs - waiter.sinceMs, reason });
  }

  onExpired(lock: HeldLock, atMs: number): void {
    this.expired++;
    this.#events?.emit('expired', ofEnd(lock, atMs));
  }

  onLost(lock: HeldLock, atMs: number, cause: unknown): void {
    this.lost++;
    this.hold.record(atMs - lock.acquiredAtMs);
    this.#events?.emit('lost', { ...ofLock(lock, atMs), token: lock.token, cause });
  }
}

const ofLock = ({ key, mode, owner }: HeldLock, atMs: number): LockEvent => ({ key, mode, owner, atMs });

const ofEnd = (lock: HeldLock, atMs: number): LockEvents['released'] => ({
  ...ofLock(lock, atMs),
  token: lock.token,
  heldMs: atMs - lock.acquiredAtMs,
});

const ofWaiter = ({ queue: { key }, terms: { mode, owner } }: Waiter, atMs: number): LockEvent => ({
  key,
  mode,
  owner,
  atMs,
});
