import { Emitter, LogHistogram } from '@chunks/base';
import type { LockError } from './errors.ts';
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
  #attempts = 0;
  // Of waiters and locks; nothing at all where nobody listens.
  #attemptOf: WeakMap<object, number> | undefined;

  on<E extends keyof LockEvents>(event: E, listener: (event: LockEvents[E]) => void): () => void {
    this.#events ??= new Emitter();
    this.#attemptOf ??= new WeakMap();
    return this.#events.on(event, listener);
  }

  onQueued(waiter: Waiting): void {
    this.#events?.emit('queued', this.#ofWaiter(waiter, waiter.sinceMs));
  }

  /** @param waiter who has waited for it, if it had to be waited for */
  onAcquired(lock: Granted, waiter?: Waiting): void {
    this.acquired++;
    this.wait.record(lock.waitedMs);
    const { token, waitedMs } = lock;
    this.#events?.emit('acquired', { ...this.#ofLock(lock, lock.acquiredAtMs, waiter), token, waitedMs });
  }

  onReleased(lock: Granted, atMs: number): void {
    this.released++;
    this.hold.record(atMs - lock.acquiredAtMs);
    this.#events?.emit('released', this.#ofEnd(lock, atMs));
  }

  onTimeout(waiter: Waiting, atMs: number): void {
    this.timedOut++;
    this.#events?.emit('timeout', this.#ofWait(waiter, atMs));
  }

  onAborted(waiter: Waiting, atMs: number): void {
    this.aborted++;
    const reason: unknown = waiter.terms.signal?.reason;
    this.#events?.emit('aborted', { ...this.#ofWait(waiter, atMs), reason });
  }

  /** @returns the error */
  onRejected<E extends LockError>(waiter: Waiting, atMs: number, reason: E): E {
    this.rejected++;
    this.#events?.emit('rejected', { ...this.#ofWait(waiter, atMs), reason });
    return reason;
  }

  onExpired(lock: Granted, atMs: number): void {
    this.expired++;
    this.#events?.emit('expired', this.#ofEnd(lock, atMs));
  }

  onLost(lock: Granted, atMs: number, cause: unknown): void {
    this.lost++;
    this.hold.record(atMs - lock.acquiredAtMs);
    this.#events?.emit('lost', { ...this.#ofLock(lock, atMs), token: lock.token, cause });
  }

  #ofLock(lock: Granted, atMs: number, waiter?: Waiting): LockEvent {
    const { key, mode, owner } = lock;
    return { attempt: this.#attempt(lock, waiter), key, mode, owner, atMs };
  }

  #ofEnd(lock: Granted, atMs: number): LockEvents['released'] {
    return { ...this.#ofLock(lock, atMs), token: lock.token, heldMs: atMs - lock.acquiredAtMs };
  }

  #ofWaiter(waiter: Waiting, atMs: number): LockEvent {
    const { queue, terms } = waiter;
    return { attempt: this.#attempt(waiter), key: queue.key, mode: terms.mode, owner: terms.owner, atMs };
  }

  #ofWait(waiter: Waiting, atMs: number): LockEvents['timeout'] {
    return { ...this.#ofWaiter(waiter, atMs), waitedMs: atMs - waiter.sinceMs };
  }

  #attempt(party: object, before: object = party): number {
    const attempt = this.#attemptOf?.get(before) ?? ++this.#attempts;
    this.#attemptOf?.set(party, attempt);
    return attempt;
  }
}

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
