import { settle, VirtualClock } from '@chunks/base/testing';
import type { AcquireOptions, Clock, LeasedLock, LockMode } from '@chunks/locks';
import {
  type LeaseDriver,
  type LeaseLocker,
  type LeaseLockerOptions,
  leaseLocker,
  memoryLeases,
} from '@chunks/locks/lease';
import { faultyLeases, type LeaseCall, type LeaseFault } from '@chunks/locks/testing';
import { expect } from 'vitest';

/** One call that reached a driver, whatever became of it. */
export interface Recorded {
  readonly method: 'acquire' | 'renew' | 'release' | 'inspect' | 'watch' | 'unwatch';
  readonly key: string;
  readonly holder: string | undefined;
  readonly atMs: number;
}

/** A driver that writes down what it is asked, and whom it gave which token. */
export function recorded(
  driver: LeaseDriver,
  calls: Recorded[],
  now: () => number,
  granted: (key: string, token: number, holder: string) => void = () => undefined,
): LeaseDriver {
  const note = (method: Recorded['method'], key: string, holder?: string): void => {
    calls.push({ method, key, holder, atMs: now() });
  };
  return {
    name: driver.name,
    modes: driver.modes,
    async acquire(key, holder, ...rest) {
      note('acquire', key, holder);
      const answer = await driver.acquire(key, holder, ...rest);
      if ('token' in answer) granted(key, answer.token, holder);
      return answer;
    },
    renew(key, holder, ...rest) {
      note('renew', key, holder);
      return driver.renew(key, holder, ...rest);
    },
    release(key, holder, token) {
      note('release', key, holder);
      return driver.release(key, holder, token);
    },
    async inspect(key) {
      note('inspect', key);
      return driver.inspect?.(key);
    },
    ...(driver.watch && {
      async watch(key, wake) {
        note('watch', key);
        const stop = (await driver.watch?.(key, wake)) as () => void;
        return () => {
          note('unwatch', key);
          stop();
        };
      },
    }),
  };
}

/** The smallest driver: its store keeps no line, and tells nothing that it is not asked. */
export const bare = (driver: LeaseDriver): LeaseDriver => ({
  name: 'bare',
  modes: driver.modes,
  async acquire(key, holder, leaseMs, request) {
    const answer = await driver.acquire(key, holder, leaseMs, request);
    if ('token' in answer) return answer;
    await driver.release(key, holder, 0);
    return { busy: true };
  },
  renew: (...call) => driver.renew(...call),
  release: (...call) => driver.release(...call),
  inspect: async (key) => driver.inspect?.(key),
});

/** The clock of one process that can be stopped, as by SIGSTOP: time goes on, and nothing happens. */
class ProcessClock implements Clock {
  /** Timers that are set: for asserting that there is one at most. */
  timers = 0;
  readonly #clock: VirtualClock;
  #stopped: (() => void)[] | undefined;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  after(ms: number, callback: () => void): () => void {
    let isSet = ms !== Number.POSITIVE_INFINITY;
    this.timers += Number(isSet);
    const end = (): boolean => {
      const was = isSet;
      isSet = false;
      this.timers -= Number(was);
      return was;
    };
    const cancel = this.#clock.after(ms, () => this.soon(() => end() && callback()));
    return () => {
      cancel();
      end();
    };
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const cancel = this.after(ms, resolve);
      signal?.addEventListener('abort', () => {
        cancel();
        reject(signal.reason);
      });
    });
  }

  /** Now, or as soon as the process goes on. */
  soon(what: () => void): void {
    if (this.#stopped === undefined) what();
    else this.#stopped.push(what);
  }

  stop(): void {
    this.#stopped ??= [];
  }

  goOn(): void {
    const late = this.#stopped ?? [];
    this.#stopped = undefined;
    for (const what of late) what();
  }

  get isStopped(): boolean {
    return this.#stopped !== undefined;
  }
}

/** What became of one attempt to lock, as its caller sees it. */
export type Fate = 'waiting' | 'held' | 'refused' | 'released' | 'lost' | 'aborted' | string;

