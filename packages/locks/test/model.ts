import type { LockMode } from '@chunks/locks';

/** What became of one attempt to lock. */
export type Fate = 'waiting' | 'held' | 'released' | 'lost' | 'timeout' | 'aborted' | 'closed' | 'refused';

export interface Attempt {
  readonly id: number;
  readonly key: string;
  readonly mode: LockMode;
  readonly dueMs: number;
  readonly leaseMs: number;
  expiresAtMs: number;
  fate: Fate;
  /** Which grant on its key it was, in order; shared ones that are in together have one number. */
  phase: number;
}

/** The lock as one would explain it: slow, obvious, without promises, timers or links. */
export class Model {
  readonly attempts: Attempt[] = [];
  nowMs: number;
  closed = false;
  readonly #reclaim: boolean;
  #phases = 0;

  constructor(nowMs: number, onExpired: 'reclaim' | 'report' = 'reclaim') {
    this.nowMs = nowMs;
    this.#reclaim = onExpired === 'reclaim';
  }

  with(key: string, fate: Fate): Attempt[] {
    return this.attempts.filter((attempt) => attempt.key === key && attempt.fate === fate);
  }

  /** `timeoutMs` undefined: for ever; 0: try once. */
  arrive(key: string, mode: LockMode, leaseMs: number, timeoutMs: number | undefined): Attempt {
    this.catchUp();
    const dueMs = timeoutMs === undefined ? Number.POSITIVE_INFINITY : this.nowMs + timeoutMs;
    const attempt: Attempt = {
      id: this.attempts.length,
      key,
      mode,
      dueMs,
      leaseMs,
      expiresAtMs: 0,
      fate: 'waiting',
      phase: 0,
    };
    this.attempts.push(attempt);
    this.#grant(key);
    if (attempt.fate === 'waiting' && timeoutMs === 0) attempt.fate = 'refused';
    return attempt;
  }

  release(attempt: Attempt): boolean {
    this.catchUp();
    if (attempt.fate !== 'held') return false;
    attempt.fate = 'released';
    this.#grant(attempt.key);
    return true;
  }

  abort(attempt: Attempt): void {
    if (attempt.fate !== 'waiting') return;
    attempt.fate = 'aborted';
    this.#grant(attempt.key);
  }

  /** Whether it was still there to extend. */
  extend(attempt: Attempt, leaseMs: number): boolean {
    this.catchUp();
    if (attempt.fate !== 'held') return false;
    attempt.expiresAtMs = Math.max(attempt.expiresAtMs, this.nowMs + leaseMs);
    return true;
  }

  close(): void {
    this.closed = true;
    for (const attempt of this.attempts) if (attempt.fate === 'waiting') attempt.fate = 'closed';
  }

  /** Time passes with every timer on time. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    this.catchUp();
    for (let atMs = this.#nextMs(); atMs <= untilMs; atMs = this.#nextMs()) {
      this.nowMs = atMs;
      this.catchUp();
    }
    this.nowMs = untilMs;
  }

  /** Everything that is due: first those who waited too long, then the leases that ended, then who comes next. */
  catchUp(): void {
    for (const attempt of this.attempts) {
      if (attempt.fate === 'waiting' && attempt.dueMs <= this.nowMs) attempt.fate = 'timeout';
    }
    for (const attempt of this.attempts) {
      if (this.#reclaim && attempt.fate === 'held' && attempt.expiresAtMs <= this.nowMs) attempt.fate = 'lost';
    }
    for (const key of new Set(this.attempts.map((attempt) => attempt.key))) this.#grant(key);
  }

  isHeld(attempt: Attempt): boolean {
    return attempt.fate === 'held' && (!this.#reclaim || this.nowMs < attempt.expiresAtMs);
  }

  #grant(key: string): void {
    // Those who are over lend their phase to nobody, also where their timer is late.
    for (const holder of this.with(key, 'held')) if (!this.isHeld(holder)) holder.fate = 'lost';
    for (const next of this.with(key, 'waiting')) {
      const holders = this.with(key, 'held');
      const joins = next.mode === 'shared' && holders.every((holder) => holder.mode === 'shared');
      if (holders.length > 0 && !joins) return;
      next.fate = 'held';
      next.phase = holders[0]?.phase ?? ++this.#phases;
      next.expiresAtMs = this.nowMs + next.leaseMs;
    }
  }

  #nextMs(): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const attempt of this.attempts) {
      if (attempt.fate === 'waiting') nextMs = Math.min(nextMs, attempt.dueMs);
      if (attempt.fate === 'held' && this.#reclaim) nextMs = Math.min(nextMs, attempt.expiresAtMs);
    }
    return nextMs;
  }
}
