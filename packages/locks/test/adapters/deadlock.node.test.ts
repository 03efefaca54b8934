import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { settle, VirtualClock } from '@chunks/base/testing';
import { type AcquireOptions, type DeadlockError, KeyedMutex, type LocalLock } from '@chunks/locks';
import { type AsyncDeadlockDetector, deadlockDetector } from '@chunks/locks/deadlock';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../../../../.ci/testing/runs.ts';
import { Program, seen, step } from './deadlock/program.ts';

interface Fixture {
  clock: VirtualClock;
  deadlocks: AsyncDeadlockDetector;
  locks: KeyedMutex;
}

const start = (): Fixture => {
  const clock = new VirtualClock();
  const deadlocks = deadlockDetector();
  return { clock, deadlocks, locks: new KeyedMutex({ clock, deadlocks, random: () => 0.5 }) };
};

/** What became of a call, without waiting for it. */
const fate = (call: Promise<unknown>): { of: string; cycle?: DeadlockError['cycle'] } => {
  const seen: { of: string; cycle?: DeadlockError['cycle'] } = { of: 'open' };
  call.then(
    () => Object.assign(seen, { of: 'done' }),
    ({ code, cycle }) => Object.assign(seen, { of: code, ...(cycle && { cycle }) }),
  );
  return seen;
};

/** A task that goes on when it is told to. */
const gate = (): { passed: Promise<void>; open(): void } => {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
};

// First, before other detectors have made promises dearer where Node is older than 24.
describe('random programs', () => {
  const PROGRAMS = runs(700);

  it('are refused exactly the waits that lead to themselves, and that would never end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), (steps) => new Program().run(steps)),
      { numRuns: PROGRAMS },
    );
    expect(seen.left).toBe(seen.waits);
    // So that it is known to have tested something.
    expect(seen.waits).toBeGreaterThan(7 * PROGRAMS);
    expect(seen.circles.length).toBeGreaterThan(2 * PROGRAMS);
    expect(seen.circles.filter((length) => length > 2).length).toBeGreaterThan(PROGRAMS / 10);
    expect(seen.throughWriters).toBeGreaterThan(PROGRAMS / 10);
  });
});

describe('a circle of one', () => {
  for (const call of ['acquire', 'run', 'acquireAll', 'runAll'] as const) {
    it(`${call} of a key that the task around it holds is refused at once, with who holds and wants what`, async () => {
      const { locks } = start();
      const inner = await locks.run(
        'k',
        async () => {
          // However deep, and after other things were awaited.
          await settle();
          const seen = fate(
            {
              acquire: () => locks.acquire('k', { owner: 'inner' }),
              run: () => locks.run('k', () => undefined, { owner: 'inner' }),
              acquireAll: () => locks.acquireAll(['j', 'k'], { owner: 'inner' }),
              runAll: () => locks.runAll(['j', 'k'], () => undefined, { owner: 'inner' }),
            }[call](),
          );
          await settle();
          return seen;
        },
        { owner: 'outer' },
      );
      expect(inner).toEqual({ of: 'LOCK_DEADLOCK', cycle: [{ owner: 'inner', holds: 'k', wants: 'k' }] });
      expect(locks.stats()).toMatchObject({ activeLocks: 0, waiting: 0, rejected: 1 });
    });
  }

  it('is one for a group that holds the key, for one that shares it and wants it alone, and beyond tasks between', async () => {
    const { locks } = start();
    const seen = await locks.runAll(['a', 'b'], () => fate(locks.acquire('b')));
    const upgrade = await locks.run('s', () => fate(locks.acquire('s')), { mode: 'shared' });
    const deep = await locks.run('a', () => locks.run('b', () => locks.run('c', () => fate(locks.acquire('a')))));
    for (const one of [seen, upgrade, deep]) expect(one.of).toBe('LOCK_DEADLOCK');
  });

  it('is none for who does not wait', async () => {
    const { locks } = start();
    await locks.run('k', async () => {
      expect(locks.tryAcquire('k')).toBeUndefined();
      await expect(locks.acquire('k', { timeoutMs: 0 })).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
    });
    await locks.run('s', () => locks.run('s', () => undefined, { mode: 'shared' }), { mode: 'shared' });
  });

  it('names the holder where the one who asks has no name', async () => {
    const { locks } = start();
    const task = (): Promise<unknown> => locks.acquire('k');
    await expect(locks.run('k', task, { owner: 'job 7' })).rejects.toThrow(
      '"k" was not waited for, as that would never end: "job 7" holds "k" and wants "k"',
    );
  });

  it('counts although its timeout would end it, and is not tried again', async () => {
    const { locks, clock } = start();
    const seen = await locks.run('k', () => fate(locks.acquire('k', { timeoutMs: 5, retry: { attempts: 3 } })));
    expect(seen.of).toBe('LOCK_DEADLOCK');
    expect(clock.pending).toBeLessThanOrEqual(1);
  });
});

