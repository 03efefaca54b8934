import { countListeners, settle } from '@chunks/base/testing';
import { describe, expect, it } from 'vitest';
import { alone, takeElsewhere } from '../lease-model.ts';

describe('a waiter for a lease', () => {
  it('takes its abort listener along, however its wait ends', async () => {
    const { clock, locks, store, peer } = alone();
    const controller = new AbortController();
    const { signal } = controller;
    const listeners = countListeners(signal);
    const ends: unknown[] = [];
    const end = (error: { code?: string }): void => void ends.push(error.code ?? error);
    // Uncontended; behind a holder here; behind one elsewhere.
    const first = await locks.acquire('k', { signal });
    expect(listeners()).toBe(0);
    const second = locks.acquire('k', { signal });
    locks.acquire('k', { signal, timeoutMs: 5 }).catch(end);
    expect(listeners()).toBe(2);
    await clock.advance(5);
    expect(listeners()).toBe(1);
    await first.release();
    await (await second).release();
    expect(listeners()).toBe(0);
    await takeElsewhere(store, 'busy');
    expect(await locks.tryAcquire('busy', { signal })).toBeUndefined();
    await expect(locks.acquire('busy', { signal, timeoutMs: 0 })).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
    expect(listeners()).toBe(0);
    peer.fault = () => 'unreachable';
    await expect(locks.acquire('down', { signal })).rejects.toMatchObject({ code: 'LOCK_UNAVAILABLE' });
    expect(listeners()).toBe(0);
    peer.fault = () => undefined;
    locks.acquire('busy', { signal }).catch(end);
    locks.acquireAll(['free', 'busy'], { signal }).catch(end);
    await settle();
    expect(listeners()).toBeGreaterThan(0);
    void locks.close();
    await settle();
    expect(listeners()).toBe(0);
    expect(ends).toEqual(['LOCK_TIMEOUT', 'LOCK_CLOSED', 'LOCK_CLOSED']);
    controller.abort();
  });

  it('keeps a lock that was granted in the very tick of its abort, and loses none that was aborted first', async () => {
    for (const abortFirst of [true, false]) {
      const { clock, locks, store } = alone();
      const controller = new AbortController();
      const holder = await locks.acquire('k');
      const first = locks.acquire('k', { signal: controller.signal });
      const second = locks.acquire('k');
      if (abortFirst) controller.abort('gone');
      const released = holder.release();
      if (!abortFirst) controller.abort('too late');
      if (abortFirst) await expect(first).rejects.toBe('gone');
      else await (await first).release();
      expect(await released).toBe(true);
      await (await second).release();
      await clock.advance(0);
      expect(locks.snapshot()).toEqual({ held: [], waiting: [] });
      expect(await store.inspect?.('k')).toBeUndefined();
    }
  });

  it('leaves no lease behind when it goes in the very tick in which the store answers', async () => {
    for (const turns of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) {
      const { clock, locks, store } = alone();
      const controller = new AbortController();
      const attempt = locks.acquire('k', { signal: controller.signal }).then(
        (lock) => lock.release(),
        (reason) => reason,
      );
      for (let turn = 0; turn < turns; turn++) await null;
      controller.abort('gone');
      expect([true, 'gone']).toContain(await attempt);
      await clock.advance(0);
      expect(locks.snapshot()).toEqual({ held: [], waiting: [] });
      expect(await store.inspect?.('k')).toBeUndefined();
    }
  });

  it('is not let in by an abort that is about to end its own wait as well', async () => {
    const { clock, locks } = alone();
    const controller = new AbortController();
    const { signal } = controller;
    const holder = await locks.acquire('k', { mode: 'shared' });
    const ends = [locks.acquire('k', { signal }), locks.acquire('k', { mode: 'shared', signal })];
    await settle();
    controller.abort('both');
    for (const end of ends) await expect(end).rejects.toBe('both');
    expect(locks.stats()).toMatchObject({ activeLocks: 1, waiting: 0, aborted: 2, acquired: 1 });
    await holder.release();
    await clock.advance(0);
    expect(locks.stats()).toMatchObject({ activeLocks: 0 });
  });
});
