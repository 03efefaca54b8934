import { settle } from '@chunks/base/testing';
import type { LeasedLock } from '@chunks/locks';
import { describe, expect, it } from 'vitest';
import { alone, LeaseWorld, takeElsewhere } from '../lease-model.ts';

describe('the local line', () => {
  it('is first come, first served, and a newcomer never passes a waiter, however it times its call', async () => {
    const { locks } = alone();
    const order: number[] = [];
    const holder = await locks.acquire('k');
    const all = Array.from({ length: 10 }, (_, i) =>
      locks.run('k', async () => {
        order.push(i);
        expect(await locks.tryAcquire('k')).toBeUndefined();
      }),
    );
    const released = holder.release();
    // Between the release and the woken waiter's first step, the key is the waiter's already.
    const barging = locks.tryAcquire('k');
    expect(await released).toBe(true);
    expect(await barging).toBeUndefined();
    await Promise.all(all);
    expect(order).toEqual([...order.keys()]);
  });

  it('is one contender in the store, whoever of it is first', async () => {
    const { clock, locks, store, peer } = alone();
    const token = await takeElsewhere(store, 'k');
    const controllers = Array.from({ length: 10 }, () => new AbortController());
    const all = controllers.map(({ signal }) => locks.acquire('k', { signal }).catch((reason) => reason));
    await clock.advance(10);
    for (const controller of controllers.slice(0, 9)) {
      controller.abort('gone');
      await clock.advance(1_000);
    }
    expect(new Set(peer.calls.flatMap(({ holder }) => holder ?? [])).size).toBe(1);
    await store.release('k', 'somebody else', token);
    expect((await all[9])?.held).toBe(true);
    expect(await Promise.all(all.slice(0, 9))).toEqual(Array(9).fill('gone'));
  });

  it('goes on with who is next, in the mode that this one wants', async () => {
    const { clock, locks, store, peer } = alone();
    const token = await takeElsewhere(store, 'k', 1e9, 'shared');
    const first = locks.acquire('k', { timeoutMs: 50 }).catch(({ code }) => code);
    const second = locks.acquire('k', { mode: 'shared' });
    await clock.advance(49);
    expect(locks.stats().waiting).toBe(2);
    await clock.advance(1);
    expect(await first).toBe('LOCK_TIMEOUT');
    // Exclusive waits for the other, shared does not; and the place of the exclusive one is given up.
    expect((await second).held).toBe(true);
    expect(await store.renew('k', 'somebody else', token, 1_000)).toBe(true);
    expect(peer.calls.at(-1)).toMatchObject({ method: expect.stringMatching(/release|acquire|unwatch/) });
  });

  it('counts those who wait, and refuses one more than maxWaiting: who only asks the store does not wait yet', async () => {
    const { clock, locks, store } = alone({ maxWaiting: 2 });
    await takeElsewhere(store, 'elsewhere');
    const all = await Promise.all(['a', 'b', 'c', 'd'].map((key) => locks.acquire(key)));
    expect(all.every(({ held }) => held)).toBe(true);
    const waiting = [locks.acquire('a'), locks.acquire('elsewhere')];
    await settle();
    expect(locks.stats()).toMatchObject({ activeLocks: 4, waiting: 2 });
    for (const key of ['a', 'b', 'elsewhere']) {
      await expect(locks.acquire(key)).rejects.toMatchObject({ code: 'LOCK_QUEUE_FULL', key });
    }
    expect(locks.stats()).toMatchObject({ rejected: 3, waiting: 2 });
    for (const lock of all) await lock.release();
    await (await waiting[0])?.release();
    await takeElsewhere(store, 'b');
    const again = locks.acquire('b');
    await clock.advance(1);
    await expect(locks.acquire('c', { timeoutMs: 5 })).resolves.toMatchObject({ held: true });
    await expect(locks.acquire('elsewhere')).rejects.toMatchObject({ code: 'LOCK_QUEUE_FULL' });
    for (const one of [again, waiting[1]]) one?.catch(() => undefined);
    void locks.close();
    await settle();
    expect(locks.stats().waiting).toBe(0);
  });

  it('refuses one that only the store’s answer makes wait, too', async () => {
    const { clock, locks, store, peer } = alone({ maxWaiting: 0 });
    const token = await takeElsewhere(store, 'k');
    await expect(locks.acquire('k')).rejects.toMatchObject({ code: 'LOCK_QUEUE_FULL', key: 'k' });
    expect(locks.stats()).toMatchObject({ waiting: 0, rejected: 1 });
    await clock.advance(5_000);
    await store.release('k', 'somebody else', token);
    expect(await store.inspect?.('k')).toBeUndefined();
    await (await locks.acquire('k')).release();
    expect(peer.clock.timers).toBe(1);
    expect(await locks.tryAcquire('k')).toBeDefined();
  });

  it('times out on time, whatever the store is doing, and says who holds', async () => {
    const { clock, locks, peer } = alone();
    const mine = await locks.acquire('k', { owner: 'upload 7' });
    const behind = locks.acquire('k', { timeoutMs: 30 }).catch((error) => error);
    peer.fault = () => ({ replyMs: Number.POSITIVE_INFINITY });
    const asking = locks.acquire('other', { timeoutMs: 30 }).catch((error) => error);
    await clock.advance(30);
    expect(await behind).toMatchObject({ waitedMs: 30, holder: { owner: 'upload 7', heldMs: 30 } });
    expect(await asking).toMatchObject({ waitedMs: 30, holder: undefined });
    expect(mine.held).toBe(true);
  });

  it('tries again after a timeout, at the tail, with jitter', async () => {
    const { clock, locks, store } = alone({ random: () => 0.999 });
    const token = await takeElsewhere(store, 'k');
    const patient = locks.acquire('k', { timeoutMs: 20, retry: { attempts: 5, baseMs: 10, maxMs: 40 } });
    const reason = new Error('enough');
    const controller = new AbortController();
    const aborted = locks.acquire('k', {
      timeoutMs: 20,
      retry: { attempts: 5, baseMs: 1e6, maxMs: 1e6 },
      signal: controller.signal,
    });
    aborted.catch(() => undefined);
    await clock.advance(50);
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    expect(locks.stats()).toMatchObject({ timedOut: 3, waiting: 0 });
    await store.release('k', 'somebody else', token);
    await clock.advance(60);
    expect((await patient).held).toBe(true);
    const hopeless = locks
      .acquire('k', { timeoutMs: 20, retry: { attempts: 9, baseMs: 1e6, maxMs: 1e6 } })
      .catch(({ code }) => code);
    await clock.advance(50);
    const closed = locks.close();
    expect(await hopeless).toBe('LOCK_CLOSED');
    await (await patient).release();
    await closed;
  });
});

