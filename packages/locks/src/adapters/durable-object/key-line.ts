import type { LeaseBusy, LeaseGrant, LeaseRenewal, LeaseState } from '../../lease-driver.ts';
import { CLAIM_MS, KEPT_MS, PLACE_MS, tokenAfter } from '../../lease-rules.ts';

/** Being asked for is written down no more often than this. */
const ASKED_UNIT_MS = 5_000;
/** What one stored value surely holds. Who comes later gets no place, and asks again. */
const MAX_PLACES = 500;

interface Place {
  readonly holder: string;
  leaseMs: number;
  askedMs: number;
}

/** All there is to know of one key, as it is stored. */
export interface KeyRecord {
  token: number;
  /** '': free. */
  holder: string;
  endsMs: number;
  /** Handed on, but its new holder has not asked since. */
  isUnclaimed: boolean;
  /** In order; the holder stands in no line. */
  line: Place[];
}

/**
 * One key: its lease and the line for it. Whichever step first sees an ended lease hands it on to the first in line, so
 * that nobody new comes in between. Steps change the record at once, without a pause; `takeChange` says what is left to
 * do about it.
 */
export class KeyLine {
  readonly record: KeyRecord;
  #isChanged = false;
  #isFreed = false;
  /** Of places that were asked for since they were stored: when they were, as the store has it. */
  #storedAskedMs = new WeakMap<Place, number>();

  constructor(record: KeyRecord | undefined) {
    this.record = record ?? { token: 0, holder: '', endsMs: 0, isUnclaimed: false, line: [] };
  }

  acquire(holder: string, leaseMs: number, nowMs: number): LeaseGrant | LeaseBusy {
    const { record } = this;
    this.settle(nowMs);
    if (record.holder === '') this.#give(holder, nowMs + leaseMs, nowMs);
    if (record.holder === holder) {
      this.#extend(nowMs + leaseMs);
      return { token: record.token };
    }
    const busy: LeaseBusy = { busy: true, holder: record.holder, retryAfterMs: record.endsMs - nowMs };
    return this.#stand(holder, leaseMs, nowMs) ? { ...busy, queued: true } : busy;
  }

  renew(holder: string, token: number, leaseMs: number, nowMs: number): LeaseRenewal {
    this.settle(nowMs);
    if (!this.#isHeldBy(holder, token)) return false;
    this.#extend(nowMs + leaseMs);
    return this.record.line.length === 0 || { contended: true };
  }

  /** Token 0 gives back what the holder may not know that it has: its place, or what was handed on to it since. */
  release(holder: string, token: number, nowMs: number): boolean {
    const { record } = this;
    this.settle(nowMs);
    const isOurs = this.#isHeldBy(holder, token);
    if (token === 0) this.#setLine(record.line.filter((place) => place.holder !== holder));
    if (isOurs || (token === 0 && record.holder === holder && record.isUnclaimed)) this.#handOn(nowMs);
    return isOurs;
  }

  inspect(nowMs: number): LeaseState | undefined {
    const { record } = this;
    this.settle(nowMs);
    if (record.holder === '') return undefined;
    return { holder: record.holder, mode: 'exclusive', expiresInMs: record.endsMs - nowMs };
  }

  /** Drops the places that lapsed, and hands on what has ended. */
  settle(nowMs: number): void {
    const { record } = this;
    this.#setLine(record.line.filter(({ askedMs }) => askedMs + PLACE_MS > nowMs));
    // Written down even if nobody waits: an ended lease must not revive when the clock is set back.
    if (record.holder !== '' && record.endsMs <= nowMs) this.#handOn(nowMs);
  }

  /** When time alone will have something to do here: hand the key on, or see whether the record may go. */
  get dueMs(): number {
    const { holder, endsMs, token, line } = this.record;
    if (token === 0) return Number.POSITIVE_INFINITY;
    if (holder !== '' && line.length > 0) return endsMs;
    return Math.max(holder === '' ? 0 : endsMs, token + KEPT_MS);
  }

  /** Whether nothing would be lost with the record. */
  isOld(nowMs: number): boolean {
    return this.record.holder === '' && this.dueMs <= nowMs;
  }

  /** @returns whether the record has to be stored, and whether the key went to somebody else or nobody, since the last call */
  takeChange(): { isChanged: boolean; isFreed: boolean } {
    const change = { isChanged: this.#isChanged, isFreed: this.#isFreed };
    this.#isChanged = this.#isFreed = false;
    if (change.isChanged) this.#storedAskedMs = new WeakMap();
    return change;
  }

  #isHeldBy(holder: string, token: number): boolean {
    return this.record.holder === holder && this.record.token === token;
  }

  #handOn(nowMs: number): void {
    const { record } = this;
    const next = record.line.shift();
    if (next === undefined) record.holder = '';
    else {
      this.#give(next.holder, nowMs + Math.min(CLAIM_MS, next.leaseMs), nowMs);
      record.isUnclaimed = true;
    }
    this.#isChanged = this.#isFreed = true;
  }

  #give(holder: string, endsMs: number, nowMs: number): void {
    const token = tokenAfter(this.record.token, nowMs);
    Object.assign(this.record, { token, holder, endsMs });
    this.#isChanged = true;
  }

  #extend(endsMs: number): void {
    Object.assign(this.record, { endsMs, isUnclaimed: false });
    this.#isChanged = true;
  }

  /** At the tail, or where the holder stands already. @returns whether there is a place */
  #stand(holder: string, leaseMs: number, nowMs: number): boolean {
    const { line } = this.record;
    const own = line.find((place) => place.holder === holder);
    if (own === undefined) {
      if (line.length >= MAX_PLACES) return false;
      line.push({ holder, leaseMs, askedMs: nowMs });
      this.#isChanged = true;
    } else {
      const storedMs = this.#storedAskedMs.get(own) ?? own.askedMs;
      this.#storedAskedMs.set(own, storedMs);
      if (own.leaseMs !== leaseMs || nowMs - storedMs >= ASKED_UNIT_MS) this.#isChanged = true;
      Object.assign(own, { leaseMs, askedMs: nowMs });
    }
    return true;
  }

  #setLine(line: Place[]): void {
    if (line.length === this.record.line.length) return;
    this.record.line = line;
    this.#isChanged = true;
  }
}
