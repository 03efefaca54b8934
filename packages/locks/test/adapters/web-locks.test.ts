import { type Deferred, deferred } from '@chunks/base';
import { countListeners, settle } from '@chunks/base/testing';
import { createLockManager, type LockInfo, type LockMode, type LockManager as Locks } from '@chunks/locks/web-locks';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../../../../.ci/testing/runs.ts';

type Fate = 'waiting' | 'in' | 'done' | 'failed' | 'turned away' | 'aborted' | 'stolen';

interface Attempt {
  readonly id: number;
  readonly name: string;
  readonly mode: LockMode;
  /** Which of three signals ends its wait. */
  readonly signal: number | undefined;
  fate: Fate;
}

/** The standard as one would explain it: no promises, no ticks. */
class Model {
  readonly attempts: Attempt[] = [];
  /** In the order of their grants. */
  holders: Attempt[] = [];

  request(name: string, mode: LockMode, how: 'wait' | 'ifAvailable' | 'steal', signal: number | undefined): void {
    const attempt: Attempt = { id: this.attempts.length, name, mode, signal, fate: 'waiting' };
    if (how === 'steal') {
      for (const holder of this.#on(name, 'in')) this.leave(holder, 'stolen');
      this.#enter(attempt);
    }
    this.attempts.push(attempt);
    this.#grant(name);
    if (how === 'ifAvailable' && attempt.fate === 'waiting') attempt.fate = 'turned away';
  }

  leave(attempt: Attempt, fate: Fate): void {
    attempt.fate = fate;
    this.holders = this.holders.filter((holder) => holder !== attempt);
    if (fate !== 'stolen') this.#grant(attempt.name);
  }

  abort(signal: number): void {
    const ended = this.attempts.filter((attempt) => attempt.fate === 'waiting' && attempt.signal === signal);
    for (const attempt of ended) attempt.fate = 'aborted';
    for (const { name } of ended) this.#grant(name);
  }

  #on(name: string, fate: Fate): Attempt[] {
    return this.attempts.filter((attempt) => attempt.name === name && attempt.fate === fate);
  }

  #enter(attempt: Attempt): void {
    attempt.fate = 'in';
    this.holders.push(attempt);
  }

  #grant(name: string): void {
    for (const next of this.#on(name, 'waiting')) {
      const inside = this.#on(name, 'in');
      if (inside.some(({ mode }) => mode === 'exclusive' || next.mode === 'exclusive')) return;
      this.#enter(next);
    }
  }
}

const OUTCOMES: Record<string, Fate> = { RangeError: 'failed', AbortError: 'stolen', EvalError: 'aborted' };

/** The manager and the model, driven by the same acts and compared after each. */
class Pair {
  readonly locks: Locks = createLockManager();
  readonly model: Model = new Model();
  readonly #fates: Fate[] = [];
  readonly #holds: Deferred<void>[] = [];
  readonly #signals: AbortController[] = [0, 1, 2].map(() => new AbortController());