describe('release', () => {
  it('is refused when the store does not answer: told by on(lost), tried once more in the background', async () => {
    for (const failures of [1, 2]) {
      const { clock, locks, peer, store } = alone({ leaseMs: 1_000 });
      const lost: unknown[] = [];
      locks.on('lost', ({ cause }) => lost.push(cause));
      const lock = await locks.acquire('k');
      let left = failures;
      peer.fault = ({ method }) => (method === 'release' && left-- > 0 ? 'unreachable' : undefined);
      const next = locks.acquire('k');
      await clock.advance(600);
      await expect(lock.release()).rejects.toMatchObject({ code: 'LOCK_UNAVAILABLE', retryable: true });
      expect(lost).toEqual([expect.objectContaining({ code: 'LOCK_UNAVAILABLE' })]);
      // It is not ours any more, and nobody says that it was taken from us while we had it.
      expect([lock.held, lock.signal.aborted, await lock.release()]).toEqual([false, false, false]);
      await clock.advance(1);
      expect(peer.count('release')).toBe(2 - failures);
      await clock.advance(1_100);
      expect((await next).token).toBeGreaterThan(lock.token);
      await (await next).release();
      expect(await store.inspect?.('k')).toBeUndefined();
      expect(locks.stats()).toMatchObject({ acquired: 2, lost: 1, released: 1 });
    }
  });

  it('finds out that the lock was lost without anybody’s notice, and says so', async () => {
    const { locks, store } = alone();
    const lost: unknown[] = [];
    locks.on('lost', ({ cause }) => lost.push(cause));
    const end = locks.run('k', async (lock) => {
      const { holder = '' } = (await store.inspect?.('k')) ?? {};
      await store.release('k', holder, Math.floor(lock.token / 128));
      expect(lock.held).toBe(true);
      return 'done all the same';
    });
    await expect(end).rejects.toMatchObject({ code: 'LOCK_LOST', value: 'done all the same' });
    expect(lost).toEqual([expect.objectContaining({ code: 'LOCK_LOST' })]);
    expect(locks.stats()).toMatchObject({ lost: 1, released: 0 });
  });

  it('on its way is waited for by a try, which then asks at once', async () => {
    const { clock, locks, peer } = alone({ handOff: { maxGrants: 1 } });
    const lock = await locks.acquire('k');
    peer.fault = ({ method }) => (method === 'release' ? { replyMs: 10 } : undefined);
    const released = lock.release();
    const tried = locks.tryAcquire('k');
    await clock.advance(10);
    expect(peer.count('acquire')).toBe(2);
    expect((await tried)?.held).toBe(true);
    expect(await released).toBe(true);
  });

  it('of several shared holders goes to the store with the last', async () => {
    const { locks, peer } = alone();
    const shared = { mode: 'shared' } as const;
    const all = await Promise.all([locks.acquire('k', shared), locks.acquire('k', shared), locks.acquire('k', shared)]);
    for (const [i, lock] of all.entries()) {
      expect(peer.count('release')).toBe(0);
      expect(await lock.release()).toBe(true);
      expect(all.map(({ held }) => held)).toEqual([0, 1, 2].map((other) => other > i));
    }
    expect(peer.count('release')).toBe(1);
  });

  it('inside a listener of a loss opens nothing twice, and lets nobody in before all are told', async () => {
    const { clock, locks } = alone({ leaseMs: 100 });
    const shared = { mode: 'shared', maxHoldMs: 20 } as const;
    // Under an exclusive lease, which could serve anybody who comes next.
    const first = await locks.acquire('k');
    const sharing = Promise.all([locks.acquire('k', shared), locks.acquire('k', shared), locks.acquire('k', shared)]);
    await first.release();
    const all = await sharing;
    const log: string[] = [];
    locks.on('acquired', () => log.push('in'));
    for (const [i, lock] of all.entries()) {
      lock.signal.addEventListener('abort', () => {
        log.push(`lost ${i}, held ${all.filter(({ held }) => held).length}`);
        for (const one of all) void one.release().then((was) => was && log.push('released'));
        if (i === 0) locks.acquire('k').catch(() => undefined);
      });
    }
    await clock.advance(25);
    expect(log).toEqual(['lost 0, held 0', 'lost 1, held 0', 'lost 2, held 0', 'in']);
  });
});

describe('a lost lease', () => {
  it('lets the next one here contend anew, without the old name', async () => {
    const world = new LeaseWorld(1, { leaseMs: 100 });
    const [peer] = world.processes as [LeaseWorld['processes'][0]];
    const first = world.acquire(0, 'k');
    const second = world.acquire(0, 'k', { timeoutMs: 10_000 });
    await world.check();
    peer.fault = () => 'unreachable';
    await world.clock.advance(100);
    expect([first.lock?.held, second.fate]).toEqual([false, 'LOCK_UNAVAILABLE']);
    peer.fault = () => undefined;
    const third = world.acquire(0, 'k');
    await world.clock.advance(200);
    await world.check();
    expect((third.lock as LeasedLock).token).toBeGreaterThan((first.lock as LeasedLock).token);
    await world.end();
  });
});
