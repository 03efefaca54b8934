import type { LeasedLock } from '@chunks/locks';
import type { LeaseDriver } from '@chunks/locks/lease';
import { describe, expect, it } from 'vitest';
import { alone, LeaseWorld } from '../lease-model.ts';

describe('renewal', () => {
  it('comes at a third of the lease, each time, and the lock lives on', async () => {
    const { clock, locks, calls } = alone({ leaseMs: 900 });
    const startMs = clock.now();
    const lock = await locks.acquire('k', { maxHoldMs: 1e6 });
    await clock.advance(3_000);
    const renewals = calls.filter(({ method }) => method === 'renew').map(({ atMs }) => atMs - startMs);
    expect(renewals).toEqual([300, 600, 900, 1_200, 1_500, 1_800, 2_100, 2_400, 2_700, 3_000]);
    expect(lock.held).toBe(true);
    expect(lock.expiresAtMs).toBe(clock.now() + 900 - 11);
    await lock.release();
    await clock.advance(3_000);
    expect(calls.filter(({ method }) => method === 'renew')).toHaveLength(10);
  });

  it('ends with maxHoldMs, ten leases unless told otherwise, and the lock with it: its signal first, then the next one', async () => {
    for (const [maxHoldMs, endsMs] of [
      [undefined, 1_000],
      [50, 50],
      [2_345, 2_345],
    ] as const) {
      const { clock, locks, store, calls } = alone({ leaseMs: 100 });
      const log: string[] = [];
      const lock = await locks.acquire('k', { maxHoldMs, owner: 'old' });
      lock.signal.addEventListener('abort', () => log.push('aborted'));
      for (const event of ['expired', 'lost', 'acquired'] as const) {
        locks.on(event, ({ owner }) => log.push(`${event} ${owner}`));
      }
      await clock.advance(endsMs - 1);
      expect(lock.held).toBe(true);
      const next = locks.acquire('k', { owner: 'next' });
      await clock.advance(1);
      expect(log).toEqual(['aborted', 'expired old', 'lost old']);
      await clock.advance(1);
      expect(log[3]).toBe('acquired next');
      expect((await next).token).toBeGreaterThan(lock.token);
      expect(lock.held).toBe(false);
      await (await next).release();
      expect(await store.inspect?.('k')).toBeUndefined();
      // No more of the lease is asked for than the hold can need.
      if (maxHoldMs === 50)
        expect(calls.map(({ method }) => method)).toEqual(['acquire', 'release', 'acquire', 'release']);
    }
  });

  it('that fails is tried again until the deadline, and one that comes through saves the lock', async () => {
    for (const failures of [1, 4, 1_000]) {
      const { clock, locks, peer } = alone({ leaseMs: 900 });
      const lock = await locks.acquire('k');
      let left = failures;
      peer.fault = ({ method }) => (method === 'renew' && left-- > 0 ? 'unreachable' : undefined);
      await clock.advance(888);
      expect(lock.held).toBe(true);
      await clock.advance(1);
      expect(lock.held).toBe(failures < 1_000);
      expect(lock.signal.aborted).toBe(failures === 1_000);
    }
  });

  it('that hangs is given up and tried again, and its late answer counts for what it says', async () => {
    const { clock, locks, peer } = alone({ leaseMs: 900, requestTimeoutMs: 50 });
    const lock = await locks.acquire('k');
    let renewals = 0;
    peer.fault = ({ method }) =>
      method === 'renew' && ++renewals === 1 ? { replyMs: Number.POSITIVE_INFINITY } : undefined;
    await clock.advance(2_000);
    expect(renewals).toBeGreaterThan(2);
    expect(lock.held).toBe(true);
  });

  it('that the store refuses means that the lock is lost, at once', async () => {
    const { clock, locks, store } = alone({ leaseMs: 900 });
    const lost: unknown[] = [];
    locks.on('lost', (event) => lost.push(event));
    const lock = await locks.acquire('k');
    const { holder = '' } = (await store.inspect?.('k')) ?? {};
    await store.release('k', holder, Math.floor(lock.token / 128));
    await clock.advance(299);
    expect(lock.held).toBe(true);
    await clock.advance(1);
    expect([lock.held, lock.signal.aborted]).toEqual([false, true]);
    expect(lost).toEqual([expect.objectContaining({ key: 'k', token: lock.token, cause: lock.signal.reason })]);
    expect(await lock.release()).toBe(false);
    expect(locks.stats()).toMatchObject({ lost: 1, released: 0, activeLocks: 0 });
  });
});

