import { VirtualClock } from '@chunks/base/testing';
import { KeyedMutex, type LocalLock, LockLostError } from '@chunks/locks';
import { describe, expect, it } from 'vitest';

describe('a held lock', () => {
  it('tells what it is', async () => {
    const clock = new VirtualClock(5_000);
    const locks = new KeyedMutex({ clock, leaseMs: 100 });
    const lock = await locks.acquire('k', { owner: 'upload 7', mode: 'shared', maxHoldMs: 250 });
    expect(lock).toMatchObject({
      key: 'k',
      mode: 'shared',
      owner: 'upload 7',
      acquiredAtMs: 5_000,
      waitedMs: 0,
      expiresAtMs: 5_250,
      held: true,
    });
    expect(lock.token).toBeGreaterThanOrEqual(5_000_000);
  });

  it('opens its own door once, and nobody else’s ever', async () => {
    const clock = new VirtualClock();
    const locks = new KeyedMutex({ clock });
    const first = await locks.acquire('k', { leaseMs: 10 });
    expect(first.release()).toBe(true);
    expect(first.release()).toBe(false);
    const second = await locks.acquire('k', { leaseMs: 10 });
    expect(first.release()).toBe(false);
    expect(locks.isLocked('k')).toBe(true);
    await clock.advance(10);
    const third = await locks.acquire('k');
    expect(second.release()).toBe(false);
    expect(third.held).toBe(true);
    expect(locks.tryAcquire('k')).toBeUndefined();
  });

  it('aborts its signal before the next one gets the key, with a higher token', async () => {
    const clock = new VirtualClock();
    const locks = new KeyedMutex({ clock });
    const log: string[] = [];
    const old = await locks.acquire('k', { leaseMs: 10, owner: 'old' });
    old.signal.addEventListener('abort', () => log.push(`aborted, locked: ${locks.tryAcquire('k') === undefined}`));
    locks.on('acquired', ({ owner }) => log.push(`acquired by ${owner}`));
    const next = locks.acquire('k', { owner: 'next' });
    await clock.advance(10);
    expect(log).toEqual(['aborted, locked: true', 'acquired by next']);
    expect(old.signal.reason).toBeInstanceOf(LockLostError);
    expect((await next).token).toBeGreaterThan(old.token);
    expect(old.held).toBe(false);
    expect(() => old.assertHeld()).toThrow(LockLostError);
    expect(() => old.extend()).toThrow(LockLostError);
  });

  it('says the truth in the first tick after the event loop was blocked', () => {
    for (const ask of [
      (lock: LocalLock) => lock.held,
      (lock: LocalLock) => !lock.signal.aborted,
      (lock: LocalLock) => lock.release(),
    ]) {
      const clock = new VirtualClock();
      const locks = new KeyedMutex({ clock });
      const lock = locks.tryAcquire('k', { leaseMs: 10 }) as LocalLock;
      clock.jump(9);
      expect(lock.held).toBe(true);
      clock.jump(1);
      expect(ask(lock)).toBe(false);
    }
  });

  it('is never handed on early by a jump, and to the head of the queue by the first call after one', async () => {
    const clock = new VirtualClock();
    const locks = new KeyedMutex({ clock });
    locks.tryAcquire('k', { leaseMs: 10 });
    const next = locks.acquire('k');
    clock.jump(9);
    expect(locks.tryAcquire('k')).toBeUndefined();
    expect(locks.stats()).toMatchObject({ waiting: 1, expired: 0 });
    clock.jump(1);
    expect(locks.tryAcquire('k')).toBeUndefined();
    expect(locks.stats()).toMatchObject({ waiting: 0, expired: 1, lost: 1 });
    expect((await next).held).toBe(true);
  });

  it('lives on when extended, and an extension never shortens it', async () => {
    const clock = new VirtualClock();
    const locks = new KeyedMutex({ clock });
    const lock = await locks.acquire('k', { leaseMs: 100 });
    lock.extend(50);
    expect(lock.expiresAtMs).toBe(clock.now() + 100);
    await clock.advance(99);
    lock.extend();
    await clock.advance(99);
    expect(lock.held).toBe(true);
    await clock.advance(1);
    expect(lock.held).toBe(false);
    expect(locks.isLocked('k')).toBe(false);
    expect(() => lock.extend(0)).toThrow(RangeError);
  });

  it('is only told about with onExpired: report, each lease once, and stays ours', async () => {
    const clock = new VirtualClock();
    const locks = new KeyedMutex({ clock, onExpired: 'report' });
    const told: number[] = [];
    locks.on('expired', ({ heldMs }) => told.push(heldMs));
    const lock = await locks.acquire('k', { leaseMs: 10 });
    const { signal } = lock;
    let granted = false;
    const next = locks.acquire('k').then((other) => {
      granted = true;
      return other;
    });
    await clock.advance(50);
    expect({ held: lock.held, aborted: signal.aborted, granted, told }).toEqual({
      held: true,
      aborted: false,
      granted: false,
      told: [10],
    });
    lock.extend(10);
    await clock.advance(50);
    expect(told).toEqual([10, 60]);
    expect(locks.stats()).toMatchObject({ expired: 2, lost: 0 });
    expect(lock.release()).toBe(true);
    expect((await next).held).toBe(true);
  });

  it('with an endless lease sets no timer', async () => {
    const clock = new VirtualClock();
    const locks = new KeyedMutex({ clock, leaseMs: Number.POSITIVE_INFINITY });
    const lock = await locks.acquire('k');
    expect(clock.pending).toBe(0);
    await clock.advance(1e12);
    expect(lock.held).toBe(true);
  });

  it('is released by disposal, which never throws', async () => {
    const clock = new VirtualClock();
    const locks = new KeyedMutex({ clock, leaseMs: 10 });
    const lock = await locks.acquire('k');
    lock[Symbol.dispose]();
    expect(lock.held).toBe(false);
    await lock[Symbol.asyncDispose]();
    const other = await locks.acquire('k');
    await clock.advance(10);
    await other[Symbol.asyncDispose]();
    expect(locks.stats()).toMatchObject({ released: 1, lost: 1 });
  });
});
