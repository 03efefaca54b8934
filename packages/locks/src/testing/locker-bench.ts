import type { MaybePromise } from '@chunks/base';
import { equal, heard, isTrue, rejection } from '@chunks/base/testing';
import type { Lock, Locker, LockerOptions } from '../types.ts';

/** What a locker can do beyond what all can. */
export interface LockerAbilities {
  /** Shared mode; a locker without it refuses it by LOCK_MODE_UNSUPPORTED. */
  readonly shared: boolean;
}

/** Lockers for one case, with keys that nobody else uses. */
export interface LockerBench {
  open(options: Omit<LockerOptions, 'clock'>): MaybePromise<Locker>;
  /** Lets at least so much time pass by the lockers' clock. */
  pass(ms: number): Promise<void>;
  /**
   * A lease that is cheap to wait out, and long enough to be renewed in time on a busy machine.
   * @default 1_500
   */
  readonly shortMs?: number | undefined;
  /** After the case. The lockers are closed by then. */
  close?(): MaybePromise<void>;
}

/** One case at work: its lockers, and the words in which cases speak. */
export class LockerTrial {
  readonly bench: LockerBench;
  readonly shortMs: number;
  readonly #lockers: Locker[] = [];

  constructor(bench: LockerBench) {
    this.bench = bench;
    this.shortMs = bench.shortMs ?? 1_500;
  }

  async open(options: Omit<LockerOptions, 'clock'> = {}): Promise<Locker> {
    const locker = await this.bench.open(options);
    this.#lockers.push(locker);
    return withHeardCalls(locker);
  }

  /** A case that held must leave nothing behind: nobody holds, nobody waits, and closing waits for nothing. */
  async end(didHold: boolean): Promise<void> {
    for (const locker of this.#lockers) {
      const { activeLocks, waiting } = locker.stats();
      const closed = heard(locker.close());
      if (!didHold) continue;
      equal({ activeLocks, waiting }, { activeLocks: 0, waiting: 0 }, 'what the case leaves behind');
      await this.settled(closed, 'close');
    }
    await this.bench.close?.();
  }

  /** Lets time pass in small steps until the promise has settled. */
  settled<T>(promise: T | PromiseLike<T>, what: string): Promise<T> {
    return heard(this.#passUntilSettled(promise, what));
  }

  async #passUntilSettled<T>(promise: T | PromiseLike<T>, what: string): Promise<T> {
    let isSettled = false;
    const end = (): void => {
      isSettled = true;
    };
    const ended = Promise.resolve(promise).then(end, end);
    // Where time is real, an answer need not wait for the end of a step.
    for (let step = 0; step < 1_000 && !isSettled; step++) await Promise.race([ended, this.bench.pass(10)]);
    isTrue(isSettled, `${what} must settle`);
    return promise;
  }

  /** The code of the error with which it must reject. */
  code(promise: unknown, what: string): Promise<unknown> {
    return heard(rejection(this.settled(promise, what), what).then(codeOf));
  }

  /** Lets time pass in small steps until it is so. */
  async until(isSo: () => boolean, what: string): Promise<void> {
    for (let step = 0; step < 1_000 && !isSo(); step++) await this.bench.pass(10);
    isTrue(isSo(), what);
  }

  /** Until so many wait on this locker. */
  waiting(locker: Locker, count: number): Promise<void> {
    return this.until(() => locker.stats().waiting === count, `${count} must wait`);
  }

  /** Until a lease of `shortMs` that was given by now has ended. */
  passShort(): Promise<void> {
    return this.bench.pass(this.shortMs + 1);
  }

  /** A release of what must still be ours. */
  async release(lock: { release(): MaybePromise<boolean> }): Promise<void> {
    equal(await this.settled(lock.release(), 'release'), true, 'release');
  }

  /** Whether somebody holds the key. */
  isLocked(locker: Locker, key: string): Promise<boolean> {
    return this.settled(locker.isLocked(key), `isLocked ${key}`);
  }

  /** Whether a try gets the key; then it stays taken. */
  async gets(locker: Locker, key: string, options: Parameters<Locker['tryAcquire']>[1] = {}): Promise<boolean> {
    return (await this.settled(locker.tryAcquire(key, options), `tryAcquire ${key}`)) !== undefined;
  }

  /** An acquisition that must be granted while nobody opens anything. */
  take(locker: Locker, key: string, options: Parameters<Locker['acquire']>[1] = {}): Promise<Lock> {
    return this.settled(locker.acquire(key, options), `acquire of ${key}`);
  }
}

function withHeardCalls(locker: Locker): Locker {
  return new Proxy(locker, {
    get(_, name) {
      const member: unknown = Reflect.get(locker, name, locker);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]) => {
        const answer: unknown = member.apply(locker, args);
        return answer instanceof Promise ? heard(answer) : answer;
      };
    },
  });
}

/** What to branch on; for what is no LockError, its name. */
export function codeOf(error: unknown): unknown {
  const { code, name } = error as { code?: unknown; name?: unknown };
  return code ?? name;
}