describe('extend', () => {
  it('renews at once, lasts beyond maxHoldMs, and never shortens anything', async () => {
    const { clock, locks, calls } = alone({ leaseMs: 100 });
    const lock = await locks.acquire('k', { maxHoldMs: 150 });
    await clock.advance(10);
    await lock.extend(1_000);
    expect(calls.map(({ method }) => method)).toEqual(['acquire', 'renew']);
    expect(lock.expiresAtMs).toBe(clock.now() + 1_000 - 12);
    await lock.extend(1);
    await lock.extend();
    expect(lock.expiresAtMs).toBeGreaterThanOrEqual(clock.now() + 1_000 - 12);
    await clock.advance(987);
    expect(lock.held).toBe(true);
    await clock.advance(13);
    expect(lock.held).toBe(false);
    await expect(lock.extend()).rejects.toMatchObject({ code: 'LOCK_LOST' });
    for (const leaseMs of [0, Number.NaN, Number.POSITIVE_INFINITY])
      await expect(lock.extend(leaseMs)).rejects.toThrow(RangeError);
  });

  it('goes to the store one at a time, so that what was said last is what counts', async () => {
    const { clock, locks, peer, store } = alone({ leaseMs: 1_000 });
    const lock = await locks.acquire('k', { maxHoldMs: 1e6 });
    const delays = [200, 5, 5];
    peer.fault = ({ method }) => (method === 'renew' ? { requestMs: delays.shift() ?? 0 } : undefined);
    const extended = Promise.all([lock.extend(1_000), lock.extend(20_000), lock.extend(1_000)]);
    await clock.advance(300);
    await extended;
    expect(lock.expiresAtMs).toBeGreaterThan(clock.now() + 19_000);
    const { expiresInMs = 0 } = (await store.inspect?.('k')) ?? {};
    expect(clock.now() + expiresInMs).toBeGreaterThan(lock.expiresAtMs);
  });

  it('counts on no more than a renewal asked for that is still on its way', async () => {
    const { clock, locks, peer, store } = alone({ leaseMs: 1_000 });
    const lock = await locks.acquire('k', { maxHoldMs: 1e6 });
    const delays = [3_000];
    peer.fault = ({ method }) => (method === 'renew' ? { requestMs: delays.shift() ?? 0 } : undefined);
    await clock.advance(900);
    await lock.extend(20_000);
    for (let passedMs = 0; passedMs < 15_000; passedMs += 50) {
      await clock.advance(50);
      const { expiresInMs = 0 } = (await store.inspect?.('k')) ?? {};
      expect(lock.held).toBe(true);
      expect(clock.now() + expiresInMs).toBeGreaterThan(lock.expiresAtMs);
    }
    expect(delays).toEqual([]);
  });

  it('renews no faster for a shorter renewal that is still on its way', async () => {
    const { clock, locks, peer, calls } = alone({ leaseMs: 100, requestTimeoutMs: 5, poll: { minMs: 1, maxMs: 2 } });
    let renewals = 0;
    peer.fault = ({ method }) => {
      if (method !== 'renew') return undefined;
      renewals++;
      // Instead of going round for ever.
      if (renewals > 100) throw new Error('renewed all the time');
      return { requestMs: renewals === 1 ? 5_000 : 0 };
    };
    const short = await locks.acquire('k');
    const next = locks.acquire('k', { leaseMs: 10_000, maxHoldMs: 1e6 });
    await clock.advance(45);
    await short.release();
    const long = await next;
    await clock.advance(500);
    expect(long.held).toBe(true);
    // One in 33 ms, and those tried again.
    expect(renewals).toBeLessThan(25);
    expect(calls.filter(({ method }) => method === 'acquire')).toHaveLength(1);
  });

  it('of one shared holder leaves the ends of the others where they were', async () => {
    const { clock, locks } = alone({ leaseMs: 100 });
    const shared = { mode: 'shared', maxHoldMs: 150 } as const;
    const [one, other] = await Promise.all([locks.acquire('k', shared), locks.acquire('k', shared)]);
    await one.extend(1_000);
    await clock.advance(150);
    expect([one.held, other.held]).toEqual([true, false]);
    expect([await one.release(), await other.release()]).toEqual([true, false]);
  });
});