describe('a circle of several', () => {
  it('is refused to the one who closes it; when that one lets go, the others get on', async () => {
    const { locks } = start();
    const [ready, go] = [gate(), gate()];
    const first = fate(
      locks.run(
        'a',
        async () => {
          await ready.passed;
          await locks.run('b', () => undefined, { owner: 'A' });
        },
        { owner: 'A' },
      ),
    );
    const second = fate(
      locks.run(
        'b',
        async () => {
          await go.passed;
          await locks.run('a', () => undefined, { owner: 'B' });
        },
        { owner: 'B' },
      ),
    );
    ready.open();
    await settle();
    expect([first.of, second.of]).toEqual(['open', 'open']);
    go.open();
    await settle();
    expect(second).toEqual({
      of: 'LOCK_DEADLOCK',
      cycle: [
        { owner: 'B', holds: 'b', wants: 'a' },
        { owner: 'A', holds: 'a', wants: 'b' },
      ],
    });
    expect(first.of).toBe('done');
  });

  it('is seen over two mutexes that share a detector', async () => {
    const { locks, deadlocks } = start();
    const others = new KeyedMutex({ deadlocks });
    const go = gate();
    const first = locks.run('k', () => go.passed.then(() => others.run('k', () => 'first')));
    const second = others.run('k', async () => {
      const inner = fate(locks.acquire('k'));
      await settle();
      expect(inner.of).toBe('open');
      go.open();
      await settle();
      return 'second';
    });
    expect(await second).toBe('second');
    await expect(first).rejects.toMatchObject({ code: 'LOCK_DEADLOCK' });
  });

  it('may go through a writer that stands before a reader whose key is shared already', async () => {
    const { locks } = start();
    const go = gate();
    const again = (): Promise<LocalLock> => locks.acquire('k', { mode: 'shared', owner: 'reader' });
    const reading = locks.run(
      'k',
      async () => {
        // Nobody waits: readers join.
        (await again()).release();
        await go.passed;
        return again().catch((error) => error.cycle);
      },
      { mode: 'shared', owner: 'reader' },
    );
    await settle();
    const writing = locks.run('k', () => 'written', { owner: 'writer' });
    go.open();
    expect(await reading).toEqual([
      { owner: 'reader', holds: 'k', wants: 'k' },
      { owner: 'writer', holds: 'k', wants: 'k' },
    ]);
    expect(await writing).toBe('written');
  });

  it('is the shortest one where there are several', async () => {
    for (const order of [
      ['b', 'z'],
      ['z', 'b'],
    ]) {
      const { locks, deadlocks } = start();
      const holds = (key: string, ...wants: string[]): Promise<unknown> =>
        locks.run(key, () => Promise.all(wants.map((want) => locks.run(want, () => undefined))).catch(() => undefined));
      const go = gate();
      const last = locks.run('z', () => go.passed.then(() => fate(locks.acquire('a'))));
      deadlocks.detached(() => [holds('c', 'z'), holds('b', 'c'), holds('a', ...order)]);
      await settle();
      go.open();
      const { cycle } = await last;
      expect(cycle?.map(({ holds: key }) => key)).toEqual(['z', 'a']);
    }
  });

  it('counts also where the one in the middle is a group that is not complete', async () => {
    const { locks } = start();
    const go = gate();
    const first = locks.run('b', () => go.passed.then(() => fate(locks.acquire('a', { owner: 'first' }))));
    const group = fate(locks.acquireAll(['b', 'a'], { owner: 'group' }));
    await settle();
    go.open();
    expect(await first).toEqual({
      of: 'LOCK_DEADLOCK',
      cycle: [
        { owner: 'first', holds: 'b', wants: 'a' },
        { owner: 'group', holds: 'a', wants: 'b' },
      ],
    });
    await settle();
    expect(group.of).toBe('done');
  });
});

