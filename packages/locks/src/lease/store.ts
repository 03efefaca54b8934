import type { Agenda } from '../agenda.ts';
import { LockUnavailableError } from '../errors.ts';
import type { LeaseBusy, LeaseDriver, LeaseGrant, LeaseRenewal, LeaseRequest, LeaseState } from '../lease-driver.ts';
import type { LockMode } from '../types.ts';
import { Alarm } from './alarm.ts';
import { GRANTS_PER_TOKEN, type LeaseSettings } from './settings.ts';

// Where the event loop was blocked, it comes to late timers before it reads what has arrived meanwhile.
const UNREAD_MS = 50;

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
  readonly isAnswer: IsAnswer<T>;
  /** An answer after the question was given up. */
  readonly onLate?: ((answer: T) => void) | undefined;
  send(call: Call): Promise<T>;
}

/** One call on its way. Its signal is made when a driver asks for it: most have no use for one. */
class Call implements LeaseRequest {
  readonly mode: LockMode;
  #late: DOMException | undefined;
  #controller: AbortController | undefined;

  constructor(mode: LockMode) {
    this.mode = mode;
  }

  get isGivenUp(): boolean {
    return this.#late !== undefined;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#late !== undefined) this.#controller.abort(this.#late);
    }
    return this.#controller.signal;
  }

  giveUp(late: DOMException): void {
    this.#late = late;
    this.#controller?.abort(late);
  }
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
    const send = (call: Call): Promise<LeaseGrant | LeaseBusy> => this.driver.acquire(key, holder, leaseMs, call);
    return this.#ask({ key, limitMs: leaseMs / 2, send, isAnswer: isGrantOrBusy, onLate }, mode);
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

  #ask<T>({ key, limitMs, send, isAnswer, onLate }: Question<T>, mode: LockMode = 'exclusive'): Promise<T> {
    const { clock, requestTimeoutMs } = this.#settings;
    const waitMs = Math.min(limitMs, requestTimeoutMs);
    return new Promise((resolve, reject) => {
      const call = new Call(mode);
      const fail = (cause: unknown): void => {
        limit.clear();
        reject(new LockUnavailableError(key, this.driver.name, cause));
      };
      const sentMs = clock.now();
      let dueMs = sentMs + waitMs;
      const limit = new Alarm(this.#agenda, (nowMs) => {
        if (nowMs > dueMs) {
          dueMs = Number.POSITIVE_INFINITY;
          limit.set(nowMs + Math.min(waitMs, UNREAD_MS), nowMs);
          return;
        }
        const late = new DOMException(`no answer within ${waitMs} ms`, 'TimeoutError');
        fail(late);
        call.giveUp(late);
      });
      limit.set(dueMs, sentMs);
      const answered = (answer: T): void => {
        if (!isAnswer(answer)) fail(new TypeError(`not an answer: ${Object.prototype.toString.call(answer)}`));
        else if (call.isGivenUp) onLate?.(answer);
        else {
          limit.clear();
          resolve(answer);
        }
      };
      try {
        Promise.resolve(send(call)).then(answered, fail);
      } catch (error) {
        // A driver that throws instead of rejecting is no different.
        fail(error);
      }
    });
  }
}
