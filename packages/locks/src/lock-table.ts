import { type Clock, type Deferred, deferred } from '@chunks/base';
import { Agenda } from './agenda.ts';
import { LockClosedError, LockLostError, LockTimeoutError, QueueFullError } from './errors.ts';
import { nextToken } from './fencing.ts';
import { HeldLock } from './held-lock.ts';
import { KeyQueue } from './key-queue.ts';
import type { Settings, Terms } from './settings.ts';
import { Telemetry } from './telemetry.ts';
import { Waiter } from './waiter.ts';

/**
 * Who holds and who waits, for all keys. Whoever is alone at a key is the map's entry itself; a key with a second
 * interested party gets a queue; only the head of a queue is ever let in.
 *
 * Truth is the clock, never a timer: a call that finds the timer late does its work first.
 */
export class LockTable {
  readonly clock: Clock;
  readonly telemetry: Telemetry = new Telemetry();
  readonly entries: Map<string, HeldLock | KeyQueue> = new Map<string, HeldLock | KeyQueue>();
  waiting = 0;
  readonly #settings: Settings;
  readonly agenda: Agenda;
  // No lease ends before this. Leases stand in no heap: the rare ones that do end are found by a sweep.
  #leaseDueMs = Number.POSITIVE_INFINITY;
  #closing: Deferred<void> | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.clock = settings.clock;
    this.agenda = new Agenda(settings.clock, () => this.#wake(this.clock.now()));
  }

  /**
   * The lock, when nobody has to be waited for; else a promise of it, at the tail of the key's queue.
   * @param since when the wait began, where this is not the first step of it
   * @throws LockClosedError, QueueFullError, DeadlockError; the signal's reason when that has aborted.
   */
  acquire(key: string, terms: Terms, since?: number): HeldLock | Promise<HeldLock> {
    const nowMs = this.admission(key, terms);
    const sinceMs = since ?? nowMs;
    return this.#enter(key, terms, nowMs, sinceMs) ?? this.#wait(key, terms, nowMs, sinceMs);
  }

  /** The lock, when nobody has to be waited for. @throws as {@link acquire} */
  tryAcquire(key: string, terms: Terms): HeldLock | undefined {
    const nowMs = this.admission(key, terms);
    return this.#enter(key, terms, nowMs, nowMs);
  }

  /** `false`: it was not ours any more, and nothing was opened. */
  release(lock: HeldLock): boolean {
    const nowMs = this.catchUp();
    if (!this.isOurs(lock, nowMs)) return false;
    lock.state = 'released';
    this.telemetry.onReleased(lock, nowMs);
    this.#leave(lock, nowMs);
    return true;
  }

  setExpiry(lock: HeldLock, expiresAtMs: number): void {
    lock.holdMs = expiresAtMs - lock.acquiredAtMs;
    lock.state = 'held';
    this.#watch(lock);
  }

  /** Whether its lease has ended and it is to be taken away for that. */
  isOver(lock: HeldLock, nowMs: number): boolean {
    return this.#settings.reclaims && nowMs >= lock.expiresAtMs;
  }

  /** Takes it away when it is over; the timer need not have come. */
  isOurs(lock: HeldLock, nowMs: number): boolean {
    if (lock.state === 'held' && this.isOver(lock, nowMs)) this.#expire(lock, nowMs);
    return lock.state === 'held' || lock.state === 'expired';
  }

  /** Does what a late timer has left undone. @returns now */
  catchUp(): number {
    const nowMs = this.clock.now();
    if (nowMs >= this.agenda.wakeAtMs) this.#wake(nowMs);
    return nowMs;
  }

  abort(waiter: Waiter): void {
    const nowMs = this.clock.now();
    waiter.leave();
    this.#aborted(waiter, nowMs);
    this.#handOn(waiter.queue, nowMs);
  }

  /** For a waiter that has left already, or has not come. */
  timeOut(waiter: Waiter, nowMs: number): void {
    const { key, holder } = waiter.queue;
    const by = holder && { owner: holder.owner, heldMs: nowMs - holder.acquiredAtMs };
    waiter.reject(new LockTimeoutError(key, nowMs - waiter.sinceMs, by));
    this.telemetry.onTimeout(waiter, nowMs);
    this.#handOn(waiter.queue, nowMs);
  }