describe('no circle', () => {
  const open = { of: 'open' };

  it('is made by branches of one task that each take and leave a key', async () => {
    const { locks, clock } = start();
    let inside = 0;
    const branch = async (): Promise<void> => {
      const lock = await locks.acquire('quota');
      expect(++inside).toBe(1);
      await clock.sleep(1);
      inside--;
      lock.release();
    };
    const whole = fate(locks.run('job', () => Promise.all([branch(), branch(), locks.run('quota', () => undefined)])));
    await clock.advance(2);
    expect(whole.of).toBe('done');
  });

  it('is made through a lock that was handed out and passed on', async () => {
    const { locks } = start();
    const passed = await locks.run('job', () => locks.acquire('k'));
    const { of } = await locks.run('job', () => {
      const waiting = fate(locks.acquire('k'));
      passed.release();
      return settle().then(() => waiting);
    });
    expect(of).toBe('done');
  });

  it('is made by one who holds and does not wait, nor by one who waits and holds nothing', async () => {
    const { locks } = start();
    const go = gate();
    const busy = locks.run('a', () => go.passed);
    const idle = fate(locks.run('b', () => locks.run('a', () => undefined)));
    const third = fate(locks.run('c', () => locks.run('b', () => undefined)));
    await settle();
    expect([idle, third]).toEqual([open, open]);
    go.open();
    await busy;
    await settle();
    expect([idle.of, third.of]).toEqual(['done', 'done']);
  });

  it('is made by work that nobody awaits: started as such, or left behind by a task that has settled', async () => {
    const { locks, deadlocks } = start();
    const seen: { of: string }[] = [];
    const go = gate();
    await locks.run('k', () => {
      deadlocks.detached(() => seen.push(fate(locks.run('k', () => undefined))));
    });
    const whole = locks.run('outer', async () => {
      await locks.run('inner', () => {
        go.passed.then(() => seen.push(fate(locks.run('outer', () => undefined))));
      });
      go.open();
      await settle();
      return seen.map(({ of }) => of);
    });
    expect(await whole).toEqual(['done', 'open']);
    await settle();
    expect(seen.map(({ of }) => of)).toEqual(['done', 'done']);
  });

  it('is made by a wait that was left behind', async () => {
    const { locks } = start();
    const [holding, inner] = [gate(), gate()];
    const holder = locks.run('b', async () => {
      await holding.passed;
      // The task that waits for b was started in the one that holds a, and not awaited.
      return fate(locks.run('a', () => undefined));
    });
    const left: { of: string }[] = [];
    const whole = locks.run('a', async () => {
      await locks.run('c', () => void left.push(fate(locks.run('b', () => undefined))));
      holding.open();
      await inner.passed;
    });
    expect(await holder).toEqual(open);
    await settle();
    expect(left[0]?.of).toBe('done');
    inner.open();
    await whole;
  });

  it('is made by a lock that is not held any more: released early, or its lease over with the timer late', async () => {
    for (const how of ['released', 'lost', 'late'] as const) {
      const { locks, deadlocks, clock } = start();
      const others = new KeyedMutex({ deadlocks, clock });
      const go = gate();
      const first = locks.run(
        'a',
        async (lock) => {
          if (how === 'released') lock.release();
          return others.run('b', () => undefined);
        },
        { leaseMs: 10, maxHoldMs: 10 },
      );
      const second = others.run('b', () => go.passed.then(() => fate(locks.run('a', () => undefined))));
      first.catch(() => undefined);
      if (how === 'lost') await clock.advance(10);
      // Nothing is asked of `locks`, which would notice: its timers are late.
      if (how === 'late') clock.jump(10);
      go.open();
      expect((await second).of).not.toBe('LOCK_DEADLOCK');
    }
  });

  it('is made by a wait whose time is up with the timer late, in whichever mutex', async () => {
    const { locks, deadlocks, clock } = start();
    const others = new KeyedMutex({ deadlocks, clock });
    const go = gate();
    const second = others.run('b', () => go.passed.then(() => fate(locks.acquire('a'))));
    const first = fate(locks.run('a', () => others.run('b', () => undefined, { timeoutMs: 10 })));
    await settle();
    expect(first).toEqual(open);
    clock.jump(10);
    go.open();
    expect(await second).toEqual(open);
    await clock.advance(1);
    expect(first.of).toBe('LOCK_TIMEOUT');
  });

  it('is made by a wait whose signal has aborted, though another listener comes first', async () => {
    const { locks, deadlocks } = start();
    const others = new KeyedMutex({ deadlocks });
    const controller = new AbortController();
    let asked: { of: string } | undefined;
    const go = gate();
    const second = others.run('b', async () => {
      const within = AsyncLocalStorage.snapshot();
      controller.signal.addEventListener('abort', () => {
        asked = within(() => fate(locks.acquire('a')));
      });
      await go.passed;
    });
    const first = fate(locks.run('a', () => others.run('b', () => undefined, { signal: controller.signal })));
    await settle();
    controller.abort({ code: 'gone' });
    expect(asked).toEqual(open);
    await settle();
    expect([first.of, asked?.of]).toEqual(['gone', 'done']);
    go.open();
    await second;
  });

  it('is made by a reader behind a writer that is gone but for a timer', async () => {
    const { locks, clock } = start();
    const go = gate();
    const reading = locks.run('k', () => go.passed.then(() => fate(locks.acquire('k', { mode: 'shared' }))), {
      mode: 'shared',
    });
    const writing = fate(locks.acquire('k', { timeoutMs: 5 }));
    clock.jump(5);
    go.open();
    expect((await reading).of).not.toBe('LOCK_DEADLOCK');
    expect(writing.of).toBe('LOCK_TIMEOUT');
  });
});

