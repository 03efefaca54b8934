import { settle, VirtualClock } from '@chunks/base/testing';
import { KeyedMutex, type LocalLock, type LockMode } from '@chunks/locks';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const start = (options?: ConstructorParameters<typeof KeyedMutex>[0]): { clock: VirtualClock; locks: KeyedMutex } => {
  const clock = new VirtualClock();
  return { clock, locks: new KeyedMutex({ clock, ...options }) };
};

describe('fairness', () => {
  it('grants in the order of arrival, and a newcomer never passes a waiter', async () => {
    const arrival = fc.record({ leaves: fc.boolean(), barges: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(arrival, { minLength: 1, maxLength: 20 }), async (arrivals) => {
        const { locks } = start();
        const order: number[] = [];
        const controllers = arrivals.map(() => new AbortController());
        const holder = locks.tryAcquire('k') as LocalLock;
        const all = arrivals.map(({ barges }, i) =>
          locks
            .run(
              'k',
              () => {
                order.push(i);
                if (barges) expect(locks.tryAcquire('k')).toBeUndefined();
              },
              { signal: controllers[i]?.signal },
            )
            .catch(() => undefined),
        );
        arrivals.forEach(({ leaves }, i) => {
          if (leaves) controllers[i]?.abort();
        });
        holder.release();
        // Between the release and the woken waiter's first step, the key is the waiter's already.
        if (arrivals.some(({ leaves }) => !leaves)) expect(locks.tryAcquire('k')).toBeUndefined();
        await Promise.all(all);
        expect(order).toEqual(arrivals.flatMap(({ leaves }, i) => (leaves ? [] : [i])));
      }),
    );
  });

  it('lets shared holders in together, but none past a waiting exclusive one', async () => {
    const { locks } = start();
    const log: string[] = [];
    const enter = (name: string, mode: LockMode): Promise<LocalLock> =>
      locks.acquire('k', { mode }).then((lock) => {
        log.push(name);
        return lock;
      });
    const first = await Promise.all([enter('r1', 'shared'), enter('r2', 'shared')]);
    const writer = enter('w', 'exclusive');
    const later = [enter('r3', 'shared'), enter('r4', 'shared')];
    expect(locks.tryAcquire('k', { mode: 'shared' })).toBeUndefined();
    first[0]?.release();
    await settle();
    expect(log).toEqual(['r1', 'r2']);
    first[1]?.release();
    await settle();
    expect(log).toEqual(['r1', 'r2', 'w']);
    (await writer).release();
    await settle();
    expect(log).toEqual(['r1', 'r2', 'w', 'r3', 'r4']);
    const tokens = [...first, await writer, ...(await Promise.all(later))].map(({ token }) => token);
    const [a = 0, b, c = 0, d = 0, e] = tokens;
    expect(b).toBe(a);
    expect(c).toBeGreaterThan(a);
    expect(d).toBeGreaterThan(c);
    expect(e).toBe(d);
  });

  it('lets the shared ones behind move up when the exclusive one before them leaves', async () => {
    for (const leaves of ['by timeout', 'by abort']) {
      const { clock, locks } = start();
      const controller = new AbortController();
      await locks.acquire('k', { mode: 'shared' });
      const writer = locks.acquire('k', { timeoutMs: 5, signal: controller.signal }).catch((error) => error);
      const readers = [locks.acquire('k', { mode: 'shared' }), locks.acquire('k', { mode: 'shared' })];
      if (leaves === 'by abort') controller.abort('gone');
      else await clock.advance(5);
      expect(await writer).toEqual(leaves === 'by abort' ? 'gone' : expect.objectContaining({ code: 'LOCK_TIMEOUT' }));
      for (const reader of readers) expect((await reader).waitedMs).toBe(leaves === 'by abort' ? 0 : 5);
    }
  });
});

