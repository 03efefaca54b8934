import { LinkedList } from '@chunks/base';
import {
  type LockClosedError,
  LockLostError,
  LockTimeoutError,
  type LockUnavailableError,
  QueueFullError,
} from '../errors.ts';
import { Contest } from './contest.ts';
import { KeyLease, type WonLease } from './key-lease.ts';
import type { LeasedHold } from './leased-hold.ts';
import type { LeaseTable } from './table.ts';
import type { LeaseWaiter } from './waiter.ts';
import { KeyWatch } from './watch.ts';

/**
 * One key in this process: who waits, in their order, and the lease under which some are in. At any time one thing at
 * most is under way with the store: the contest for a lease, or giving one back.
 */
export class LeaseLine {
  readonly table: LeaseTable;
  readonly key: string;
  readonly waiters: LinkedList<LeaseWaiter> = new LinkedList<LeaseWaiter>();
  #watch: KeyWatch | undefined;
  #lease: KeyLease | undefined;
  #contest: Contest | undefined;
  /** A lease on its way back to the store. */
  #leaving: Promise<unknown> | undefined;
  /** When the store last said anything about the key. */
  #answeredMs = Number.NEGATIVE_INFINITY;
  /** How long the next contest lets other processes go first. */
  #yieldMs = 0;

  constructor(table: LeaseTable, key: string) {
    this.table = table;
    this.key = key;
  }

  /** Made when somebody has to wait for another process. */
  get watch(): KeyWatch {
    this.#watch ??= new KeyWatch(this.table.store.driver, this.key, () => this.wake());
    return this.#watch;
  }

  /** Those who are in. */
  holders(): Iterable<LeasedHold> {
    return this.#lease?.holds ?? [];
  }

  /** Whether what the store has given to this name is what we have, or are about to ask for. */
  isUsing(holder: string, token: number): boolean {
    return this.#contest?.holder === holder || (this.#lease?.holder === holder && this.#lease.token === token);
  }

  /** Until the store has answered to the last release. */
  get left(): Promise<unknown> | undefined {
    return this.#leaving?.catch(() => undefined);
  }

  wake(): void {
    this.#contest?.wake();
  }

