import { VirtualClock } from '@chunks/base/testing';
import { KeyedMutex } from '@chunks/locks';
import { describe, expect, it } from 'vitest';

const start = (random: () => number): { clock: VirtualClock; locks: KeyedMutex; timeouts: number[] } => {
  const clock = new VirtualClock(0);
  const locks = new KeyedMutex({ clock, random });
  const timeouts: number[] = [];
  locks.on('timeout', ({ atMs }) => timeouts.push(atMs));
  return { clock, locks, timeouts };
};

describe('retry', () => {
  it('waits random × a bound that doubles from baseMs to maxMs, and gives up after the last attempt', async () => {
    const { clock, locks, timeouts } = start(() => 0.5);
    locks.tryAcquire('k', { leaseMs: 1e9 });
    const end = locks
      .acquire('k', { timeoutMs: 10, retry: { attempts: 5, baseMs: 100, maxMs: 300 } })
      .catch(({ code }) => code);
    await clock.advance(2_000);
    // 10 ms of waiting each, and between them half of 100, 200, 300, 300.
    expect(timeouts).toEqual([10, 70, 180, 340, 500]);
    expect(await end).toBe('LOCK_TIMEOUT');
    expect(locks.stats()).toMatchObject({ timedOut: 5, waiting: 0 });
  });

  it('queues again at the tail', async () => {
    const { clock, locks } = start(() => 0);
    const order: string[] = [];
    const holder = locks.tryAcquire('k');
    const all = [
      locks.run('k', () => order.push('patient'), { timeoutMs: 5, retry: { attempts: 2 } }),
      locks.run('k', () => order.push('second')),
    ];
    await clock.advance(6);
    holder?.release();
    await Promise.all(all);
    expect(order).toEqual(['second', 'patient']);
  });

  it('retries nothing but a timeout', async () => {
    const { locks } = start(() => 0);
    locks.tryAcquire('k');
    const controller = new AbortController();
    const retry = { attempts: 100 };
    const aborted = locks.acquire('k', { timeoutMs: 5, retry, signal: controller.signal });
    controller.abort('enough');
    await expect(aborted).rejects.toBe('enough');
    const closed = locks.acquire('k', { timeoutMs: 5, retry });
    void locks.close();
    await expect(closed).rejects.toMatchObject({ code: 'LOCK_CLOSED' });
    expect(locks.stats()).toMatchObject({ timedOut: 0 });
  });

  it('can be aborted and closed while it pauses, on one timer with everything else', async () => {
    const { clock, locks } = start(() => 0.999);
    locks.tryAcquire('k', { leaseMs: 1e9 });
    const controller = new AbortController();
    const options = { timeoutMs: 5, retry: { attempts: 2, baseMs: 1_000 } };
    const ends = [locks.acquire('k', { ...options, signal: controller.signal }), locks.acquireAll(['a', 'k'], options)];
    const codes = Promise.all(ends.map((end: Promise<unknown>) => end.catch((error) => error.code ?? error)));
    await clock.advance(500);
    expect(clock.pending).toBe(1);
    expect(locks.isLocked('a')).toBe(false);
    controller.abort('enough');
    void locks.close();
    await clock.advance(0);
    expect(await codes).toEqual(['enough', 'LOCK_CLOSED']);
  });

  it('starts a group over as a whole', async () => {
    const { clock, locks } = start(() => 0);
    const holder = locks.tryAcquire('b', { leaseMs: 1e9 });
    const group = locks.acquireAll(['a', 'b'], { timeoutMs: 10, retry: { attempts: 3 } });
    await clock.advance(15);
    holder?.release();
    await clock.advance(0);
    expect((await group).held).toBe(true);
    expect(locks.stats().timedOut).toBe(1);
  });
});
