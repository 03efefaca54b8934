import { settle } from '@chunks/base/testing';
import { type LeasedLock, LockLostError } from '@chunks/locks';
import { describe, expect, it } from 'vitest';
import { alone, LeaseWorld, takeElsewhere } from '../lease-model.ts';

describe('a leased lock', () => {
  it('tells what it is', async () => {
    const { clock, locks, store } = alone({ leaseMs: 1_000 });
    const startMs = clock.now();
    const elsewhere = await takeElsewhere(store, 'k');
    const waiting = locks.acquire('k', { owner: 'upload 7', mode: 'shared' });
    await clock.advance(500);
    await store.release('k', 'somebody else', elsewhere);
    const lock = await waiting;
    expect(lock).toMatchObject({
      key: 'k',
      mode: 'shared',
      owner: 'upload 7',
      acquiredAtMs: startMs + 500,
      waitedMs: 500,
      // The lease, less 2 ms and 1 % for what clocks and messages may do.
      expiresAtMs: startMs + 500 + 1_000 - 12,
      held: true,
    });
    expect(lock.token % 128).toBe(0);
    expect(Math.floor(lock.token / 128)).toBeGreaterThan(elsewhere);
    lock.assertHeld();
    expect(await lock.release()).toBe(true);
  });

  it('counts its lease from when it was asked for, not from when the answer came', async () => {
    const { clock, locks, peer } = alone({ leaseMs: 1_000 });
    const startMs = clock.now();
    peer.fault = () => ({ requestMs: 0, replyMs: 200 });
    const waiting = locks.acquire('k');
    await clock.advance(200);
    expect((await waiting).expiresAtMs).toBe(startMs + 1_000 - 12);
  });

  it('opens its own door once, and nobody else’s ever', async () => {
    const world = new LeaseWorld(2, { leaseMs: 100 });
    const [here, there] = world.processes.map(({ locks }) => locks);
    const first = (await here?.acquire('k', { owner: '0', maxHoldMs: 100 })) as LeasedLock;
    expect(await first.release()).toBe(true);
    expect(await first.release()).toBe(false);
    const second = (await here?.acquire('k', { maxHoldMs: 100 })) as LeasedLock;
    await world.clock.advance(100);
    const third = (await there?.acquire('k')) as LeasedLock;
    expect(await first.release()).toBe(false);
    expect(await second.release()).toBe(false);
    expect(third.held).toBe(true);
    expect(await here?.tryAcquire('k')).toBeUndefined();
    // Not even while the first release is on its way.
    const both = [third.release(), third.release()];
    expect(await Promise.all(both)).toEqual([true, false]);
  });

  it('says the truth in the first tick after the event loop was blocked, and does not revive', async () => {
    for (const ask of [
      async (lock: LeasedLock) => lock.held,
      async (lock: LeasedLock) => !lock.signal.aborted,
      (lock: LeasedLock) => lock.release(),
      (lock: LeasedLock) =>
        lock.extend().then(
          () => true,
          ({ code }) => code !== 'LOCK_LOST',
        ),
      async (lock: LeasedLock) => {
        try {
          lock.assertHeld();
          return true;
        } catch (error) {
          return !(error instanceof LockLostError);
        }
      },
    ]) {
      const { clock, locks } = alone({ leaseMs: 100 });
      const lock = await locks.acquire('k');
      clock.jump(96);
      expect(lock.held).toBe(true);
      clock.jump(1);
      expect(await ask(lock)).toBe(false);
      // The renewal that was due long ago must not bring it back.
      await clock.advance(1_000);
      expect(lock.held).toBe(false);
      expect(locks.stats()).toMatchObject({ activeLocks: 0, lost: 1, expired: 1 });
    }
  });

  it('does not revive by a renewal whose answer was waiting when the event loop was blocked', async () => {
    const { clock, locks, peer, store } = alone({ leaseMs: 900 });
    const lock = await locks.acquire('k');
    peer.fault = ({ method }) => (method === 'renew' ? { replyMs: 20 } : undefined);
    await clock.advance(310);
    peer.clock.stop();
    // The store has renewed it, and its answer is there; only nobody has heard it.
    await clock.advance(700);
    expect(await store.inspect?.('k')).toBeDefined();
    expect(lock.held).toBe(false);
    peer.clock.goOn();
    await settle();
    expect(lock.held).toBe(false);
    expect(lock.signal.aborted).toBe(true);
    await clock.advance(100);
    // What nobody holds here is not left to block the others.
    expect(await store.inspect?.('k')).toBeUndefined();
  });

  it('does not revive when that answer comes before the timers, all of which are late', async () => {
    const { clock, locks, peer } = alone({ leaseMs: 900 });
    const lock = await locks.acquire('k');
    peer.fault = ({ method }) => (method === 'renew' ? { replyMs: 20 } : undefined);
    await clock.advance(310);
    clock.jump(700);
    expect(lock.held).toBe(false);
    await clock.advance(0);
    expect([lock.held, lock.signal.aborted]).toEqual([false, true]);
  });

  it('aborts its signal before anybody else in any process gets the key, with a higher token', async () => {
    const world = new LeaseWorld(2, { leaseMs: 100 });
    const [here, there] = world.processes as [LeaseWorld['processes'][0], LeaseWorld['processes'][0]];
    const log: string[] = [];
    const old = await here.locks.acquire('k');
    old.signal.addEventListener('abort', () => log.push('aborted'));
    here.fault = () => 'unreachable';
    const next = there.locks.acquire('k').then((lock) => {
      log.push('granted');
      return lock;
    });
    await world.clock.advance(300);
    expect(log).toEqual(['aborted', 'granted']);
    expect((await next).token).toBeGreaterThan(old.token);
    expect(old.signal.reason).toMatchObject({ code: 'LOCK_LOST', key: 'k', cause: expect.any(Error) });
    expect(() => old.assertHeld()).toThrow(LockLostError);
    await expect(old.extend()).rejects.toMatchObject({ code: 'LOCK_LOST' });
    expect(await old.release()).toBe(false);
  });

  it('is released by disposal, which never throws', async () => {
    const { clock, locks, peer } = alone({ leaseMs: 100 });
    const lost: unknown[] = [];
    locks.on('lost', ({ cause }) => lost.push(cause));
    {
      await using lock = await locks.acquire('k');
      expect(lock.held).toBe(true);
    }
    expect(await locks.isLocked('k')).toBe(false);
    const unreachable = await locks.acquire('k');
    peer.fault = () => 'unreachable';
    await unreachable[Symbol.asyncDispose]();
    expect(unreachable.held).toBe(false);
    expect(lost).toEqual([expect.objectContaining({ code: 'LOCK_UNAVAILABLE' })]);
    peer.fault = () => undefined;
    await clock.advance(100);
    const over = await locks.acquire('k', { maxHoldMs: 10 });
    await clock.advance(10);
    await over[Symbol.asyncDispose]();
    expect(locks.stats()).toMatchObject({ released: 1, lost: 2 });
  });
});
