import { deferred } from '@chunks/base';
import { settle, VirtualClock } from '@chunks/base/testing';
import { type Clock, KeyedMutex, type Lock, type LockGroup } from '@chunks/locks';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JointLocks } from '../src/lock-group.ts';

const start = (): { clock: VirtualClock; locks: KeyedMutex } => {
  const clock = new VirtualClock();
  return { clock, locks: new KeyedMutex({ clock, leaseMs: 100 }) };
};

describe('acquireAll', () => {
  it('takes each key once, sorted by code units, and gives them all back', async () => {
    const { locks } = start();
    const group = await locks.acquireAll(new Set(['b', 'a', 'B', 'ä', '10', '9']));
    expect(group.locks.map(({ key }) => key)).toEqual(['10', '9', 'B', 'a', 'b', 'ä']);
    const twice = await locks.acquireAll(['z', 'y', 'z']);
    expect(twice.locks.map(({ key }) => key)).toEqual(['y', 'z']);
    expect(twice.get('y')?.held).toBe(true);
    expect(twice.get('x')).toBeUndefined();
    expect(twice.held).toBe(true);
    twice.assertHeld();
    expect(await twice.release()).toBe(true);
    expect(await twice.release()).toBe(false);
    expect(await group.release()).toBe(true);
    expect(locks.snapshot().held).toEqual([]);
  });

  it('takes all or none: what it had is free again when one key times out, is aborted, or the mutex closes', async () => {
    for (const end of ['timeout', 'abort', 'close']) {
      const { clock, locks } = start();
      const controller = new AbortController();
      const blocker = await locks.acquire('b', { leaseMs: 1e6 });
      const group = locks.acquireAll(['c', 'a', 'b'], { timeoutMs: 10, signal: controller.signal });
      group.catch(() => undefined);
      await settle();
      expect(locks.snapshot().held.map(({ key }) => key)).toEqual(['b', 'a']);
      if (end === 'timeout') await clock.advance(10);
      if (end === 'abort') controller.abort('enough');
      if (end === 'close') void locks.close();
      if (end === 'abort') await expect(group).rejects.toBe('enough');
      else await expect(group).rejects.toMatchObject({ code: `LOCK_${end === 'close' ? 'CLOSED' : 'TIMEOUT'}` });
      expect(locks.snapshot().held.map(({ key }) => key)).toEqual(['b']);
      blocker.release();
    }
  });

  it('of nothing is refused like any other when the mutex is closed or the signal has aborted', async () => {
    const { locks } = start();
    expect((await locks.acquireAll([])).held).toBe(true);
    await expect(locks.acquireAll([], { signal: AbortSignal.abort('gone') })).rejects.toBe('gone');
    await locks.close();
    await expect(locks.acquireAll([])).rejects.toMatchObject({ code: 'LOCK_CLOSED' });
    await expect(locks.runAll([], () => 1)).rejects.toMatchObject({ code: 'LOCK_CLOSED' });
    expect(locks.stats().rejected).toBe(2);
  });

  it('counts timeoutMs over the whole, however many keys have to be waited for', async () => {
    const { clock, locks } = start();
    const holders = ['a', 'b', 'c'].map((key) => locks.tryAcquire(key));
    const group = locks.acquireAll(['a', 'b', 'c'], { timeoutMs: 25 });
    const end = group.catch(({ code, key, waitedMs }) => ({ code, key, waitedMs }));
    for (const holder of holders.slice(0, 2)) {
      await clock.advance(10);
      holder?.release();
    }
    await clock.advance(5);
    expect(await end).toEqual({ code: 'LOCK_TIMEOUT', key: 'c', waitedMs: 25 });
    await expect(locks.acquireAll(['a', 'c'], { timeoutMs: 0 })).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
    expect(locks.snapshot().held.map(({ key }) => key)).toEqual(['c']);
  });

  it('loses no member while it waits, and counts every lease from the moment it is complete', async () => {
    const { clock, locks } = start();
    const blocker = await locks.acquire('b', { leaseMs: 1e6 });
    const waiting = locks.acquireAll(['a', 'b']);
    await clock.advance(5_000);
    expect(locks.isLocked('a')).toBe(true);
    blocker.release();
    const group = await waiting;
    expect(group.locks.map(({ expiresAtMs }) => expiresAtMs - clock.now())).toEqual([100, 100]);
    await clock.advance(99);
    expect(group.held).toBe(true);
    await group.extend();
    await clock.advance(99);
    expect(group.held).toBe(true);
    await clock.advance(1);
    expect(group.held).toBe(false);
    expect(await group.release()).toBe(false);
    await expect(group.extend()).rejects.toMatchObject({ code: 'LOCK_LOST' });
    expect(() => group.assertHeld()).toThrow(expect.objectContaining({ code: 'LOCK_LOST' }));
  });

  it('aborts its signal when one member is lost, before that key is handed on, and releases the others', async () => {
    const { clock, locks } = start();
    const group = await locks.acquireAll(['a', 'b', 'c']);
    group.get('a')?.extend(1_000);
    group.get('c')?.extend(1_000);
    const log: string[] = [];
    group.signal.addEventListener('abort', () => log.push(`lost ${group.signal.reason.key}`));
    locks.on('acquired', ({ key }) => log.push(`handed on ${key}`));
    const next = ['a', 'b', 'c'].map((key) => locks.acquire(key));
    await clock.advance(100);
    await Promise.all(next);
    expect(log[0]).toBe('lost b');
    expect(log.slice(1).sort()).toEqual(['handed on a', 'handed on b', 'handed on c']);
    await group[Symbol.asyncDispose]();
  });

  it('is lost from the start when a lease has ended before the group was complete', async () => {
    // A host so slow that a millisecond goes by between any two looks at the clock.
    const slow = new VirtualClock();
    let nowMs = slow.now();
    const clock: Clock = { now: () => nowMs++, after: (ms, late) => slow.after(ms, late), sleep: () => slow.sleep(0) };
    const group = await new KeyedMutex({ clock }).acquireAll(['a', 'b', 'c'], { leaseMs: 4 });
    expect(group.held).toBe(false);
    expect(group.signal.reason).toMatchObject({ code: 'LOCK_LOST' });
  });

  it('never ends in a deadlock, whatever groups meet', async () => {
    const key = fc.constantFrom('a', 'b', 'c', 'd');
    const mode = fc.constantFrom('exclusive' as const, 'shared' as const);
    const groups = fc.array(fc.record({ keys: fc.array(key, { maxLength: 4 }), mode }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(groups, fc.scheduler(), async (wanted, s) => {
        const locks = new KeyedMutex({ clock: new VirtualClock(), leaseMs: Number.POSITIVE_INFINITY });
        const inside = new Map<string, { exclusive: number; shared: number }>();
        const task = async (group: LockGroup, groupMode: 'exclusive' | 'shared'): Promise<void> => {
          for (const lock of group.locks) {
            const there = inside.get(lock.key) ?? { exclusive: 0, shared: 0 };
            there[groupMode]++;
            expect(there.exclusive === 0 || (there.exclusive === 1 && there.shared === 0)).toBe(true);
            inside.set(lock.key, there);
          }
          await s.schedule(Promise.resolve(), 'work');
          for (const lock of group.locks) (inside.get(lock.key) as { exclusive: number; shared: number })[groupMode]--;
        };
        const all = wanted.map(async ({ keys, mode: groupMode }) => {
          await s.schedule(Promise.resolve(), 'start');
          await locks.runAll(keys, (group) => task(group, groupMode), { mode: groupMode });
        });
        // A deadlock would leave the scheduler with nothing to run and this wait without an end.
        await s.waitFor(Promise.all(all));
        expect(locks.snapshot()).toEqual({ held: [], waiting: [] });
      }),
      { numRuns: 200 },
    );
  });
});

describe('a group’s release', () => {
  it('waits for the answer to each member, also where one of them fails', async () => {
    const { signal } = new AbortController();
    const answers = [deferred<boolean>(), deferred<boolean>()];
    const group = new JointLocks(answers.map(({ promise }) => ({ signal, release: () => promise }) as unknown as Lock));
    let end: unknown;
    void group.release().catch((reason) => {
      end = reason;
    });
    answers[0]?.reject('no answer');
    await settle();
    expect(end).toBeUndefined();
    answers[1]?.resolve(true);
    await settle();
    expect(end).toBe('no answer');
  });
});
