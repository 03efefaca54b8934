import { settle, VirtualClock } from '@chunks/base/testing';
import { KeyedMutex, type LocalLock, type LockMode } from '@chunks/locks';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../../../.ci/testing/runs.ts';
import { type Attempt, type Fate, Model } from './model.ts';

const codes: Record<string, Fate> = { LOCK_TIMEOUT: 'timeout', LOCK_CLOSED: 'closed' };
const aborted = Symbol('aborted');

/** The real lock and the model, driven by the same operations and compared after each. */
class Pair {
  readonly clock: VirtualClock = new VirtualClock();
  readonly mutex: KeyedMutex;
  readonly model: Model;
  readonly #lock = new Map<Attempt, LocalLock>();
  readonly #error = new Map<Attempt, Fate>();
  readonly #settled = new Map<Attempt, number>();
  readonly #abort = new Map<Attempt, AbortController>();
  #closed = false;

  constructor(onExpired: 'reclaim' | 'report') {
    this.mutex = new KeyedMutex({ clock: this.clock, onExpired });
    this.model = new Model(this.clock.now(), onExpired);
  }

  acquire(key: string, mode: LockMode, leaseMs: number, timeoutMs: number | undefined): void {
    const controller = new AbortController();
    const promise = this.mutex.acquire(key, { mode, leaseMs, timeoutMs, signal: controller.signal });
    const attempt = this.model.arrive(key, mode, leaseMs, timeoutMs);
    this.#abort.set(attempt, controller);
    const count = (): void => void this.#settled.set(attempt, (this.#settled.get(attempt) ?? 0) + 1);
    promise.then(
      (lock) => {
        count();
        this.#lock.set(attempt, lock);
      },
      (error) => {
        count();
        const fate = error === aborted ? 'aborted' : codes[error.code];
        this.#error.set(attempt, fate === 'timeout' && timeoutMs === 0 ? 'refused' : (fate as Fate));
      },
    );
  }

  tryAcquire(key: string, mode: LockMode, leaseMs: number): void {
    const lock = this.mutex.tryAcquire(key, { mode, leaseMs });
    const attempt = this.model.arrive(key, mode, leaseMs, 0);
    if (lock === undefined) this.#error.set(attempt, 'refused');
    else this.#lock.set(attempt, lock);
  }

  release(pick: number): void {
    const attempt = this.#pick(pick, 'held', (one) => this.#lock.has(one));
    if (attempt === undefined) return;
    const lock = this.#lock.get(attempt) as LocalLock;
    expect(lock.release()).toBe(this.model.release(attempt));
  }

  extend(pick: number, leaseMs: number): void {
    const attempt = this.#pick(pick, 'held', (one) => this.#lock.has(one));
    if (attempt === undefined) return;
    const lock = this.#lock.get(attempt) as LocalLock;
    const wasOurs = this.model.extend(attempt, leaseMs);
    if (wasOurs) {
      lock.extend(leaseMs);
      expect(lock.expiresAtMs).toBe(attempt.expiresAtMs);
    } else expect(() => lock.extend(leaseMs)).toThrow(expect.objectContaining({ code: 'LOCK_LOST' }));
  }

  abort(pick: number): void {
    const attempt = this.#pick(pick, 'waiting', (one) => this.#abort.has(one));
    if (attempt === undefined) return;
    this.#abort.get(attempt)?.abort(aborted);
    this.model.abort(attempt);
  }