  request(name: string, mode: LockMode, how: 'wait' | 'ifAvailable' | 'steal', signal: number | undefined): void {
    const id = this.model.attempts.length;
    const stolen = how === 'steal';
    const waits = how === 'wait' ? signal : undefined;
    this.model.request(name, stolen ? 'exclusive' : mode, how, waits);
    this.#fates[id] = 'waiting';
    this.#holds[id] = deferred();
    const options = {
      mode: stolen ? undefined : mode,
      ifAvailable: how === 'ifAvailable',
      steal: stolen,
      signal: waits === undefined ? undefined : this.#signals[waits]?.signal,
    };
    this.locks
      .request(name, options, (lock) => {
        if (lock === null) return 'turned away';
        expect(lock).toMatchObject({ name, mode: stolen ? 'exclusive' : mode });
        expect(this.#fates[id]).toBe('waiting');
        this.#fates[id] = 'in';
        return this.#holds[id]?.promise;
      })
      .then(
        (value) => void (this.#fates[id] = value === 'turned away' ? value : 'done'),
        (error) => void (this.#fates[id] = OUTCOMES[error.name] as Fate),
      );
  }

  release(pick: number, fails: boolean): void {
    const attempt = this.model.holders[pick % this.model.holders.length];
    if (attempt === undefined) return;
    if (fails) this.#holds[attempt.id]?.reject(new RangeError('failed'));
    else this.#holds[attempt.id]?.resolve();
    this.model.leave(attempt, fails ? 'failed' : 'done');
  }

  abort(signal: number): void {
    this.#signals[signal]?.abort(new EvalError('enough'));
    this.#signals[signal] = new AbortController();
    this.model.abort(signal);
  }

  async compare(): Promise<void> {
    await settle();
    expect(this.#fates).toEqual(this.model.attempts.map(({ fate }) => fate));
    const { held, pending } = await this.locks.query();
    const bare = ({ name, mode }: Pick<LockInfo, 'name' | 'mode'>): object => ({ name, mode });
    expect(held.map(bare)).toEqual(this.model.holders.map(bare));
    expect(pending.map(bare)).toEqual(this.model.attempts.filter(({ fate }) => fate === 'waiting').map(bare));
  }
}

const act = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('request' as const),
      name: fc.constantFrom('a', 'b'),
      mode: fc.constantFrom<LockMode>('exclusive', 'shared'),
      how: fc.constantFrom('wait' as const, 'wait' as const, 'wait' as const, 'ifAvailable' as const, 'steal' as const),
      signal: fc.option(fc.nat(2), { nil: undefined }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('release' as const), pick: fc.nat(9), fails: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('abort' as const), signal: fc.nat(2) }) },
);

describe('a lock manager', () => {
  it('keeps to the model over random programs: who is in, what became of whom, query()', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 25 }), async (program) => {
        const pair = new Pair();
        for (const one of program) {
          if (one.do === 'request') pair.request(one.name, one.mode, one.how, one.signal);
          else if (one.do === 'release') pair.release(one.pick, one.fails);
          else pair.abort(one.signal);
          await pair.compare();
        }
        for (let rest = pair.model.holders.length; rest > 0; rest = pair.model.holders.length) {
          pair.release(0, false);
          await pair.compare();
        }
        expect(await pair.locks.query()).toEqual({ held: [], pending: [] });
      }),
      { numRuns: runs(400) },
    );
  });

  it('holds the name until the callback’s result has settled, and hands the result on', async () => {
    const locks = createLockManager();
    const log: string[] = [];
    const first = locks.request('a', async (lock) => {
      log.push(`in: ${lock?.name} ${lock?.mode} ${String(lock)}`);
      await settle();
      log.push('out');
      return 7;
    });
    const second = locks.request('a', { mode: 'shared' }, (lock) => log.push(`in: ${lock?.mode}`));
    expect(await Promise.all([first, second])).toEqual([7, 3]);
    expect(log).toEqual(['in: a exclusive [object Lock]', 'out', 'in: shared']);
    expect(String(locks)).toBe('[object LockManager]');
  });

  it('gives the lock back when the callback throws, also to those it would have let in together', async () => {
    const locks = createLockManager();
    const hold = deferred<void>();
    const holder = locks.request('a', () => hold.promise);
    const shared = [1, 2, 3].map((n) =>
      locks.request('a', { mode: 'shared' }, () => {
        if (n < 3) throw new RangeError(`thrown ${n}`);
        return n;
      }),
    );
    const outcomes = Promise.allSettled(shared);
    hold.resolve();
    await holder;
    expect((await outcomes).map((one) => (one.status === 'fulfilled' ? one.value : one.reason.message))).toEqual([
      'thrown 1',
      'thrown 2',
      3,
    ]);
    expect(await locks.query()).toEqual({ held: [], pending: [] });
  });

  it('holds it for a promise that is not a native one, too', async () => {
    const locks = createLockManager();
    const settlers: ((value: string) => void)[] = [];
    // biome-ignore lint/suspicious/noThenProperty: what libraries return.
    const foreign = { then: (resolve: (value: string) => void): void => void settlers.push(resolve) };
    const result = locks.request('a', () => foreign);
    let isIn = false;
    const next = locks.request('a', () => void (isIn = true));
    await settle();
    expect([settlers.length, isIn]).toEqual([1, false]);
    settlers[0]?.('foreign');
    expect(await result).toBe('foreign');
    await next;
    expect(isIn).toBe(true);
  });

  it('rejects whose result cannot even be looked at, and gives the lock back', async () => {
    const locks = createLockManager();
    const spiteful = Object.defineProperty({}, 'then', {
      get: () => {
        throw new RangeError('no');
      },
    });
    await expect(locks.request('a', () => spiteful)).rejects.toThrow(RangeError);
    await expect(locks.request('a', () => 'free')).resolves.toBe('free');
  });

  it('knows nothing of another one’s names, and says who it is', async () => {
    const [one, other] = [createLockManager(), createLockManager()];
    const snapshots = await one.request('a', () => other.request('a', () => Promise.all([one.query(), other.query()])));
    const [ofOne, ofOther] = snapshots.map(({ held }) => held[0] as LockInfo);
    expect(ofOne).toEqual({ name: 'a', mode: 'exclusive', clientId: expect.any(String) });
    expect(ofOther?.clientId).not.toBe(ofOne?.clientId);
  });

  it('is, to the compiler, a LockManager of the platform', async () => {
    const standard: LockManager = createLockManager();
    const value: number = await standard.request('a', { mode: 'shared' }, async () => 7);
    const length: number = await createLockManager().request(
      'a',
      { signal: undefined },
      (lock) => lock?.name.length ?? 0,
    );
    expect([value, length]).toEqual([7, 1]);
  });
});