  close(): Promise<void> {
    if (this.#closing !== undefined) return this.#closing.promise;
    const nowMs = this.catchUp();
    this.#closing = deferred<void>();
    const waiters = [...this.entries.values()].flatMap((entry) => [...entry.waiters]);
    for (const waiter of waiters) waiter.leave();
    for (const waiter of waiters)
      waiter.reject(this.telemetry.onRejected(waiter, nowMs, new LockClosedError(waiter.queue.key)));
    for (const pause of this.agenda.takeDue(Number.POSITIVE_INFINITY)) pause.late(nowMs);
    this.agenda.resume(this.#leaseDueMs, nowMs);
    this.#closeWhenEmpty();
    return this.#closing.promise;
  }

  /** @returns now @throws as {@link acquire} */
  admission(key: string, terms: Terms): number {
    const nowMs = this.catchUp();
    if (this.#closing !== undefined) {
      this.telemetry.rejected++;
      throw new LockClosedError(key);
    }
    terms.signal?.throwIfAborted();
    return nowMs;
  }

  #enter(key: string, terms: Terms, nowMs: number, sinceMs: number): HeldLock | undefined {
    const entry = this.entries.get(key);
    if (entry === undefined) return this.#grant(key, terms, nowMs, sinceMs);
    if (terms.mode !== 'shared') return undefined;
    const queue = this.#queueOf(entry);
    // A newcomer never passes those who wait.
    if (queue.holder?.mode !== 'shared' || queue.waiters.first !== undefined) return undefined;
    if (this.#expireOver(queue, nowMs)) return this.#enter(key, terms, nowMs, sinceMs);
    return this.#grant(key, terms, nowMs, sinceMs, queue);
  }

  #wait(key: string, terms: Terms, nowMs: number, sinceMs: number): Promise<HeldLock> {
    return new Promise((resolve, reject) => {
      const queue = this.#queueOf(this.entries.get(key) as HeldLock | KeyQueue);
      const waiter = new Waiter(queue, terms, sinceMs, resolve, reject);
      const dueMs = sinceMs + terms.timeoutMs;
      if (dueMs <= nowMs) return this.timeOut(waiter, nowMs);
      const { maxWaiting } = this.#settings;
      const isFull = this.waiting >= maxWaiting;
      const refusal = isFull ? new QueueFullError(key, maxWaiting) : terms.claim?.wait(waiter);
      if (refusal !== undefined) throw this.telemetry.onRejected(waiter, nowMs, refusal);
      queue.waiters.push(waiter);
      this.waiting++;
      terms.signal?.addEventListener('abort', waiter);
      if (dueMs !== Number.POSITIVE_INFINITY) this.agenda.add(waiter, dueMs, nowMs);
      this.telemetry.onQueued(waiter);
    });
  }

  #queueOf(entry: HeldLock | KeyQueue): KeyQueue {
    if (entry instanceof KeyQueue) return entry;
    const queue = new KeyQueue(this, entry.key);
    if (entry.state === 'lost') entry.queue = queue;
    else queue.enter(entry);
    this.entries.set(entry.key, queue);
    return queue;
  }

  #grant(key: string, terms: Terms, nowMs: number, sinceMs: number, queue?: KeyQueue, waiter?: Waiter): HeldLock {
    // Those who share are one phase with one token.
    const token = queue?.holder?.token ?? nextToken(nowMs);
    const lock = new HeldLock(this, key, terms, token, nowMs, nowMs - sinceMs);
    if (queue === undefined) this.entries.set(key, lock);
    else queue.enter(lock);
    this.#watch(lock);
    this.telemetry.onAcquired(lock, waiter);
    return lock;
  }

  #watch(lock: HeldLock): void {
    if (lock.expiresAtMs >= this.#leaseDueMs) return;
    this.#leaseDueMs = lock.expiresAtMs;
    this.agenda.wakeBy(lock.expiresAtMs, this.clock.now());
  }

  #leave(lock: HeldLock, nowMs: number): void {
    if (lock.queue !== undefined) {
      lock.queue.leave(lock);
      this.#handOn(lock.queue, nowMs);
      return;
    }
    this.entries.delete(lock.key);
    this.#closeWhenEmpty();
  }

  #handOn(queue: KeyQueue, nowMs: number): void {
    if (queue.holder !== undefined) this.#expireOver(queue, nowMs);
    for (let next = queue.waiters.first; next !== undefined; next = queue.waiters.first) {
      if (!queue.admits(next.terms.mode)) return;
      next.leave();
      // One signal may end several waits: the abort that let this one come first is about to reach it, too.
      if (next.terms.signal?.aborted) this.#aborted(next, nowMs);
      else next.resolve(this.#grant(queue.key, next.terms, nowMs, next.sinceMs, queue, next));
    }
    // A listener may have emptied the key and filled it anew meanwhile.
    if (queue.holder !== undefined || this.entries.get(queue.key) !== queue) return;
    this.entries.delete(queue.key);
    this.#closeWhenEmpty();
  }

  #aborted(waiter: Waiter, nowMs: number): void {
    waiter.reject(waiter.terms.signal?.reason);
    this.telemetry.onAborted(waiter, nowMs);
  }

  #expire(lock: HeldLock, nowMs: number): void {
    const { reclaims } = this.#settings;
    const cause = new LockLostError(lock.key);
    lock.state = reclaims ? 'lost' : 'expired';
    if (reclaims) {
      // Out before anybody is told: whoever comes in through a listener must not share a lost one's phase.
      lock.queue?.leave(lock);
      lock.abort(cause);
    }
    this.telemetry.onExpired(lock, nowMs);
    if (!reclaims) return;
    this.telemetry.onLost(lock, nowMs, cause);
    this.#leave(lock, nowMs);
  }

  /** Several leases can end in one instant: none that is over may lend its phase, and so its token, to who comes next. */
  #expireOver(queue: KeyQueue, nowMs: number): boolean {
    return queue.holders().filter((lock) => !this.isOurs(lock, nowMs)).length > 0;
  }

  #wake(nowMs: number): void {
    const late = this.agenda.takeDue(nowMs);
    for (const due of late) due.leave();
    if (nowMs >= this.#leaseDueMs) this.#sweep(nowMs);
    for (const due of late) due.late(nowMs);
    this.agenda.resume(this.#leaseDueMs, nowMs);
  }

  #sweep(nowMs: number): void {
    let seen = 0;
    this.#leaseDueMs = Number.POSITIVE_INFINITY;
    for (const entry of this.entries.values()) {
      for (const lock of entry.holders()) {
        seen++;
        if (lock.state !== 'held') continue;
        if (nowMs >= lock.expiresAtMs) this.#expire(lock, nowMs);
        else this.#leaseDueMs = Math.min(this.#leaseDueMs, lock.expiresAtMs);
      }
    }
    // A sweep over very many may not follow on the last one's heels: 1 ms of rest for each 1,024 locks.
    this.#leaseDueMs = Math.max(this.#leaseDueMs, nowMs + (seen >> 10));
  }

  #closeWhenEmpty(): void {
    if (this.#closing === undefined || this.entries.size > 0) return;
    this.agenda.takeDue(0);
    this.#closing.resolve();
  }
}