export interface Attempt {
  readonly id: number;
  /** It never stands in a line, so nobody comes after it. */
  readonly isTry: boolean;
  readonly peer: LeaseProcess;
  readonly key: string;
  readonly mode: LockMode;
  readonly dueMs: number;
  readonly controller: AbortController;
  fate: Fate;
  settled: number;
  lock: LeasedLock | undefined;
}

/** One process: a locker, a clock that can stop, a way to the store that can be bad. */
export class LeaseProcess {
  readonly clock: ProcessClock;
  readonly locks: LeaseLocker;
  readonly calls: Recorded[] = [];
  fault: (call: LeaseCall) => LeaseFault | undefined = () => undefined;

  constructor(world: Pick<LeaseWorld, 'clock' | 'store' | 'grants'>, options: LeaseLockerOptions) {
    this.clock = new ProcessClock(world.clock);
    const noted = recorded(
      world.store,
      this.calls,
      () => world.clock.now(),
      (key, token, holder) => world.grants.set(`${key} ${token}`, holder),
    );
    const network = faultyLeases(noted, (call) => this.fault(call), world.clock);
    this.locks = leaseLocker(this.#stoppable(network), { random: () => 0.5, ...options, clock: this.clock });
  }

  count(...methods: Recorded['method'][]): number {
    return this.calls.filter(({ method }) => methods.includes(method)).length;
  }

  /** What was sent is sent; answers and wakes come when the process can hear them. */
  #stoppable(driver: LeaseDriver): LeaseDriver {
    const heard = <T>(answer: Promise<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        answer.then(
          (value) => this.clock.soon(() => resolve(value)),
          (error) => this.clock.soon(() => reject(error)),
        );
      });
    const { watch, inspect } = driver;
    return {
      name: driver.name,
      modes: driver.modes,
      acquire: (...call) => heard(driver.acquire(...call)),
      renew: (...call) => heard(driver.renew(...call)),
      release: (...call) => heard(driver.release(...call)),
      ...(inspect && { inspect: (key) => heard(inspect(key)) }),
      ...(watch && { watch: (key, wake) => heard(watch(key, () => this.clock.soon(wake))) }),
    };
  }
}

/** Several processes on one store, and everything that may never happen. */
export class LeaseWorld {
  readonly clock: VirtualClock = new VirtualClock();
  readonly store: LeaseDriver;
  readonly processes: readonly LeaseProcess[];
  readonly attempts: Attempt[] = [];
  /** Holders by key and the store's token. */
  readonly grants: Map<string, string> = new Map<string, string>();
  readonly #tokens = new Map<string, { token: number; mode: LockMode }>();
  readonly #over = new Set<Attempt>();
  // What is thrown by a listener shows elsewhere: it is kept for the next check.
  readonly #wrong: unknown[] = [];