  /** Time passes unseen; what `held` says must be right before any timer has run. */
  jump(ms: number): void {
    this.clock.jump(ms);
    this.model.nowMs += ms;
    for (const [attempt, lock] of this.#lock) expect(lock.held).toBe(this.model.isHeld(attempt));
  }

  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms);
    this.model.pass(ms);
  }

  close(): Promise<void> {
    this.model.catchUp();
    this.model.close();
    const closed = this.mutex.close();
    void closed.then(() => {
      this.#closed = true;
    });
    return closed;
  }

  async compare(): Promise<void> {
    await this.pass(0);
    const { attempts } = this.model;
    expect(attempts.map((attempt) => this.#fate(attempt))).toEqual(attempts.map((attempt) => attempt.fate));
    for (const count of this.#settled.values()) expect(count).toBe(1);
    expect(this.clock.pending).toBeLessThanOrEqual(1);
    const waiting = attempts.filter((attempt) => attempt.fate === 'waiting').length;
    const held = attempts.filter((attempt) => attempt.fate === 'held');
    expect(this.mutex.stats()).toMatchObject({ waiting, activeLocks: held.length });
    for (const { key } of attempts) {
      expect(this.mutex.isLocked(key)).toBe(held.some((attempt) => attempt.key === key));
    }
    this.#compareTokens();
    if (this.model.closed) expect(this.#closed).toBe(held.length === 0);
  }

  /** Same phase, same token; a later phase on the same key, a higher one. */
  #compareTokens(): void {
    const granted = [...this.#lock].map(([{ key, phase }, { token }]) => ({ key, phase, token }));
    for (const one of granted) {
      for (const other of granted) {
        if (one.key !== other.key) continue;
        expect(Math.sign(one.token - other.token)).toBe(Math.sign(one.phase - other.phase));
      }
    }
  }

  #fate(attempt: Attempt): Fate {
    const lock = this.#lock.get(attempt);
    if (lock === undefined) return this.#error.get(attempt) ?? 'waiting';
    if (lock.held) return 'held';
    return lock.signal.aborted ? 'lost' : 'released';
  }

  // Mostly one of those with whom something can happen, now and then any.
  #pick(pick: number, likely: Fate, fits: (attempt: Attempt) => boolean): Attempt | undefined {
    const any = this.model.attempts.filter(fits);
    const fitting = pick % 4 === 0 ? any : any.filter(({ fate }) => fate === likely);
    return fitting[pick % Math.max(1, fitting.length)];
  }
}

const key = fc.constantFrom('a', 'b');
const mode = fc.constantFrom<LockMode>('exclusive', 'shared');
const ms = fc.integer({ min: 1, max: 12 });
const leaseMs = fc.oneof(ms, fc.constant(200));
const pick = fc.nat(1000);
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('acquire'),
      key,
      mode,
      leaseMs,
      timeoutMs: fc.option(fc.nat(12), { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('try'), key, mode, leaseMs }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('release'), pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('abort'), pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('extend'), pick, leaseMs }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass'), ms }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('jump'), ms }) },
) as fc.Arbitrary<{
  do: string;
  key: string;
  mode: LockMode;
  leaseMs: number;
  timeoutMs?: number;
  pick: number;
  ms: number;
}>;
// Several steps in one tick: what happens between two of them is nobody's turn.
const ticks = fc.array(fc.array(step, { minLength: 1, maxLength: 3 }), { maxLength: 25 });

async function play(pair: Pair, steps: (typeof step extends fc.Arbitrary<infer S> ? S : never)[]): Promise<void> {
  for (const one of steps) {
    if (one.do === 'acquire') pair.acquire(one.key, one.mode, one.leaseMs, one.timeoutMs);
    if (one.do === 'try') pair.tryAcquire(one.key, one.mode, one.leaseMs);
    if (one.do === 'release') pair.release(one.pick);
    if (one.do === 'abort') pair.abort(one.pick);
    if (one.do === 'extend') pair.extend(one.pick, one.leaseMs);
    if (one.do === 'pass') await pair.pass(one.ms);
    if (one.do === 'jump') pair.jump(one.ms);
  }
}

describe('KeyedMutex against the model', () => {
  for (const onExpired of ['reclaim', 'report'] as const) {
    it(`does what the model does, whatever is called and whenever: ${onExpired}`, async () => {
      await fc.assert(
        fc.asyncProperty(ticks, fc.boolean(), async (rounds, closes) => {
          const pair = new Pair(onExpired);
          for (const steps of rounds) {
            await play(pair, steps);
            await pair.compare();
          }
          if (closes) void pair.close();
          await pair.compare();
          await pair.pass(1000);
          for (let i = 0; i < 1000 && pair.mutex.stats().activeLocks > 0; i++) {
            pair.release(i);
            await settle();
          }
          await pair.compare();
          expect(pair.mutex.snapshot()).toEqual({ held: [], waiting: [] });
        }),
        { numRuns: runs(300) },
      );
    });
  }
});