  /** One more attempt. Who would be first is on its way to the store, everybody else waits. */
  arrive(waiter: LeaseWaiter, nowMs: number): void {
    const { terms, sinceMs, patience } = waiter;
    const isFirst = this.waiters.first === undefined && (this.#lease?.admits(terms.mode, nowMs) ?? true);
    const dueMs = patience === 'wait' ? sinceMs + terms.timeoutMs : Number.POSITIVE_INFINITY;
    if (dueMs <= nowMs || (patience !== 'wait' && !isFirst)) this.#timedOut(waiter, nowMs);
    else if (isFirst || this.#mayWait(waiter)) {
      this.waiters.push(waiter);
      terms.signal?.addEventListener('abort', waiter);
      if (dueMs !== Number.POSITIVE_INFINITY) this.table.agenda.add(waiter, dueMs, nowMs);
      if (!isFirst) this.table.telemetry.onQueued(waiter);
    }
    this.pump(nowMs);
  }

  /** Somebody else has the key: who is first learns that it has to wait, and goes if it will not. */
  stayBusy(): void {
    this.#answeredMs = this.table.clock.now();
    const nowMs = this.table.catchUp();
    const { first } = this.waiters;
    // Everybody behind has waited from the start.
    if (first === undefined || first.isQueued) return;
    if (first.patience !== 'wait') {
      this.unlink(first);
      this.#timedOut(first, nowMs);
    } else if (this.#mayWait(first)) this.table.telemetry.onQueued(first);
    else this.unlink(first);
  }

  /** Takes a waiter out of everything that leads to it. */
  unlink(waiter: LeaseWaiter): void {
    this.waiters.remove(waiter);
    this.table.agenda.remove(waiter);
    waiter.terms.signal?.removeEventListener('abort', waiter);
    if (waiter.isQueued) this.table.waiting--;
  }

  abort(waiter: LeaseWaiter): void {
    const nowMs = this.table.clock.now();
    this.unlink(waiter);
    this.#aborted(waiter, nowMs);
    this.pump(nowMs);
  }

  /** For a waiter that has left already. */
  timeOut(waiter: LeaseWaiter, nowMs: number): void {
    this.#timedOut(waiter, nowMs);
    this.pump(nowMs);
  }

  /** Nobody who waits will be let in. */
  refuseAll(reason: () => LockClosedError | LockUnavailableError): void {
    // All of them first: who comes in through what the listeners do is refused nothing.
    const waiters = [...this.waiters];
    for (const waiter of waiters) this.unlink(waiter);
    for (const waiter of waiters) this.#refuse(waiter, reason());
    this.pump(this.table.clock.now());
  }

  /** `false`: it was not ours any more, and nothing was opened. */
  async release(hold: LeasedHold): Promise<boolean> {
    const { lease } = hold;
    const nowMs = this.table.catchUp();
    if (!lease.keeps(hold, nowMs)) return false;
    hold.state = 'released';
    lease.holds.delete(hold);
    const next = this.waiters.first;
    const goesOn = lease.holds.size > 0 || (next !== undefined && lease.admits(next.terms.mode, nowMs));
    if (!goesOn) return this.#giveBack(lease, nowMs, hold);
    this.table.telemetry.onReleased(hold, nowMs);
    this.pump(nowMs);
    return true;
  }

  /** The lease is lost to all who were in. */
  ended(lease: KeyLease, nowMs: number): void {
    if (this.#lease === lease) this.#lease = undefined;
    this.pump(nowMs);
  }

  /** Does what is to be done as things stand now. */
  pump(nowMs: number): void {
    for (let next = this.waiters.first; next !== undefined; next = this.waiters.first) {
      if (!this.#lease?.admits(next.terms.mode, nowMs)) break;
      this.unlink(next);
      // One signal may end several waits: the abort that let this one come first is about to reach it, too.
      if (next.terms.signal?.aborted) this.#aborted(next, nowMs);
      else this.#grant(this.#lease, next, nowMs);
    }
    if (this.#lease?.isIdle) void this.#giveBack(this.#lease, nowMs).catch(() => undefined);
    this.#contest?.reconsider();
    if (this.waiters.first === undefined) this.#watch?.close();
    if (this.#lease !== undefined || this.#contest !== undefined || this.#leaving !== undefined) return;
    if (this.waiters.first !== undefined) this.#contend(this.waiters.first);
    else this.table.forget(this);
  }

  #contend({ terms }: LeaseWaiter): void {
    const contest = new Contest(this, this.table.takeHolder(this.key, terms.mode), terms.mode);
    this.#contest = contest;
    const yieldMs = this.#yieldMs;
    this.#yieldMs = 0;
    contest.run(yieldMs).then(
      (won) => this.#over(won),
      ({ cause }: LockUnavailableError) => {
        this.#contest = undefined;
        this.refuseAll(() => this.table.unavailable(this.key, cause));
      },
    );
  }

  #over(won: WonLease | undefined): void {
    const nowMs = this.table.catchUp();
    this.#contest = undefined;
    if (won !== undefined) this.#lease = new KeyLease(this, won);
    this.pump(nowMs);
  }

  #grant(lease: KeyLease, waiter: LeaseWaiter, nowMs: number): void {
    const hold = lease.enter(waiter, nowMs);
    this.table.telemetry.onAcquired(hold, waiter);
    waiter.resolve(hold);
  }

  /**
   * @param hold the last one out, where it is still to be told what became of its lease
   * @throws LockUnavailableError when the store does not answer. It is asked once more, while nobody waits for that.
   */
  #giveBack(lease: KeyLease, nowMs: number, hold?: LeasedHold): Promise<boolean> {
    const isUsedUp = lease.isUsedUp(nowMs);
    lease.giveBack();
    this.#lease = undefined;
    const left = this.#sendBack(lease, nowMs, isUsedUp, hold);
    this.#leaving = left;
    return left;
  }

  async #sendBack(lease: KeyLease, nowMs: number, isUsedUp: boolean, hold?: LeasedHold): Promise<boolean> {
    const { store, telemetry, clock, settings } = this.table;
    const release = (): Promise<boolean> => store.release(this.key, lease.holder, lease.token);
    try {
      const wasOurs = await release();
      // Time for a message about the release to reach the others, and for their questions to reach the store.
      const tookMs = clock.now() - nowMs;
      this.#answeredMs = nowMs + tookMs;
      if (isUsedUp) this.#yieldMs = store.driver.watch === undefined ? settings.pollMaxMs : tookMs + 1;
      if (hold !== undefined && wasOurs) telemetry.onReleased(hold, nowMs);
      if (hold !== undefined && !wasOurs) this.#foundLost(hold);
      this.#left(nowMs + tookMs);
      return wasOurs;
    } catch (error) {
      if (hold !== undefined) telemetry.onLost(hold, clock.now(), error);
      // Nobody asks for the key meanwhile: our own ghost would only be in the way.
      void release()
        .catch(() => undefined)
        .then(() => this.#left(clock.now()));
      throw error;
    }
  }

  /** The store knows nothing of a lease that we took for ours: somebody else may have been in. */
  #foundLost(hold: LeasedHold): void {
    const reason = new LockLostError(this.key);
    hold.lose(reason);
    this.table.telemetry.onLost(hold, this.table.clock.now(), reason);
  }

  #left(nowMs: number): void {
    this.#leaving = undefined;
    // A try asks once, and now.
    if (this.waiters.first?.patience !== 'wait') this.#yieldMs = 0;
    this.pump(nowMs);
  }

  /** Whether there is room for one more who waits. */
  #mayWait(waiter: LeaseWaiter): boolean {
    const { maxWaiting } = this.table.settings;
    if (this.table.waiting >= maxWaiting) {
      this.#refuse(waiter, new QueueFullError(this.key, maxWaiting));
      return false;
    }
    waiter.isQueued = true;
    this.table.waiting++;
    return true;
  }

  #timedOut(waiter: LeaseWaiter, nowMs: number): void {
    if (waiter.patience === 'try') {
      waiter.resolve(undefined);
      return;
    }
    const [holder] = this.holders();
    const by = holder && { owner: holder.owner, heldMs: nowMs - holder.acquiredAtMs };
    const isAsked = this.#contest?.isAsking === true || this.#leaving !== undefined;
    const isUnanswered = isAsked && waiter.patience === 'wait' && this.#answeredMs < waiter.sinceMs;
    const unavailable = isUnanswered ? { cause: this.table.unavailable(this.key, undefined) } : undefined;
    waiter.reject(new LockTimeoutError(this.key, nowMs - waiter.sinceMs, by, unavailable));
    this.table.telemetry.onTimeout(waiter, nowMs);
  }

  #aborted(waiter: LeaseWaiter, nowMs: number): void {
    waiter.reject(waiter.terms.signal?.reason);
    this.table.telemetry.onAborted(waiter, nowMs);
  }

  #refuse(waiter: LeaseWaiter, error: LockClosedError | LockUnavailableError | QueueFullError): void {
    waiter.reject(this.table.telemetry.onRejected(waiter, this.table.clock.now(), error));
  }
}
