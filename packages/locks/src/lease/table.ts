import { type Clock, type Deferred, deferred, onAbort } from '@chunks/base';
import { Agenda } from '../agenda.ts';
import { LockClosedError, LockUnavailableError } from '../errors.ts';
import type { LeaseDriver } from '../lease-driver.ts';
import type { Terms } from '../settings.ts';
import { Telemetry } from '../telemetry.ts';
import type { LockMode } from '../types.ts';
import { Alarm } from './alarm.ts';
import type { LeasedHold } from './leased-hold.ts';
import { LeaseLine } from './line.ts';
import type { LeaseSettings } from './settings.ts';
import { LeaseStore } from './store.ts';
import { LeaseWaiter, type Patience } from './waiter.ts';

/** A holder whose last question got no answer: the store may have given it the key. */
interface Doubt {
  readonly holder: string;
  readonly mode: LockMode;
  readonly alarm: Alarm;
}

/** All keys that this process is interested in, with the one timer and the one store they share. */
export class LeaseTable {
  readonly clock: Clock;
  readonly settings: LeaseSettings;
  readonly agenda: Agenda;
  readonly store: LeaseStore;
  readonly telemetry: Telemetry = new Telemetry();
  readonly lines: Map<string, LeaseLine> = new Map<string, LeaseLine>();
  /** Those who were told to wait. */
  waiting = 0;
  readonly #doubts = new Map<string, Doubt>();
  readonly #pauses = new Map<AbortController, string>();
  #awake = 0;
  #background = 0;
  #holders = 0;
  #id = '';
  #closing: Deferred<void> | undefined;
  #isClosed = false;