describe('hand-off', () => {
  it('gives a live lease to the next one here, without the store, with a token of its own', async () => {
    const { locks, calls } = alone();
    const tokens: number[] = [];
    await Promise.all(Array.from({ length: 50 }, () => locks.run('k', ({ token }) => void tokens.push(token))));
    expect(calls.map(({ method }) => method)).toEqual(['acquire', 'release']);
    expect(tokens).toEqual(tokens.map((_, i) => (tokens[0] as number) + i));
    expect((tokens[0] as number) % 128).toBe(0);
  });

  it('ends after maxGrants, so that other processes get their turn', async () => {
    const world = new LeaseWorld(2, { handOff: { maxGrants: 3 } });
    const order: number[] = [];
    for (const [peer, { locks }] of world.processes.entries()) {
      locks.on('acquired', () => {
        order.push(peer);
      });
    }
    const all = [0, 1].flatMap((peer) => Array.from({ length: 7 }, () => world.acquire(peer, 'k')));
    for (let step = 0; step < 100 && world.with('released').length < 14; step++) {
      for (const attempt of world.held()) void world.release(attempt);
      await world.clock.advance(5);
      await world.check();
    }
    expect(all.every(({ fate }) => fate === 'released')).toBe(true);
    expect(order.join('')).toBe('00011100011101');
    await world.end();
  });

  it('ends with half the lease', async () => {
    const { clock, locks, calls } = alone({ leaseMs: 1_000 });
    const first = await locks.acquire('k', { maxHoldMs: 1e6 });
    const rest = [locks.acquire('k'), locks.acquire('k')];
    await clock.advance(499);
    await first.release();
    const second = await (rest[0] as Promise<LeasedLock>);
    expect(Math.floor(second.token / 128)).toBe(Math.floor(first.token / 128));
    await clock.advance(1);
    await second.release();
    await clock.advance(1);
    const third = await (rest[1] as Promise<LeasedLock>);
    expect(Math.floor(third.token / 128)).toBeGreaterThan(Math.floor(first.token / 128));
    expect(calls.filter(({ method }) => method === 'release')).toHaveLength(1);
    await third.release();
  });

  it('ends when a renewal says that others wait', async () => {
    const { clock, locks, calls } = alone({ leaseMs: 1_000 }, (driver: LeaseDriver) => ({
      ...driver,
      name: 'asked for',
      modes: driver.modes,
      acquire: (...call) => driver.acquire(...call),
      release: (...call) => driver.release(...call),
      renew: async (...call) => ((await driver.renew(...call)) ? { contended: true } : false),
    }));
    const first = await locks.acquire('k');
    const second = locks.acquire('k');
    await clock.advance(400);
    await first.release();
    await clock.advance(600);
    expect(calls.map(({ method }) => method)).toEqual(['acquire', 'renew', 'release', 'acquire']);
    await (await second).release();
  });

  it('lets shared ones in together under one token, as long as nobody elsewhere waits for them to go', async () => {
    const { clock, locks, store, calls } = alone({ leaseMs: 900 });
    const shared = { mode: 'shared', maxHoldMs: 1e6 } as const;
    const [a, b] = await Promise.all([locks.acquire('k', shared), locks.acquire('k', shared)]);
    await clock.advance(5_000);
    const c = await locks.acquire('k', shared);
    expect([b.token, c.token]).toEqual([a.token, a.token]);
    const writer = () =>
      store.acquire('k', 'writer', 1_000, { mode: 'exclusive', signal: new AbortController().signal });
    expect(await writer()).toMatchObject({ busy: true, queued: true });
    // It is the next renewal that tells.
    await clock.advance(300);
    expect(await locks.tryAcquire('k', shared)).toBeUndefined();
    const later = locks.acquire('k', shared);
    for (const lock of [a, b, c]) expect(await lock.release()).toBe(true);
    const { token } = (await writer()) as { token: number };
    expect(token).toBeGreaterThan(Math.floor(a.token / 128));
    await clock.advance(10);
    expect(await store.release('k', 'writer', token)).toBe(true);
    await clock.advance(10);
    expect((await later).token).toBeGreaterThan(token * 128);
    expect(new Set(calls.map(({ holder }) => holder).filter(Boolean)).size).toBe(2);
    await (await later).release();
  });

  it('gives a new shared phase no token of one that was lost', async () => {
    const { clock, locks } = alone();
    const lost = await locks.acquire('k', { mode: 'shared', maxHoldMs: 50 });
    locks.acquire('k', { timeoutMs: 50 }).catch(() => undefined);
    const next = locks.acquire('k', { mode: 'shared' });
    // The one between goes in the very moment in which the first one is over.
    await clock.advance(60);
    expect(lost.held).toBe(false);
    expect((await next).token).toBeGreaterThan(lost.token);
    await (await next).release();
  });

  it('serves a shared waiter under an exclusive lease, and an exclusive one under no shared lease', async () => {
    const { clock, locks, calls } = alone();
    const first = await locks.acquire('k');
    const shared = [locks.acquire('k', { mode: 'shared' }), locks.acquire('k', { mode: 'shared' })];
    const last = locks.acquire('k');
    await first.release();
    const [a, b] = (await Promise.all(shared)) as [LeasedLock, LeasedLock];
    expect(a.token).toBe(first.token + 1);
    expect(b.token).toBe(a.token);
    await Promise.all([a.release(), b.release()]);
    expect((await last).token).toBe(a.token + 1);
    await (await last).release();
    expect(calls.map(({ method }) => method)).toEqual(['acquire', 'release']);
    const reader = await locks.acquire('k', { mode: 'shared' });
    const writer = locks.acquire('k');
    await reader.release();
    await clock.advance(10);
    expect((await writer).token).toBeGreaterThan(reader.token + 127);
    await (await writer).release();
  });
});