describe('leaving nothing behind', () => {
  it('has no entry for any key and one timer at most, after any number of locks of any kind', async () => {
    const use = fc.record({
      key: fc.constantFrom('a', 'b', 'c'),
      mode: fc.constantFrom<LockMode>('exclusive', 'shared'),
      timeoutMs: fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined }),
      leaseMs: fc.integer({ min: 1, max: 20 }),
      workMs: fc.nat(20),
      releases: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(use, { maxLength: 30 }), async (uses) => {
        const { clock, locks } = start();
        for (const { key, mode, timeoutMs, leaseMs, workMs, releases } of uses) {
          locks.acquire(key, { mode, timeoutMs, leaseMs }).then(
            (lock) => clock.sleep(workMs).then(() => releases && lock.release()),
            () => undefined,
          );
        }
        // Those who work sleep on the same clock: what is counted is what is there besides them.
        await clock.advance(30 * 50);
        expect(locks.snapshot()).toEqual({ held: [], waiting: [] });
        for (const key of ['a', 'b', 'c']) expect(locks.isLocked(key)).toBe(false);
        expect(clock.pending).toBe(0);
      }),
    );
  });

  it('has one timer for ten thousand waiters with ten thousand timeouts, and times each out at its time', async () => {
    const { clock, locks } = start();
    locks.tryAcquire('k', { leaseMs: 1e9 });
    const waits: number[] = [];
    for (let i = 0; i < 10_000; i++) {
      const timeoutMs = 1 + ((i * 7919) % 100);
      locks.acquire('k', { timeoutMs }).catch(({ waitedMs }) => waits.push(waitedMs - timeoutMs));
    }
    expect(clock.pending).toBe(1);
    await clock.advance(50);
    expect(waits).toHaveLength(5_000);
    expect(clock.pending).toBe(1);
    await clock.advance(50);
    expect(waits).toHaveLength(10_000);
    expect(new Set(waits)).toEqual(new Set([0]));
    expect(locks.stats()).toMatchObject({ waiting: 0, timedOut: 10_000 });
  });

  it('takes every expired one of five thousand locks away, though its sweeps rest in between', async () => {
    const { clock, locks } = start();
    const all = Array.from({ length: 5_000 }, (_, i) => locks.tryAcquire(`${i}`, { leaseMs: 1 + (i % 500) }));
    await clock.advance(250);
    const late = all.filter((lock) => lock?.held === false && locks.isLocked(lock.key)).length;
    // At most what can expire during the longest rest, 4 ms.
    expect(late).toBeLessThanOrEqual(50);
    await clock.advance(260);
    expect(locks.stats()).toMatchObject({ activeLocks: 0, expired: 5_000, lost: 5_000 });
    expect(clock.pending).toBe(0);
  });
});

describe('listeners that use the lock', () => {
  it('keep what they take of a key that is just being left by the last of many', async () => {
    const { clock, locks } = start();
    locks.tryAcquire('k', { leaseMs: 10 });
    const waits = [1, 2].map(() => locks.acquire('k', { timeoutMs: 10 }).catch(({ code }) => code));
    let taken: LocalLock | undefined;
    locks.on('timeout', () => {
      taken ??= locks.tryAcquire('k');
    });
    // The lease and both waits end in one tick: the listener takes the key between the two.
    await clock.advance(10);
    expect(await Promise.all(waits)).toEqual(['LOCK_TIMEOUT', 'LOCK_TIMEOUT']);
    expect(taken?.held).toBe(true);
    expect(locks.tryAcquire('k')).toBeUndefined();
  });
});

