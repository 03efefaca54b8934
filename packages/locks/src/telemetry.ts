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
  // Of waiters and locks; empty where nobody listens.
  readonly #attemptOf = new WeakMap<object, number>();

  on<E extends keyof LockEvents>(event: E, listener: (event: LockEvents[E]) => void): () => void {
    this.#events ??= new Emitter();
    return this.#events.on(event, listener);
  }

  onQueued(waiter: Waiting): void {
    this.#events?.emit('queued', this.#ofWaiter(waiter, waiter.sinceMs));
  }

  /** @param waiter who has waited for it, if it had to be waited for */
  onAcquired(lock: Granted, waiter?: Waiting): void {
    this.acquired++;
    const { acquiredAtMs, waitedMs } = lock;
    this.wait.record(waitedMs);
    this.#events?.emit('acquired', { ...this.#ofLock(lock, acquiredAtMs, waiter), waitedMs });
  }

  onReleased(lock: Granted, atMs: number): void {
    this.released++;
    const heldMs = atMs - lock.acquiredAtMs;
    this.hold.record(heldMs);
    this.#events?.emit('released', { ...this.#ofLock(lock, atMs), heldMs });
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
    this.#events?.emit('expired', { ...this.#ofLock(lock, atMs), heldMs: atMs - lock.acquiredAtMs });
  }

  onLost(lock: Granted, atMs: number, cause: unknown): void {
    this.lost++;
    this.hold.record(atMs - lock.acquiredAtMs);
    this.#events?.emit('lost', { ...this.#ofLock(lock, atMs), cause });
  }

  #ofLock(lock: Granted, atMs: number, waiter?: Waiting): LockEvent & { readonly token: number } {
    return { ...this.#of(lock, lock.key, lock, atMs, waiter), token: lock.token };
  }

  #ofWaiter(waiter: Waiting, atMs: number): LockEvent {
    return this.#of(waiter, waiter.queue.key, waiter.terms, atMs);
  }

  #ofWait(waiter: Waiting, atMs: number): LockEvents['timeout'] {
    return { ...this.#ofWaiter(waiter, atMs), waitedMs: atMs - waiter.sinceMs };
  }

  #of(
    party: object,
    key: string,
    { mode, owner }: Pick<Lock, 'mode' | 'owner'>,
    atMs: number,
    before: object = party,
  ): LockEvent {
    const attempt = this.#attemptOf.get(before) ?? ++this.#attempts;
    this.#attemptOf.set(party, attempt);
    return { attempt, key, mode, owner, atMs };
  }
}

/** Who is interested in a key. */
interface KeyView {
  readonly key: string;
  readonly waiters: Iterable<Waiting>;
  holders(): Iterable<Granted>;
}

/** Everybody who holds or waits. */
export function snapshotOf(keys: Iterable<KeyView>, nowMs: number): LockSnapshot {
  const snapshot: LockSnapshot = { held: [], waiting: [] };
  for (const entry of keys) {
    for (const { key, mode, owner, token, acquiredAtMs } of entry.holders()) {
      snapshot.held.push({ key, mode, owner, token, ageMs: nowMs - acquiredAtMs });
    }
    for (const { terms, sinceMs } of entry.waiters) {
      snapshot.waiting.push({ key: entry.key, mode: terms.mode, owner: terms.owner, ageMs: nowMs - sinceMs });
    }
  }
  return snapshot;
}

const oldest = (all: readonly { ageMs: number }[]): number =>
  all.reduce((oldestMs, { ageMs }) => Math.max(oldestMs, ageMs), 0);

/** The counters, and how things stand. */
export function statsOf({ held, waiting }: LockSnapshot, telemetry: Telemetry): LockStats {
  return {
    activeLocks: held.length,
    waiting: waiting.length,
    oldestLockAgeMs: oldest(held),
    longestWaitingMs: oldest(waiting),
    // Its fields are just these; all else it has is private.
    ...telemetry,
  };
}
