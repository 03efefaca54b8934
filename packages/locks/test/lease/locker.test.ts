import { type LeaseDriver, leaseLocker, memoryLeases } from '@chunks/locks/lease';
import { type LockerBench, lockerContract, VirtualClock } from '@chunks/locks/testing';
import { describe, expect, it, test } from 'vitest';
import { alone, bare, takeElsewhere } from '../lease-model.ts';

const bench = (alter: (driver: LeaseDriver) => LeaseDriver): LockerBench => {
  const clock = new VirtualClock();
  const driver = alter(memoryLeases({ clock }));
  return { open: (options) => leaseLocker(driver, { ...options, clock }), pass: (ms) => clock.advance(ms) };
};

const slow = async <T>(answer: Promise<T>): Promise<T> => {
  for (let turn = 0; turn < 5; turn++) await null;
  return answer;
};

const late = (driver: LeaseDriver): LeaseDriver => ({
  name: 'late',
  modes: driver.modes,
  acquire: (...call) => slow(driver.acquire(...call)),
  renew: (...call) => slow(driver.renew(...call)),
  release: (...call) => slow(driver.release(...call)),
  inspect: async (key) => driver.inspect?.(key),
  watch: (...call) => slow(driver.watch?.(...call) as Promise<() => void>),
});

describe.each([
  ['in memory', (driver: LeaseDriver) => driver, true],
  ['on a driver that takes its time', late, true],
  ['on a driver that does no more than it must', bare, true],
])('a lease locker %s is a locker', (_, alter, shared) => {
  for (const { name, run } of lockerContract(() => bench(alter), { shared })) test(name, run);
});

describe('run', () => {
  it('gives what the task gives though the release failed, which on(lost) tells', async () => {
    for (const keys of ['k', ['a', 'b']]) {
      const { clock, locks, peer } = alone();
      const lost: unknown[] = [];
      locks.on('lost', ({ cause }) => lost.push(cause));
      const task = (): number => {
        peer.fault = () => 'unreachable';
        return 7;
      };
      const end = typeof keys === 'string' ? locks.run(keys, task) : locks.runAll(keys, task);
      await clock.advance(0);
      expect(await end).toBe(7);
      expect(lost.length).toBe(keys.length);
      for (const cause of lost) expect(cause).toMatchObject({ code: 'LOCK_UNAVAILABLE' });
    }
  });

  it('never masks the task’s error by that of the release', async () => {
    const { locks, peer } = alone();
    const fault = new Error('the task’s own');
    const task = (): never => {
      peer.fault = () => 'unreachable';
      throw fault;
    };
    await expect(locks.run('k', task)).rejects.toBe(fault);
    peer.fault = () => undefined;
    await expect(locks.runAll(['a', 'b'], task)).rejects.toBe(fault);
  });

  it('never runs its task where the store does not answer', async () => {
    const { locks, peer } = alone();
    peer.fault = () => 'unreachable';
    let runs = 0;
    await expect(locks.run('k', () => runs++)).rejects.toMatchObject({ code: 'LOCK_UNAVAILABLE' });
    await expect(locks.runAll(['k', 'l'], () => runs++)).rejects.toMatchObject({ code: 'LOCK_UNAVAILABLE' });
    expect(runs).toBe(0);
  });
});

describe('a mode that the store has not', () => {
  it('is refused before anything is asked', async () => {
    const { locks, calls } = alone({}, (driver) => ({ ...bare(driver), modes: ['exclusive'] }));
    const shared = { mode: 'shared' } as const;
    for (const refused of [
      locks.acquire('k', shared),
      locks.tryAcquire('k', shared),
      locks.run('k', () => 1, shared),
      locks.acquireAll(['k', 'l'], shared),
    ]) {
      await expect(refused).rejects.toMatchObject({ code: 'LOCK_MODE_UNSUPPORTED', key: 'k', retryable: false });
    }
    expect(calls).toEqual([]);
  });
});

describe('isLocked', () => {
  it('asks the store, unless the key is held here', async () => {
    const { clock, locks, store, peer } = alone();
    expect(await locks.isLocked('k')).toBe(false);
    const token = await takeElsewhere(store, 'k');
    expect(await locks.isLocked('k')).toBe(true);
    await store.release('k', 'somebody else', token);
    const lock = await locks.acquire('k');
    const asked = peer.count('inspect');
    expect(await locks.isLocked('k')).toBe(true);
    expect(peer.count('inspect')).toBe(asked);
    // A release on its way is waited for.
    peer.fault = ({ method }) => (method === 'release' ? { requestMs: 20 } : undefined);
    const released = lock.release();
    const answer = locks.isLocked('k');
    await clock.advance(20);
    expect(await answer).toBe(false);
    expect(await released).toBe(true);
  });

  it('knows of this process alone where the driver cannot tell', async () => {
    const { locks, store } = alone({}, (driver) => {
      const { inspect, ...blind } = bare(driver);
      return blind;
    });
    await takeElsewhere(store, 'k');
    expect(await locks.isLocked('k')).toBe(false);
    await locks.acquire('l');
    expect(await locks.isLocked('l')).toBe(true);
  });
});