  constructor(count: number, options: LeaseLockerOptions = {}, alter = (driver: LeaseDriver): LeaseDriver => driver) {
    this.store = alter(memoryLeases({ clock: this.clock }));
    this.processes = Array.from({ length: count }, () => new LeaseProcess(this, options));
    for (const peer of this.processes) {
      peer.locks.on('acquired', ({ owner, token }) => {
        try {
          this.#granted(Number(owner), token);
        } catch (error) {
          this.#wrong.push(error);
        }
      });
      peer.locks.on('timeout', ({ owner }) => this.#ended(Number(owner), 'LOCK_TIMEOUT'));
      peer.locks.on('aborted', ({ owner }) => this.#ended(Number(owner), 'aborted'));
    }
  }

  acquire(index: number, key: string, options: AcquireOptions = {}): Attempt {
    const { attempt, own } = this.#attempt(index, key, options, false);
    this.#follow(attempt, attempt.peer.locks.acquire(key, own));
    return attempt;
  }

  tryAcquire(index: number, key: string, options: AcquireOptions = {}): Attempt {
    const { attempt, own } = this.#attempt(index, key, options, true);
    this.#follow(attempt, attempt.peer.locks.tryAcquire(key, own));
    return attempt;
  }

  async release(attempt: Attempt | undefined): Promise<boolean | string> {
    const lock = attempt?.lock;
    if (attempt === undefined || lock === undefined) return false;
    const wasHeld = lock.held;
    const answer = lock.release().catch(({ code }) => code as string);
    expect(lock.held).toBe(false);
    if (wasHeld) attempt.fate = 'released';
    const wasOurs = await answer;
    if (wasOurs !== false) expect(wasHeld).toBe(true);
    return wasOurs;
  }

  with(fate: Fate): Attempt[] {
    return this.attempts.filter((attempt) => attempt.fate === fate);
  }

  /** Those who believe to be in, by the clock of their process. */
  held(key?: string): Attempt[] {
    return this.attempts.filter((one) => one.lock?.held && (key === undefined || one.key === key));
  }

  /** Time passes and no timer runs: an event loop that is blocked. Then all that is late comes at once. */
  async jump(ms: number): Promise<void> {
    this.clock.jump(ms);
    for (const one of this.with('held')) if (one.lock?.held === false) this.#over.add(one);
    await this.clock.advance(0);
  }

  /** Everything that must be so at any time. */
  async check(): Promise<void> {
    // A process that goes on may have much to catch up with, question after question.
    for (let i = 0; i < 4; i++) await settle();
    for (const error of this.#wrong) throw error;
    for (const one of this.with('held')) if (one.lock?.held === false) this.#over.add(one);
    for (const one of this.held()) {
      expect(this.#over.has(one), 'what is over does not revive').toBe(false);
      for (const other of this.held(one.key)) {
        if (one === other) continue;
        expect([one.mode, other.mode]).toEqual(['shared', 'shared']);
        expect(one.lock?.token).toBe(other.lock?.token);
      }
      const state = await this.store.inspect?.(one.key);
      expect(state, 'what is held is held in the store').toBeDefined();
      const token = Math.floor((one.lock?.token ?? 0) / 128);
      if (state?.mode === 'exclusive') expect(state.holder).toBe(this.grants.get(`${one.key} ${token}`));
    }
    for (const { fate, dueMs, settled, peer, lock } of this.attempts) {
      expect(settled).toBe(fate === 'waiting' ? 0 : 1);
      if (fate === 'waiting' && !peer.clock.isStopped) expect(dueMs).toBeGreaterThan(this.clock.now());
      // Timers are on time unless the process stands still: nobody is over without having been told.
      if (fate === 'held' && !peer.clock.isStopped) expect(lock?.held).toBe(!lock?.signal.aborted);
    }
    for (const peer of this.processes) {
      expect(peer.clock.timers, 'timers of one locker').toBeLessThanOrEqual(1);
      const mine = this.attempts.filter((attempt) => attempt.peer === peer);
      const { waiting, activeLocks } = peer.locks.stats();
      if (peer.clock.isStopped) continue;
      expect(waiting).toBe(mine.filter(({ fate }) => fate === 'waiting').length);
      expect(activeLocks).toBe(mine.filter(({ lock }) => lock?.held).length);
    }
  }

  /** The network heals, everybody goes on and gives back what they get: in the end nothing may be left of anything. */
  async end(): Promise<void> {
    for (const peer of this.processes) {
      peer.fault = () => undefined;
      peer.clock.goOn();
    }
    for (let step = 0; step < 2_000 && (this.with('waiting').length > 0 || this.held().length > 0); step++) {
      for (const attempt of this.held()) void this.release(attempt);
      await this.clock.advance(100);
      await this.check();
    }
    expect(this.with('waiting')).toEqual([]);
    // Doubts last for a lease, and so does what a lost answer has left in the store.
    await this.clock.advance(2_000_000);
    const { acquired, released, lost } = totals(this.processes);
    expect(acquired).toBe(released + lost);
    for (const { locks, clock } of this.processes) {
      expect(locks.snapshot()).toEqual({ held: [], waiting: [] });
      expect(clock.timers).toBe(0);
      await locks.close();
    }
    for (const key of new Set(this.attempts.map((attempt) => attempt.key))) {
      expect(await this.store.inspect?.(key)).toBeUndefined();
    }
  }

  #attempt(
    index: number,
    key: string,
    options: AcquireOptions,
    isTry: boolean,
  ): { attempt: Attempt; own: AcquireOptions } {
    const { timeoutMs, mode = 'exclusive' } = options;
    const controller = new AbortController();
    const attempt: Attempt = {
      id: this.attempts.length,
      isTry,
      peer: this.processes[index % this.processes.length] as LeaseProcess,
      key,
      mode,
      // One try has no time of its own: it ends with the store's answer.
      dueMs: timeoutMs ? this.clock.now() + timeoutMs : Number.POSITIVE_INFINITY,
      controller,
      fate: 'waiting',
      settled: 0,
      lock: undefined,
    };
    this.attempts.push(attempt);
    return { attempt, own: { ...options, owner: String(attempt.id), signal: controller.signal } };
  }

  #follow(attempt: Attempt, promise: Promise<LeasedLock | undefined>): void {
    promise.then(
      (lock) => {
        attempt.settled++;
        attempt.lock = lock;
        attempt.fate = lock === undefined ? 'refused' : 'held';
      },
      (error) => {
        attempt.settled++;
        attempt.fate = error.code ?? 'aborted';
        if (error.code === undefined) expect(error).toBe(attempt.controller.signal.reason);
      },
    );
  }

  #ended(id: number, fate: Fate): void {
    (this.attempts[id] as Attempt).fate = fate;
  }

  /** At the very moment of a grant: first come, first served here; nobody else in anywhere; a higher token. */
  #granted(id: number, token: number): void {
    const attempt = this.attempts[id] as Attempt;
    expect(attempt.fate).toBe('waiting');
    attempt.fate = 'held';
    // Whose time is up in this very tick has left the line, and is told after the others.
    const nowMs = this.clock.now();
    const before = this.with('waiting').filter(
      ({ key, peer, id: other, isTry, dueMs }) =>
        key === attempt.key && peer === attempt.peer && other < id && !isTry && dueMs > nowMs,
    );
    expect(before, 'who came before is served before').toEqual([]);
    const inside = this.held(attempt.key);
    if (attempt.mode === 'exclusive') expect(inside).toEqual([]);
    for (const other of inside) expect(other.mode).toBe('shared');
    const last = this.#tokens.get(attempt.key);
    this.#tokens.set(attempt.key, { token, mode: attempt.mode });
    if (last === undefined) return;
    // A shared phase of the store goes on while one of its holders has lost sight of it.
    if (attempt.mode === 'shared' && last.mode === 'shared') expect(token).toBeGreaterThanOrEqual(last.token);
    else expect(token, 'tokens rise').toBeGreaterThan(last.token);
  }
}

