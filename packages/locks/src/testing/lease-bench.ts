import type { MaybePromise } from '@chunks/base';
import { equal, isTrue } from '@chunks/base/testing';
import type { LeaseBusy, LeaseDriver } from '../lease-driver.ts';
import type { LockMode } from '../types.ts';

/** What a driver can do beyond the three calls. What it declares absent has cases of its own, that it is absent. */
export interface LeaseAbilities {
  /** `modes` has `'shared'`. */
  readonly shared: boolean;
  /** `inspect` is there. */
  readonly inspect: boolean;
  /** `watch` is there. */
  readonly watch: boolean;
  /** The store keeps a line: busy answers say `queued`, and a release hands the key on. */
  readonly line: boolean;
  /** Whose time counts: `'injected'` where `pass` moves a clock of the test, `'store'` where real time has to go by. */
  readonly clock: 'injected' | 'store';
  /** Whether calls can fail to reach the store; then the bench has an `outage`. */
  readonly remote: boolean;
}

/** A store of its own for one case, without a lease of an earlier one. */
export interface LeaseBench {
  /** One more process on this store: a new driver, with a client of its own where that is cheap. */
  open(): MaybePromise<LeaseDriver>;
  /** Lets at least so much time pass by the store's clock. */
  pass(ms: number): Promise<void>;
  /** The store's clock, in ms since the epoch; it may be a fraction. */
  now(): MaybePromise<number>;
  /**
   * A lease that is cheap to wait out: the cases wait for its end, and for nothing before it. At most 10_000.
   * @default 200
   */
  readonly shortMs?: number | undefined;
  /** A driver whose store does not answer until `end` is called. Needed where the driver is `remote`. */
  outage?(): MaybePromise<{ driver: LeaseDriver; end(): MaybePromise<void> }>;
  /** Sets the clock back, as an operator or a daemon does. Needed where the clock is `'injected'`. */
  turnBack?(ms: number): void;
  /** Takes the store away after the case. Drivers are closed by then. */
  close?(): MaybePromise<void>;
}

/** Longer than any case takes, on any machine. */
export const LONG_MS = 60_000;
/** A place in a store's line lapses when nobody asks for it for so long. */
export const PLACE_MS = 15_000;
/** What was handed on lapses when its new holder does not ask for it for so long. */
export const CLAIM_MS = 2_000;

/** One case at work: the bench, the drivers that it opened, and the words in which cases speak. */
export class LeaseTrial {
  readonly bench: LeaseBench;
  readonly shortMs: number;
  readonly #drivers: LeaseDriver[] = [];

  constructor(bench: LeaseBench) {
    this.bench = bench;
    this.shortMs = bench.shortMs ?? 200;
  }

  async open(): Promise<LeaseDriver> {
    const driver = await this.bench.open();
    this.#drivers.push(driver);
    return driver;
  }

  async end(): Promise<void> {
    for (const driver of this.#drivers) await driver.close?.();
    await this.bench.close?.();
  }

  /** Until a lease of `shortMs` that was given by now has ended. */
  passShort(): Promise<void> {
    return this.bench.pass(this.shortMs + 1);
  }

  /** Lets time pass in small steps until it is so. */
  async until(isSo: () => boolean, what: string): Promise<void> {
    for (let step = 0; step < 400 && !isSo(); step++) await this.bench.pass(25);
    isTrue(isSo(), what);
  }
}

/** Asks, and whatever the answer is, that is it. */
export function ask(
  driver: LeaseDriver,
  key: string,
  holder: string,
  leaseMs: number = LONG_MS,
  mode: LockMode = 'exclusive',
): ReturnType<LeaseDriver['acquire']> {
  return driver.acquire(key, holder, leaseMs, { mode, signal: new AbortController().signal });
}

/** The token of a grant that must come. */
export async function take(...args: Parameters<typeof ask>): Promise<number> {
  const answer = await ask(...args);
  isTrue('token' in answer, `${args[2]} must be given the free key ${show(args[1])}, got ${JSON.stringify(answer)}`);
  isTrue(Number.isSafeInteger(answer.token) && answer.token > 0, `a token is a whole number, got ${answer.token}`);
  return answer.token;
}

/** The busy answer that must come; the asker stays in the store's line, if there is one. */
export async function queue(...args: Parameters<typeof ask>): Promise<LeaseBusy> {
  const answer = await ask(...args);
  isTrue('busy' in answer && answer.busy === true, `${args[2]} must find ${show(args[1])} busy, got a grant`);
  return answer;
}

/** The busy answer that must come; the asker then goes away. */
export async function refused(...args: Parameters<typeof ask>): Promise<LeaseBusy> {
  const [driver, key, holder] = args;
  const answer = await queue(...args);
  equal(await driver.release(key, holder, 0), false, 'a release by one who only waits');
  return answer;
}

/** Whether a renewal says that the lease lives. */
export function lives(renewal: Awaited<ReturnType<LeaseDriver['renew']>>): boolean {
  return renewal !== false;
}

const show = (key: string): string => JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key);