  constructor(driver: LeaseDriver, settings: LeaseSettings) {
    this.settings = settings;
    this.clock = settings.clock;
    this.agenda = new Agenda(this.#wakefulClock(), () => this.#wake(this.clock.now()));
    this.store = new LeaseStore(driver, this.agenda, settings);
  }

  /**
   * The lock, or `undefined` from a mere try. @throws as {@link admission}
   * @param since when the wait began, where this is not the first step of it
   */
  acquire(key: string, terms: Terms, patience: Patience, since?: number): Promise<LeasedHold | undefined> {
    const nowMs = this.admission(key, terms.signal);
    return new Promise((resolve, reject) => {
      const line = this.lines.get(key) ?? new LeaseLine(this, key);
      this.lines.set(key, line);
      line.arrive(new LeaseWaiter(line, terms, since ?? nowMs, patience, resolve, reject), nowMs);
    });
  }

  /** @returns now @throws LockClosedError when closed; the signal's reason when that has aborted. */
  admission(key: string, signal: AbortSignal | undefined): number {
    const nowMs = this.catchUp();
    if (this.#closing !== undefined) {
      this.telemetry.rejected++;
      throw new LockClosedError(key);
    }
    signal?.throwIfAborted();
    return nowMs;
  }

  /** Does what a late timer has left undone. @returns now */
  catchUp(): number {
    const nowMs = this.clock.now();
    if (nowMs >= this.agenda.wakeAtMs) this.#wake(nowMs);
    return nowMs;
  }

  forget(line: LeaseLine): void {
    if (this.lines.get(line.key) === line) this.lines.delete(line.key);
    this.#closeWhenIdle();
  }

  /** A name for the next contest: one in doubt, so that our own ghost does not keep us out, or a new one. */
  takeHolder(key: string, mode: LockMode): string {
    const doubt = this.#doubts.get(key);
    if (doubt?.mode === mode) {
      this.#forgetDoubt(key, doubt);
      return doubt.holder;
    }
    // Not when the module is loaded, where some runtimes have no chance to give.
    this.#id ||= Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join('');
    return `${this.#id}.${(this.#holders++).toString(36)}`;
  }

  /** The store may have given, or may still give, the key to this holder. It matters for as long as that lease would last. */
  doubt(key: string, holder: string, mode: LockMode, untilMs: number): void {
    const old = this.#doubts.get(key);
    if (old !== undefined) this.#forgetDoubt(key, old);
    const doubt: Doubt = { holder, mode, alarm: new Alarm(this.agenda, () => this.#doubts.delete(key)) };
    this.#doubts.set(key, doubt);
    doubt.alarm.set(untilMs, this.clock.now());
  }

  /**
   * Gives back what nobody here wants, while nobody waits for it. Where that fails, the lease or the place ends by
   * itself. A holder that was let go is never used again: the message may be late.
   */
  letGo(key: string, holder: string, token: number): void {
    const doubt = this.#doubts.get(key);
    if (doubt?.holder === holder) this.#forgetDoubt(key, doubt);
    void this.inBackground(this.store.release(key, holder, token)).catch(() => undefined);
  }

  /** `close` waits for it. */
  async inBackground<T>(work: Promise<T>): Promise<T> {
    this.#background++;
    try {
      return await work;
    } finally {
      this.#background--;
      this.#closeWhenIdle();
    }
  }

  unavailable(key: string, cause: unknown): LockUnavailableError {
    return new LockUnavailableError(key, this.store.driver.name, cause);
  }

  /** While somebody waits for nothing but time, the timer keeps the process alive: no message from outside will. */
  stayAwake(change: 1 | -1): void {
    const before = this.#awake;
    this.#awake += change;
    if (before > 0 === this.#awake > 0) return;
    // Stopped and set again, as one of the other kind.
    this.agenda.takeDue(Number.NEGATIVE_INFINITY);
    this.agenda.resume(Number.POSITIVE_INFINITY, this.clock.now());
  }

  /** Between two attempts. @throws the signal's reason when that aborts, LockClosedError when closed. */
  async pause(key: string, ms: number, signal: AbortSignal | undefined): Promise<void> {
    this.admission(key, signal);
    const ended = new AbortController();
    const unlink = onAbort(signal, () => ended.abort(signal?.reason));
    this.#pauses.set(ended, key);
    this.stayAwake(1);
    try {
      await this.agenda.pause(ms, ended.signal);
    } finally {
      this.stayAwake(-1);
      this.#pauses.delete(ended);
      unlink();
    }
  }

  close(): Promise<void> {
    if (this.#closing !== undefined) return this.#closing.promise;
    this.catchUp();
    const closing = deferred<void>();
    this.#closing = closing;
    for (const line of [...this.lines.values()]) line.refuseAll(() => new LockClosedError(line.key));
    for (const [pause, key] of this.#pauses) pause.abort(new LockClosedError(key));
    this.#closeWhenIdle();
    return closing.promise;
  }

  #closeWhenIdle(): void {
    if (this.#closing === undefined || this.#isClosed || this.lines.size > 0 || this.#background > 0) return;
    this.#isClosed = true;
    this.#doubts.clear();
    this.agenda.takeDue(Number.POSITIVE_INFINITY);
    const { driver } = this.store;
    new Promise<void>((closed) => closed(driver.close?.())).then(this.#closing.resolve, this.#closing.reject);
  }

  #forgetDoubt(key: string, doubt: Doubt): void {
    doubt.alarm.clear();
    this.#doubts.delete(key);
  }

  #wake(nowMs: number): void {
    const late = this.agenda.takeDue(nowMs);
    for (const due of late) due.leave();
    for (const due of late) due.late(nowMs);
    this.agenda.resume(Number.POSITIVE_INFINITY, nowMs);
  }

  #wakefulClock(): Clock {
    const { clock } = this;
    const after = (ms: number, wake: () => void): (() => void) => {
      if (this.#awake === 0) return clock.after(ms, wake);
      const ended = new AbortController();
      clock.sleep(ms, ended.signal).then(
        () => {
          // It may have been called off when it was over already.
          if (!ended.signal.aborted) wake();
        },
        () => undefined,
      );
      return () => ended.abort();
    };
    return { now: () => clock.now(), after, sleep: (ms, signal) => clock.sleep(ms, signal) };
  }
}