function totals(processes: readonly LeaseProcess[]): { acquired: number; released: number; lost: number } {
  const sum = { acquired: 0, released: 0, lost: 0 };
  for (const { locks } of processes) {
    const { acquired, released, lost } = locks.stats();
    sum.acquired += acquired;
    sum.released += released;
    sum.lost += lost;
  }
  return sum;
}

/** One locker on a store of its own: what it asks, by which network, at which times. */
export function alone(
  options: LeaseLockerOptions = {},
  alter: (driver: LeaseDriver) => LeaseDriver = (driver) => driver,
): { clock: VirtualClock; store: LeaseDriver; locks: LeaseLocker; peer: LeaseProcess; calls: readonly Recorded[] } {
  const clock = new VirtualClock();
  const store = memoryLeases({ clock });
  const peer = new LeaseProcess({ clock, store: alter(store), grants: new Map() }, options);
  return { clock, store, locks: peer.locks, peer, calls: peer.calls };
}

/** Somebody else, in another process, takes the key without a locker. @returns its token */
export async function takeElsewhere(
  store: LeaseDriver,
  key: string,
  leaseMs: number = 1e9,
  mode: LockMode = 'exclusive',
): Promise<number> {
  const answer = await store.acquire(key, 'somebody else', leaseMs, { mode, signal: new AbortController().signal });
  if (!('token' in answer)) throw new Error(`${key} is busy`);
  return answer.token;
}
