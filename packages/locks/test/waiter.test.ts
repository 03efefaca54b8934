import { settle, VirtualClock } from '@chunks/base/testing';
import { KeyedMutex, type LocalLock } from '@chunks/locks';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

/** A signal that knows how many listen to it. */
function countedSignal(): { controller: AbortController; signal: AbortSignal; listeners: () => number } {
  const controller = new AbortController();
  const { signal } = controller;
  const listening = new Set<unknown>();
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listening.add(args[1]);
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    listening.delete(args[1]);
    removeEventListener.apply(signal, args);
  };
  return { controller, signal, listeners: () => listening.size };
}

describe('a waiter', () => {
  it('takes its abort listener along, however its wait ends', async () => {
    const clock = new VirtualClock();
    const locks = new KeyedMutex({ clock });
    const { controller, signal, listeners } = countedSignal();
    const holder = await locks.acquire('k');
    const ends: unknown[] = [];
    const end = (error: { code?: string }): void => void ends.push(error.code ?? error);
    const granted = locks.acquire('k', { signal });
    locks.acquire('k', { signal, timeoutMs: 5 }).catch(end);
    expect(listeners()).toBe(2);
    await clock.advance(5);
    expect(listeners()).toBe(1);
    holder.release();
    expect(listeners()).toBe(0);
    await granted;
    const own = countedSignal();
    locks.acquire('k', { signal: own.signal }).catch(end);
    locks.acquire('k', { signal }).catch(end);
    own.controller.abort('not now');
    expect(own.listeners()).toBe(0);
    expect(listeners()).toBe(1);
    void locks.close();
    expect(listeners()).toBe(0);
    await settle();
    expect(ends).toEqual(['LOCK_TIMEOUT', 'not now', 'LOCK_CLOSED']);
    controller.abort();
  });

  it('keeps a lock that was granted in the very tick of its abort, and loses none that was aborted first', async () => {
    for (const abortFirst of [true, false]) {
      const locks = new KeyedMutex({ clock: new VirtualClock() });
      const controller = new AbortController();
      const holder = await locks.acquire('k');
      const first = locks.acquire('k', { signal: controller.signal });
      const second = locks.acquire('k');
      if (abortFirst) controller.abort('gone');
      holder.release();
      if (!abortFirst) controller.abort('too late');
      if (abortFirst) await expect(first).rejects.toBe('gone');
      else (await first).release();
      (await second).release();
      expect(locks.snapshot()).toEqual({ held: [], waiting: [] });
    }
  });

  it('is not let in by an abort that is about to end its own wait as well', async () => {
    const locks = new KeyedMutex({ clock: new VirtualClock() });
    const { controller, signal, listeners } = countedSignal();
    const holder = await locks.acquire('k', { mode: 'shared' });
    // When the exclusive one leaves, the shared one behind it could join: but the same abort ends both.
    const ends = [locks.acquire('k', { signal }), locks.acquire('k', { mode: 'shared', signal })];
    controller.abort('both');
    for (const end of ends) await expect(end).rejects.toBe('both');
    expect(locks.stats()).toMatchObject({ activeLocks: 1, waiting: 0, aborted: 2, acquired: 1 });
    expect(listeners()).toBe(0);
    holder.release();
  });

  it('never waits for a signal that has aborted already', async () => {
    const locks = new KeyedMutex({ clock: new VirtualClock() });
    const signal = AbortSignal.abort('before');
    await expect(locks.acquire('k', { signal })).rejects.toBe('before');
    expect(() => locks.tryAcquire('k', { signal })).toThrow('before');
    await expect(locks.acquireAll(['k', 'l'], { signal })).rejects.toBe('before');
    expect(locks.isLocked('k')).toBe(false);
  });

  it('never runs its section once it has given up, in any order of events', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.integer({ min: 2, max: 6 }), async (s, count) => {
        const clock = new VirtualClock();
        const locks = new KeyedMutex({ clock });
        let inside = 0;
        const ran: number[] = [];
        const gaveUp: number[] = [];
        const tasks = Array.from({ length: count }, async (_, i) => {
          const controller = new AbortController();
          s.schedule(Promise.resolve(), `abort ${i}`).then(() => controller.abort());
          await s.schedule(Promise.resolve(), `start ${i}`);
          try {
            await locks.run(
              'k',
              async () => {
                expect(++inside).toBe(1);
                ran.push(i);
                await s.schedule(Promise.resolve(), `work ${i}`);
                inside--;
              },
              { signal: controller.signal },
            );
          } catch {
            gaveUp.push(i);
          }
        });
        await s.waitFor(Promise.all(tasks));
        expect([...ran, ...gaveUp].sort()).toEqual(Array.from({ length: count }, (_, i) => i));
        expect(locks.isLocked('k')).toBe(false);
      }),
      { numRuns: 200 },
    );
  });

  it('settles once when grant, abort and timeout meet in one tick, whatever comes first', async () => {
    const act = fc.shuffledSubarray(['release', 'abort', 'timer', 'close'] as const, { minLength: 2 });
    await fc.assert(
      fc.asyncProperty(act, async (acts) => {
        const clock = new VirtualClock();
        const locks = new KeyedMutex({ clock });
        const controller = new AbortController();
        const holder = locks.tryAcquire('k', { leaseMs: 1000 }) as LocalLock;
        const ends: unknown[] = [];
        const wait = locks.acquire('k', { timeoutMs: 10, signal: controller.signal });
        wait.then(
          (lock) => ends.push(lock),
          (error) => ends.push(error),
        );
        for (const one of acts) {
          if (one === 'release') holder.release();
          if (one === 'abort') controller.abort();
          if (one === 'timer') clock.jump(10);
          if (one === 'close') void locks.close();
        }
        await clock.advance(0);
        // A release that comes first hands on; after anything else there is nobody left to hand on to.
        const granted = acts[0] === 'release' ? 1 : 0;
        expect(ends).toHaveLength(1);
        expect(locks.stats().acquired).toBe(1 + granted);
        expect(locks.stats().activeLocks).toBe(granted + (acts.includes('release') ? 0 : 1));
      }),
    );
  });
});
