import { checkNumber } from '@chunks/base';
import { LockLostError, LockUnavailableError } from '../errors.ts';
import type { LeaseRenewal } from '../lease-driver.ts';
import type { LockMode } from '../types.ts';
import { Alarm } from './alarm.ts';
import { LeasedHold } from './leased-hold.ts';
import type { LeaseLine } from './line.ts';
import { GRANTS_PER_TOKEN, MAX_LEASE_MS } from './settings.ts';
import type { LeaseWaiter } from './waiter.ts';

/** What the store has given, and when it was asked for that. */
export interface WonLease {
  readonly holder: string;
  readonly token: number;
  readonly mode: LockMode;
  readonly sentMs: number;
  readonly leaseMs: number;
}

/**
 * A live lease of this process on one key, and those who are in under it. It ends here before it can end in the store:
 * its time counts from when the store was asked, not from when it answered, and some drift is taken off.
 */
export class KeyLease {
  readonly line: LeaseLine;
  readonly holder: string;
  readonly token: number;
  readonly mode: LockMode;
  readonly holds: Set<LeasedHold> = new Set<LeasedHold>();
  /** When everybody under it has lost it, in ms since the epoch. */
  deadlineMs = 0;
  /** `given up`: its deadline came, and what the store thinks of it is not known. */
  #state: 'live' | 'given back' | 'given up' = 'live';
  /** What a renewal asks for at least: what is usual here. */
  #leaseMs: number;
  #sentMs = 0;
  #endsInStoreMs = 0;
  #renewAtMs = 0;
  #renewal: Promise<void> | undefined;
  #failures = 0;
  #failure: unknown;
  // A renewal without an answer may still reach the store, after a longer one that was sent later. From then on the
  // lease is no longer than it asked for, so nobody here counts on more.
  #unansweredMs = Number.POSITIVE_INFINITY;
  #grants = 0;
  readonly #handOffEndsMs: number;
  #isContended = false;
  // While somebody is being told of a loss, nobody comes in through what the listeners do.
  #telling = 0;
  readonly #alarm: Alarm;

  constructor(line: LeaseLine, won: WonLease) {
    this.line = line;
    this.holder = won.holder;
    this.token = won.token;
    this.mode = won.mode;
    this.#leaseMs = won.leaseMs;
    this.#handOffEndsMs = won.sentMs + won.leaseMs / 2;
    this.#alarm = new Alarm(line.table.agenda, (nowMs) => this.#ring(nowMs));
    this.#setTerm(won.sentMs, won.leaseMs);
  }

  get isLive(): boolean {
    return this.#state === 'live';
  }

  /** Nobody is under it, and nobody is about to be. */
  get isIdle(): boolean {
    return this.isLive && this.#telling === 0 && this.holds.size === 0;
  }

  /** Whether local waiters had it long enough, and other processes are to get their turn. */
  isUsedUp(nowMs: number): boolean {
    const { maxGrants } = this.line.table.settings;
    return this.#grants >= maxGrants || nowMs >= this.#handOffEndsMs || this.#isContended;
  }