describe('a scope', () => {
  const take = (locks: KeyedMutex, key: string, options?: AcquireOptions): Promise<LocalLock> =>
    locks.acquire(key, options);

  it('owns what it is handed: one by one, in a group, or at the first try', async () => {
    const { locks, deadlocks } = start();
    for (const hand of [
      () => take(locks, 'k'),
      () => locks.acquireAll(['j', 'k']),
      async () => locks.tryAcquire('k') as LocalLock,
    ]) {
      const seen = await deadlocks.scope(async () => {
        const held = await hand();
        const one = fate(take(locks, 'k'));
        await settle();
        await held.release();
        return one;
      });
      expect(seen).toEqual({ of: 'LOCK_DEADLOCK', cycle: [{ owner: '', holds: 'k', wants: 'k' }] });
    }
    // Outside any, the same waits until it is released.
    const held = await locks.acquireAll(['j', 'k']);
    const one = fate(take(locks, 'k'));
    await settle();
    expect(one.of).toBe('open');
    await held.release();
  });

  it('finds the circle of two that take two keys in different order, and lets the other one get on', async () => {
    const { locks, deadlocks } = start();
    const both = (from: string, to: string): Promise<void> =>
      deadlocks.scope(async () => {
        using _from = await take(locks, from, { owner: `${from} to ${to}` });
        await settle();
        using _to = await take(locks, to, { owner: `${from} to ${to}` });
      });
    const calls = [both('x', 'y'), both('y', 'x')];
    const [first, second] = await Promise.allSettled(calls);
    expect(first?.status).toBe('fulfilled');
    expect((second as PromiseRejectedResult).reason).toMatchObject({
      code: 'LOCK_DEADLOCK',
      key: 'x',
      cycle: [
        { owner: 'y to x', holds: 'y', wants: 'x' },
        { owner: 'x to y', holds: 'x', wants: 'y' },
      ],
    });
  });

  it('gives what it does side by side scopes of its own', async () => {
    const { locks, deadlocks, clock } = start();
    const branch = (): Promise<void> =>
      deadlocks.scope(async () => {
        using _lock = await take(locks, 'quota');
        await clock.sleep(1);
      });
    const whole = fate(deadlocks.scope(() => Promise.all([branch(), branch()])));
    await clock.advance(2);
    expect(whole.of).toBe('done');
  });

  it('owns nothing once it is over, and passes on what its work returns and throws', async () => {
    const { locks, deadlocks } = start();
    const kept = await deadlocks.scope(() => take(locks, 'k'));
    const seen = await locks.run('job', () => fate(take(locks, 'k')));
    expect(seen.of).toBe('open');
    kept.release();
    const failure = new Error('of the work');
    await expect(deadlocks.scope(() => Promise.reject(failure))).rejects.toBe(failure);
    await expect(
      deadlocks.scope(() => {
        throw failure;
      }),
    ).rejects.toBe(failure);
    expect(deadlocks.detached(() => 5)).toBe(5);
  });
});

