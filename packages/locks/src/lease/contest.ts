import type { LeaseBusy, LeaseGrant } from '../lease-driver.ts';
import type { Terms } from '../settings.ts';
import type { LockMode } from '../types.ts';
import { Alarm } from './alarm.ts';
import type { WonLease } from './key-lease.ts';
import type { LeaseLine } from './line.ts';

// Where the store tells of releases, asking is only for what it may have failed to tell.
const WATCHED_POLL_MS = 1_000;

/**
 * One process's bid for one key: it asks the store again and again, on behalf of whoever is first in the local line,
 * until the lease is ours or nobody is left who wants it in this mode.
 */
export class Contest {
  readonly holder: string;
  readonly mode: LockMode;
  readonly #line: LeaseLine;
  #alarm: Alarm | undefined;
  #goOn: (() => void) | undefined;
  /** The store owes an answer. */
  isAsking = false;
  #isYielding = false;
  #isWoken = false;
  /** The store has a place in its own line for us. */
  #hasPlace = false;
  #polls = 0;
  // When the store is asked early because somebody's lease is to end.
  #earlyMs = Number.NEGATIVE_INFINITY;

  constructor(line: LeaseLine, holder: string, mode: LockMode) {
    this.#line = line;
    this.holder = holder;
    this.mode = mode;
  }

  /**
   * @param yieldMs how long other processes may go first
   * @returns `undefined` when nobody wants it any more
   * @throws LockUnavailableError when the store does not answer.
   */
  async run(yieldMs: number): Promise<WonLease | undefined> {
    if (yieldMs > 0) {
      this.#isYielding = true;
      await this.#pause(yieldMs);
      this.#isYielding = false;
    }
    for (let terms = this.#wanted; terms !== undefined; terms = this.#wanted) {
      this.isAsking = true;
      const answer = await this.#ask(terms);
      this.isAsking = false;
      if ('token' in answer) return answer;
      this.#line.stayBusy();
      if (this.#wanted !== undefined) await this.#waitOn(answer);
    }
    if (this.#hasPlace) this.#line.table.letGo(this.#line.key, this.holder, 0);
    return undefined;
  }

  /** Something was released: ask now, or once more. */
  wake(): void {
    // What is heard now may be our own release.
    if (this.#isYielding) return;
    this.#isWoken = true;
    this.#proceed();
  }

  /** The local line has changed. */
  reconsider(): void {
    if (this.#wanted === undefined) this.#proceed();
  }

  get #wanted(): Terms | undefined {
    const terms = this.#line.waiters.first?.terms;
    return terms?.mode === this.mode ? terms : undefined;
  }

  /** One answer may be lost on its way: the same question again is safe, and tells what became of the first. */
  async #ask(terms: Terms): Promise<WonLease | LeaseBusy> {
    const { table, key, waiters } = this.#line;
    const { clock, store, settings } = table;
    const leaseMs = Math.ceil(terms.leaseMs);
    for (let isResent = false; ; isResent = true) {
      const sentMs = clock.now();
      this.#isWoken = false;
      try {
        const answer = await store.acquire(key, this.holder, leaseMs, this.mode, (late) => this.#answeredLate(late));
        if ('busy' in answer) {
          this.#hasPlace ||= answer.queued === true;
          return answer;
        }
        // Behind a blocked event loop or a sleep, it may be over by now.
        if (clock.now() < sentMs + leaseMs - settings.driftMs(leaseMs)) {
          return { token: answer.token, holder: this.holder, mode: this.mode, sentMs, leaseMs };
        }
        if (isResent)
          throw table.unavailable(key, new DOMException('the lease was over by the answer', 'TimeoutError'));
      } catch (error) {
        if (!isResent && waiters.first !== undefined) continue;
        table.doubt(key, this.holder, this.mode, sentMs + leaseMs);
        throw error;
      }
    }
  }

  /** It was asked for and is nobody's, unless somebody has asked again in the same name. */
  #answeredLate(answer: LeaseGrant | LeaseBusy): void {
    const { table, key } = this.#line;
    if (!('token' in answer)) return;
    const line = table.lines.get(key);
    if (line?.isUsing(this.holder, answer.token)) line.wake();
    else table.letGo(key, this.holder, answer.token);
  }

  async #waitOn({ retryAfterMs }: LeaseBusy): Promise<void> {
    if (this.#isWoken) return;
    const { watch, table } = this.#line;
    const { poll, pollMinMs, random } = table.settings;
    watch.open();
    // NaN and what is no number at all say nothing.
    const endsInMs = Math.max(Math.ceil(Number(retryAfterMs)), pollMinMs) || Number.POSITIVE_INFINITY;
    if (!watch.isOpen) return this.#pause(Math.min(poll.delayMs(++this.#polls, random), endsInMs));
    const nowMs = table.clock.now();
    // A short lease that is renewed all the time must not make us ask all the time.
    const earlyMs = Math.max(nowMs + endsInMs, this.#earlyMs + WATCHED_POLL_MS);
    if (earlyMs >= nowMs + WATCHED_POLL_MS) return this.#pause(WATCHED_POLL_MS);
    this.#earlyMs = earlyMs;
    return this.#pause(earlyMs - nowMs);
  }

  /** Until it is time, or something happens. */
  async #pause(ms: number): Promise<void> {
    const { table } = this.#line;
    const nowMs = table.clock.now();
    table.stayAwake(1);
    await new Promise<void>((goOn) => {
      this.#goOn = goOn;
      this.#alarm ??= new Alarm(table.agenda, () => this.#proceed());
      this.#alarm.set(nowMs + ms, nowMs);
    });
    table.stayAwake(-1);
  }

  #proceed(): void {
    this.#alarm?.clear();
    this.#goOn?.();
    this.#goOn = undefined;
  }
}