  /** Whether somebody may enter under it now, without a word to the store. */
  admits(mode: LockMode, nowMs: number): boolean {
    if (this.#telling > 0 || !this.isLive || nowMs >= this.deadlineMs) return false;
    if (this.mode === 'shared' && mode !== 'shared') return false;
    const [first] = this.holds;
    // Who shares may be in for long: those who come later join unless somebody elsewhere waits for all of them to go.
    if (first !== undefined) return first.mode === 'shared' && mode === 'shared' && !this.#isContended;
    // A shared lease is part of a phase that other processes are in, too: its token cannot be counted up here.
    return this.#grants === 0 || (this.mode === 'exclusive' && !this.isUsedUp(nowMs));
  }

  enter({ terms, sinceMs }: LeaseWaiter, nowMs: number): LeasedHold {
    const [first] = this.holds;
    // Those who share are one phase with one token.
    const token = first?.token ?? this.token * GRANTS_PER_TOKEN + this.#grants;
    if (first === undefined) this.#grants++;
    const hold = new LeasedHold(this, terms, token, nowMs, nowMs - sinceMs);
    this.holds.add(hold);
    this.#alarm.by(Math.min(hold.endsAtMs, this.#nextStepMs()), nowMs);
    return hold;
  }

  /** Sets the hold's own end. */
  setEnd(hold: LeasedHold, endsAtMs: number): void {
    hold.endsAtMs = endsAtMs;
    this.#arm(this.line.table.clock.now());
  }

  /** The store is being told: what is still under way for this lease does not matter any more. */
  giveBack(): void {
    this.#state = 'given back';
    this.#alarm.clear();
  }

  /** Whether the hold is still ours; takes it away when it is over, though no timer has come yet. */
  keeps(hold: LeasedHold, nowMs: number = this.line.table.catchUp()): boolean {
    // A timer that is at work may not have come to this one yet.
    if (hold.state === 'held' && nowMs >= hold.expiresAtMs) this.#ring(nowMs);
    return hold.state === 'held';
  }

  async extend(hold: LeasedHold, leaseMs: number): Promise<void> {
    checkNumber('leaseMs', leaseMs, 1, MAX_LEASE_MS);
    // One at a time, because the store counts from the last one that reaches it.
    while (this.keeps(hold) && this.#renewal !== undefined) await this.#renewal.catch(() => undefined);
    if (hold.state !== 'held') throw new LockLostError(this.line.key);
    const sentMs = this.line.table.clock.now();
    await this.#renew(leaseMs);
    if (!this.keeps(hold)) throw new LockLostError(this.line.key);
    if (sentMs + leaseMs > hold.endsAtMs) this.setEnd(hold, sentMs + leaseMs);
  }

  #ring(nowMs: number): void {
    if (!this.isLive) return;
    if (nowMs >= this.deadlineMs) {
      this.#state = 'given up';
      this.#loseAll(nowMs, true, this.#failure);
      return;
    }
    const over = [...this.holds].filter((hold) => nowMs >= hold.endsAtMs);
    if (over.length > 0) this.#lose(over, nowMs, true, undefined);
    if (!this.isLive) return;
    if (this.#renewal === undefined && nowMs >= this.#nextStepMs()) void this.#renew(1).catch(() => undefined);
    this.#arm(nowMs);
    if (over.length > 0) this.line.pump(nowMs);
  }

  #arm(nowMs: number): void {
    let endsAtMs = Number.POSITIVE_INFINITY;
    for (const hold of this.holds) endsAtMs = Math.min(endsAtMs, hold.endsAtMs);
    this.#alarm.set(Math.min(endsAtMs, this.#nextStepMs()), nowMs);
  }

  /** When to renew; the deadline, when that is not needed: who is gone before has lease enough. */
  #nextStepMs(): number {
    if (this.#renewal !== undefined) return this.deadlineMs;
    for (const hold of this.holds)
      if (hold.endsAtMs > this.deadlineMs) return Math.min(this.#renewAtMs, this.deadlineMs);
    return this.deadlineMs;
  }

  #renew(leaseMs: number): Promise<void> {
    this.#renewal = this.#askForMore(leaseMs).finally(() => {
      this.#renewal = undefined;
      if (this.isLive) this.#arm(this.line.table.clock.now());
    });
    return this.#renewal;
  }

  async #askForMore(leaseMs: number): Promise<void> {
    const { store, clock, settings } = this.line.table;
    const sentMs = clock.now();
    this.#leaseMs = 1;
    for (const { terms } of this.holds) this.#leaseMs = Math.max(this.#leaseMs, terms.leaseMs);
    // Never for less than there is: the store would take it, and the deadline would come too late.
    const askedMs = Math.ceil(Math.max(leaseMs, this.#leaseMs, this.#endsInStoreMs - sentMs));
    const onLate = (answer: LeaseRenewal): void => this.#answered(answer, sentMs, askedMs);
    try {
      onLate(await store.renew(this.line.key, this.holder, this.token, askedMs, onLate));
    } catch (error) {
      this.#unansweredMs = Math.min(this.#unansweredMs, askedMs);
      this.#failure = error instanceof LockUnavailableError ? error.cause : error;
      this.#renewAtMs = clock.now() + settings.poll.delayMs(++this.#failures, settings.random);
      throw error;
    }
  }

  #answered(answer: LeaseRenewal, sentMs: number, askedMs: number): void {
    // However late timers are, nothing revives: the deadline came first.
    const nowMs = this.line.table.catchUp();
    if (this.#state === 'given up' && answer !== false) this.line.table.letGo(this.line.key, this.holder, this.token);
    if (!this.isLive) return;
    if (answer === false) {
      this.#state = 'given back';
      this.#loseAll(nowMs, false, undefined);
      return;
    }
    this.#failures = 0;
    this.#failure = undefined;
    this.#isContended = answer !== true;
    // A late answer tells nothing that an answer to a later question has not told.
    if (sentMs >= this.#sentMs) this.#setTerm(sentMs, askedMs);
    this.#arm(nowMs);
  }

  #setTerm(sentMs: number, askedMs: number): void {
    this.#sentMs = sentMs;
    const termMs = Math.min(askedMs, this.#unansweredMs);
    this.#endsInStoreMs = sentMs + termMs;
    this.deadlineMs = this.#endsInStoreMs - this.line.table.settings.driftMs(termMs);
    // With two thirds of a lease left.
    this.#renewAtMs = this.#endsInStoreMs - (Math.min(this.#leaseMs, termMs) * 2) / 3;
  }

  #loseAll(nowMs: number, isExpired: boolean, cause: unknown): void {
    this.#alarm.clear();
    this.#lose([...this.holds], nowMs, isExpired, cause);
    this.line.ended(this, nowMs);
  }

  #lose(holds: readonly LeasedHold[], nowMs: number, isExpired: boolean, cause: unknown): void {
    const { telemetry } = this.line.table;
    this.#telling++;
    // None of them is in any more when the first of them is told.
    for (const hold of holds) {
      hold.state = 'lost';
      this.holds.delete(hold);
    }
    for (const hold of holds) {
      const reason = new LockLostError(this.line.key, cause === undefined ? undefined : { cause });
      hold.lose(reason);
      if (isExpired) telemetry.onExpired(hold, nowMs);
      telemetry.onLost(hold, nowMs, reason);
    }
    this.#telling--;
  }
}