describe('limits', () => {
  it('refuses the waiter beyond maxWaiting, over all keys, and takes the next when one has left', async () => {
    const { clock, locks } = start({ maxWaiting: 2 });
    for (const key of ['a', 'b']) locks.tryAcquire(key);
    const waits = [locks.acquire('a', { timeoutMs: 5 }), locks.acquire('b')];
    waits[0]?.catch(() => undefined);
    await expect(locks.acquire('a')).rejects.toMatchObject({ code: 'LOCK_QUEUE_FULL', key: 'a', retryable: true });
    expect((await locks.acquire('c')).held).toBe(true);
    await clock.advance(5);
    const third = locks.acquire('a');
    expect(locks.stats()).toMatchObject({ waiting: 2, rejected: 1 });
    void third;
  });

  it('tries once with timeoutMs 0, full queue or not, and tells who holds', async () => {
    const { clock, locks } = start({ maxWaiting: 0 });
    const lock = await locks.acquire('k', { owner: 'someone', timeoutMs: 0 });
    await clock.advance(40);
    await expect(locks.acquire('k', { timeoutMs: 0 })).rejects.toMatchObject({
      code: 'LOCK_TIMEOUT',
      waitedMs: 0,
      holder: { owner: 'someone', heldMs: 40 },
    });
    lock.release();
    expect(locks.stats()).toMatchObject({ timedOut: 1, waiting: 0 });
  });
});

describe('close', () => {
  it('ends the waits, grants nothing new, and is done when the last lock is released or has expired', async () => {
    const { clock, locks } = start();
    const released = await locks.acquire('a');
    await locks.acquire('b', { leaseMs: 100 });
    const waits = [locks.acquire('a'), locks.acquire('b', { timeoutMs: 50 }), locks.acquire('b', { mode: 'shared' })];
    const ends = Promise.all(waits.map((wait) => wait.catch(({ code }) => code)));
    let closed = false;
    const closing = locks.close().then(() => {
      closed = true;
    });
    expect(await ends).toEqual(['LOCK_CLOSED', 'LOCK_CLOSED', 'LOCK_CLOSED']);
    await expect(locks.acquire('c')).rejects.toMatchObject({ code: 'LOCK_CLOSED', key: 'c', retryable: false });
    expect(() => locks.tryAcquire('c')).toThrow(expect.objectContaining({ code: 'LOCK_CLOSED' }));
    released.release();
    await settle();
    expect(closed).toBe(false);
    await clock.advance(100);
    expect(closed).toBe(true);
    await closing;
    expect(clock.pending).toBe(0);
    expect(locks.stats()).toMatchObject({ rejected: 5, activeLocks: 0 });
    await locks[Symbol.asyncDispose]();
  });

  it('is done at once when nothing is held, and leaves no timer', async () => {
    const { clock, locks } = start();
    (await locks.acquire('k')).release();
    expect(clock.pending).toBe(1);
    await locks.close();
    expect(clock.pending).toBe(0);
  });
});

describe('leases that end in one instant', () => {
  it('lend their token to nobody who comes next', async () => {
    const { clock, locks } = start();
    const lost = [
      locks.tryAcquire('k', { mode: 'shared', leaseMs: 8 }),
      locks.tryAcquire('k', { mode: 'shared', leaseMs: 8 }),
    ];
    const writer = locks.acquire('k', { timeoutMs: 8 }).catch((error: { code: string }) => error.code);
    const reader = locks.acquire('k', { mode: 'shared' });
    await clock.advance(8);
    expect(await writer).toBe('LOCK_TIMEOUT');
    expect(lost.map((lock) => lock?.held)).toEqual([false, false]);
    expect((await reader).token).toBeGreaterThan(lost[0]?.token as number);
  });

  it('nor to who comes in through a listener of theirs', () => {
    const { clock, locks } = start();
    const lost = locks.tryAcquire('k', { mode: 'shared', leaseMs: 8 }) as LocalLock;
    const inside: unknown[] = [];
    lost.signal.addEventListener('abort', () => {
      inside.push(locks.tryAcquire('k', { mode: 'shared' }));
      locks.acquire('k', { mode: 'shared' }).then((lock) => inside.push(lock.token > lost.token));
    });
    clock.jump(8);
    expect(lost.held).toBe(false);
    expect(locks.isLocked('k')).toBe(true);
    return settle().then(() => expect(inside).toEqual([undefined, true]));
  });
});