describe('a signal', () => {
  it('ends the wait at once, in the middle of the line, and those behind move up', async () => {
    const locks = createLockManager();
    const controller = new AbortController();
    const hold = deferred<void>();
    const holder = locks.request('a', { mode: 'shared' }, () => hold.promise);
    const waiter = locks.request('a', { signal: controller.signal }, () => 'in');
    const behind = locks.request('a', { mode: 'shared' }, () => 'moved up');
    const refused = expect(waiter).rejects.toBe('enough');
    controller.abort('enough');
    expect((await locks.query()).pending).toMatchObject([{ mode: 'shared' }]);
    await refused;
    expect(await behind).toBe('moved up');
    hold.resolve();
    await holder;
  });

  it('means nothing once the callback runs, and keeps no listener', async () => {
    const locks = createLockManager();
    const controller = new AbortController();
    const listeners = countListeners(controller.signal);
    const hold = deferred<string>();
    const seen: number[] = [];
    const result = locks.request('a', { signal: controller.signal }, () => {
      seen.push(listeners());
      controller.abort();
      return hold.promise;
    });
    await settle();
    hold.resolve('to the end');
    expect(await result).toBe('to the end');
    expect(seen).toEqual([0]);
  });

  it('that aborts in the tick of the request still ends it; nobody finds the name taken', async () => {
    const locks = createLockManager();
    const controller = new AbortController();
    const result = locks.request('a', { signal: controller.signal }, () => 'in');
    const refused = expect(result).rejects.toMatchObject({ name: 'AbortError' });
    controller.abort();
    await refused;
    expect(await locks.request('a', { ifAvailable: true }, (lock) => lock?.name)).toBe('a');
  });

  it('that ends several waits lets none of them in by the end of another', async () => {
    const locks = createLockManager();
    const controller = new AbortController();
    const hold = deferred<void>();
    const holder = locks.request('a', { mode: 'shared' }, () => hold.promise);
    const modes = ['exclusive', 'shared', 'shared'] as const;
    const ended = modes.map((mode) => locks.request('a', { mode, signal: controller.signal }, () => 'in'));
    const last = locks.request('a', { mode: 'shared' }, () => 'in');
    const outcomes = Promise.allSettled(ended);
    controller.abort();
    const { held, pending } = await locks.query();
    expect([held.length, pending.length]).toEqual([1, 1]);
    expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(await last).toBe('in');
    hold.resolve();
    await holder;
  });
});

describe('wrong requests', () => {
  const never = (): never => expect.unreachable();
  const signal = new AbortController().signal;
  const aborted = AbortSignal.abort(new EvalError('too late'));
  it.each([
    ['TypeError', []],
    ['TypeError', ['a']],
    ['TypeError', ['a', {}]],
    ['TypeError', ['a', {}, 'b']],
    ['TypeError', ['a', 'b', never]],
    ['TypeError', [Symbol('a'), never]],
    ['TypeError', ['a', { mode: 'both' }, never]],
    ['TypeError', ['a', { signal: {} }, never]],
    ['NotSupportedError', ['-a', never]],
    ['NotSupportedError', ['a', { steal: true, ifAvailable: true }, never]],
    ['NotSupportedError', ['a', { steal: true, mode: 'shared' }, never]],
    ['NotSupportedError', ['a', { steal: true, signal }, never]],
    ['NotSupportedError', ['a', { ifAvailable: true, signal }, never]],
    ['EvalError', ['-a', { steal: true, ifAvailable: true, signal: aborted }, never]],
  ])('reject with a %s: %#', async (name, args) => {
    const locks = createLockManager();
    const request = locks.request.bind(locks) as (...all: unknown[]) => Promise<unknown>;
    await expect(request(...args)).rejects.toMatchObject({ name });
    expect(await locks.query()).toEqual({ held: [], pending: [] });
  });
});