describe('memory', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;

  /** How many of the claims made since are still there. */
  const watched = ({ deadlocks }: Fixture): { locks: KeyedMutex; alive(): Promise<number>; claims(): number } => {
    const claims: WeakRef<object>[] = [];
    const claim: AsyncDeadlockDetector['claim'] = (use) => {
      const made = deadlocks.claim(use);
      if (made !== undefined) claims.push(new WeakRef(made));
      return made;
    };
    const alive = async (): Promise<number> => {
      await setImmediate();
      collect();
      return claims.filter((one) => one.deref() !== undefined).length;
    };
    return { locks: new KeyedMutex({ deadlocks: { name: 'watched', claim } }), alive, claims: () => claims.length };
  };

  it('is kept for nothing that is over: granted, timed out, aborted or refused, in a scope that never ends', async () => {
    const fixture = start();
    const { locks, alive, claims } = watched(fixture);
    await fixture.deadlocks.scope(async () => {
      for (let i = 0; i < 200; i++) {
        const gone = AbortSignal.abort();
        await Promise.allSettled([
          locks.run('k', () => locks.run('k', () => undefined)),
          locks.run('k', () => locks.acquire(`other ${i}`).then((lock) => lock.release())),
          locks.acquireAll(['k', 'j']).then((group) => group.release()),
          locks.runAll(['j', 'k'], () => undefined),
          locks.acquire('k', { signal: gone }),
          locks.acquire('k', { timeoutMs: 0 }),
        ]);
      }
      expect(claims()).toBeGreaterThan(1_000);
      expect(await alive()).toBeLessThan(10);
    });
  });

  it('is kept for no past round of a task that starts its next one without awaiting it', async () => {
    const { locks, alive, claims } = watched(start());
    await new Promise<void>((resolve) => {
      const round = (i: number): Promise<void> =>
        locks.run('k', () => {
          if (i === 300) return resolve();
          setTimeout(() => void round(i + 1), 0);
        });
      void round(0);
    });
    expect(claims()).toBe(301);
    expect(await alive()).toBeLessThan(10);
  });
});
