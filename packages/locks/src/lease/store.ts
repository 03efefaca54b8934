import type { Agenda } from '../agenda.ts';
import { LockUnavailableError } from '../errors.ts';
import type { LeaseBusy, LeaseDriver, LeaseGrant, LeaseRenewal, LeaseState } from '../lease-driver.ts';
import type { LockMode } from '../types.ts';
import { Alarm } from './alarm.ts';
import { GRANTS_PER_TOKEN, type LeaseSettings } from './settings.ts';

const MAX_TOKEN = Number.MAX_SAFE_INTEGER / GRANTS_PER_TOKEN - 1;

type IsAnswer<T> = (answer: unknown) => answer is T;
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

const isGrantOrBusy: IsAnswer<LeaseGrant | LeaseBusy> = (answer): answer is LeaseGrant | LeaseBusy => {
  if (!isObject(answer)) return false;
  const { token, busy } = answer;
  if (busy === true) return token === undefined;
  return Number.isSafeInteger(token) && (token as number) > 0 && (token as number) < MAX_TOKEN;
};
const isRenewal: IsAnswer<LeaseRenewal> = (answer): answer is LeaseRenewal =>
  typeof answer === 'boolean' || (isObject(answer) && answer['contended'] === true);
const isBoolean: IsAnswer<boolean> = (answer) => typeof answer === 'boolean';
const isState: IsAnswer<LeaseState | undefined> = (answer): answer is LeaseState | undefined =>
  answer === undefined || (isObject(answer) && typeof answer['holder'] === 'string');

/** One question to the store. */
interface Question<T> {
  readonly key: string;
  readonly limitMs: number;
  readonly send: (signal: AbortSignal) => Promise<T>;
  readonly isAnswer: IsAnswer<T>;
  /** An answer after the question was given up. */
  readonly onLate?: (answer: T) => void;
}

/**
 * The driver, as the locker sees it: each call gives a proper answer within its time, or rejects LOCK_UNAVAILABLE,
 * whatever the driver does: reject, throw, hang or talk nonsense.
 */
export class LeaseStore {
  readonly driver: LeaseDriver;
  readonly #agenda: Agenda;
  readonly #settings: LeaseSettings;

  constructor(driver: LeaseDriver, agenda: Agenda, settings: LeaseSettings) {
    this.driver = driver;
    this.#agenda = agenda;
    this.#settings = settings;
  }

  acquire(
    key: string,
    holder: string,
    leaseMs: number,
    mode: LockMode,
    onLate: (answer: LeaseGrant | LeaseBusy) => void,
  ): Promise<LeaseGrant | LeaseBusy> {
    const send = (signal: AbortSignal): Promise<LeaseGrant | LeaseBusy> =>
      this.driver.acquire(key, holder, leaseMs, { mode, signal });
    return this.#ask({ key, limitMs: leaseMs / 2, send, isAnswer: isGrantOrBusy, onLate });
  }

  renew(
    key: string,
    holder: string,
    token: number,
    leaseMs: number,
    onLate: (answer: LeaseRenewal) => void,
  ): Promise<LeaseRenewal> {
    const send = (): Promise<LeaseRenewal> => this.driver.renew(key, holder, token, leaseMs);
    return this.#ask({ key, limitMs: leaseMs / 2, send, isAnswer: isRenewal, onLate });
  }

  release(key: string, holder: string, token: number): Promise<boolean> {
    const send = (): Promise<boolean> => this.driver.release(key, holder, token);
    return this.#ask({ key, limitMs: Number.POSITIVE_INFINITY, send, isAnswer: isBoolean });
  }

  /** Whether anybody has the key; `undefined` when the driver cannot tell. */
  async isHeld(key: string): Promise<boolean | undefined> {
    const { driver } = this;
    if (driver.inspect === undefined) return undefined;
    const send = async (): Promise<LeaseState | undefined> => driver.inspect?.(key);
    return (await this.#ask({ key, limitMs: Number.POSITIVE_INFINITY, send, isAnswer: isState })) !== undefined;
  }

  #ask<T>({ key, limitMs, send, isAnswer, onLate }: Question<T>): Promise<T> {
    const { clock, requestTimeoutMs } = this.#settings;
    const waitMs = Math.min(limitMs, requestTimeoutMs);
    return new Promise((resolve, reject) => {
      const gaveUp = new AbortController();
      const fail = (cause: unknown): void => {
        limit.clear();
        reject(new LockUnavailableError(key, this.driver.name, cause));
      };
      const limit = new Alarm(this.#agenda, () => {
        const late = new DOMException(`no answer within ${waitMs} ms`, 'TimeoutError');
        fail(late);
        gaveUp.abort(late);
      });
      const nowMs = clock.now();
      limit.set(nowMs + waitMs, nowMs);
      // A driver that throws instead of rejecting is no different.
      new Promise<T>((answered) => answered(send(gaveUp.signal))).then((answer) => {
        if (!isAnswer(answer)) return fail(new TypeError(`not an answer: ${Object.prototype.toString.call(answer)}`));
        if (gaveUp.signal.aborted) return onLate?.(answer);
        limit.clear();
        resolve(answer);
      }, fail);
    });
  }
}