describe('acquireAll', () => {
  it('keeps its members alive while it waits, and counts their hold from when it is complete', async () => {
    const { clock, locks, store } = alone({ leaseMs: 100 });
    const token = await takeElsewhere(store, 'b');
    const waiting = locks.acquireAll(['c', 'b', 'a'], { maxHoldMs: 150 });
    await clock.advance(5_000);
    expect(await store.inspect?.('a')).toBeDefined();
    expect(await store.inspect?.('c')).toBeUndefined();
    await store.release('b', 'somebody else', token);
    const group = await waiting;
    const startMs = clock.now();
    await clock.advance(149);
    expect(group.held).toBe(true);
    expect(Math.max(...group.locks.map(({ expiresAtMs }) => expiresAtMs))).toBe(startMs + 150);
    await clock.advance(1);
    expect([group.held, group.signal.aborted]).toEqual([false, true]);
  });

  it('rejects at once when a member is lost while it waits, and gives the others back', async () => {
    const { clock, locks, store } = alone({ leaseMs: 900 });
    await takeElsewhere(store, 'c');
    const end = locks.acquireAll(['a', 'b', 'c']).catch((error) => error);
    await clock.advance(10);
    const { holder = '' } = (await store.inspect?.('a')) ?? {};
    await store.release('a', holder, Math.floor((locks.snapshot().held[0]?.token ?? 0) / 128));
    await clock.advance(300);
    expect(await end).toMatchObject({ code: 'LOCK_LOST', key: 'a' });
    await clock.advance(0);
    expect(locks.snapshot()).toEqual({ held: [], waiting: [] });
    for (const key of ['a', 'b']) expect(await store.inspect?.(key)).toBeUndefined();
  });

  it('releases the others when one is lost, and its signal aborts while that key is still closed', async () => {
    const { clock, locks, store } = alone({ leaseMs: 900 });
    const group = await locks.acquireAll(['a', 'b', 'c'], { maxHoldMs: 1e6 });
    const log: string[] = [];
    group.signal.addEventListener('abort', () => log.push(`lost ${group.signal.reason.key}`));
    locks.on('acquired', ({ key }) => log.push(`handed on ${key}`));
    const next = ['a', 'b', 'c'].map((key) => locks.acquire(key));
    await clock.advance(10);
    const { holder = '' } = (await store.inspect?.('b')) ?? {};
    await store.release('b', holder, Math.floor((group.get('b')?.token ?? 0) / 128));
    await clock.advance(300);
    await Promise.all(next);
    expect(log[0]).toBe('lost b');
    expect(log.slice(1).sort()).toEqual(['handed on a', 'handed on b', 'handed on c']);
    expect(await group.release()).toBe(false);
  });

  it('tells of a release that the store did not answer, after trying all of them', async () => {
    const { locks, peer, store } = alone();
    const group = await locks.acquireAll(['a', 'b', 'c']);
    peer.fault = ({ key }) => (key === 'a' ? 'unreachable' : undefined);
    await expect(group.release()).rejects.toMatchObject({ code: 'LOCK_UNAVAILABLE', key: 'a' });
    for (const key of ['b', 'c']) expect(await store.inspect?.(key)).toBeUndefined();
    const again = await locks.acquireAll(['b', 'c']);
    peer.fault = () => 'unreachable';
    await again[Symbol.asyncDispose]();
    expect(again.held).toBe(false);
  });

  it('times out on time, however long the store takes to free what it had', async () => {
    const { clock, locks, peer, store } = alone();
    await takeElsewhere(store, 'b');
    const end = locks.acquireAll(['a', 'b'], { timeoutMs: 50 }).catch((error) => error);
    await clock.advance(10);
    peer.fault = () => ({ requestMs: 1_000 });
    await clock.advance(40);
    expect(await end).toMatchObject({ code: 'LOCK_TIMEOUT', key: 'b', waitedMs: 50 });
    await clock.advance(1_000);
    expect(await store.inspect?.('a')).toBeUndefined();
  });
});
