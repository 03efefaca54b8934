import { settle, VirtualClock } from '@chunks/base/testing';
import { KeyedMutex } from '@chunks/locks';
import { describe, expect, it } from 'vitest';

const start = (): { clock: VirtualClock; locks: KeyedMutex } => {
  const clock = new VirtualClock();
  return { clock, locks: new KeyedMutex({ clock, leaseMs: 100 }) };
};

describe('run', () => {
  it('gives what the task gives and releases, however the task ends', async () => {
    const { locks } = start();
    const fault = new Error('the task’s own');
    expect(await locks.run('k', () => 1)).toBe(1);
    expect(await locks.run('k', async (lock) => lock.held)).toBe(true);
    await expect(locks.run('k', () => Promise.reject(fault))).rejects.toBe(fault);
    await expect(
      locks.run('k', () => {
        throw fault;
      }),
    ).rejects.toBe(fault);
    await expect(locks.run('k', () => Promise.reject(undefined))).rejects.toBe(undefined);
    expect(await locks.runAll(['a', 'k'], (group) => group.locks.length)).toBe(2);
    await expect(locks.runAll(['a', 'k'], () => Promise.reject(fault))).rejects.toBe(fault);
    expect(locks.snapshot().held).toEqual([]);
  });

  it('holds for ten leases, or for maxHoldMs', async () => {
    for (const [options, holdMs] of [[undefined, 1_000] as const, [{ maxHoldMs: 300 }, 300] as const]) {
      const { clock, locks } = start();
      const held: boolean[] = [];
      const done = locks.run(
        'k',
        async (lock) => {
          await clock.sleep(holdMs - 1);
          held.push(lock.held);
          await clock.sleep(1);
          held.push(lock.held);
        },
        options,
      );
      done.catch(() => undefined);
      await clock.advance(holdMs);
      await expect(done).rejects.toMatchObject({ code: 'LOCK_LOST' });
      expect(held).toEqual([true, false]);
    }
  });

  it('rejects LOCK_LOST only after the task has settled, with its value or its error', async () => {
    for (const fault of [undefined, new Error('of the task')]) {
      const { clock, locks } = start();
      let settled = false;
      const end = locks
        .run('k', async () => {
          await clock.sleep(2_000);
          if (fault !== undefined) throw fault;
          return 'done all the same';
        })
        .catch((error) => {
          settled = true;
          return error;
        });
      await clock.advance(1_999);
      expect(locks.isLocked('k')).toBe(false);
      expect(settled).toBe(false);
      await clock.advance(1);
      const error = await end;
      expect(error).toMatchObject({ code: 'LOCK_LOST', key: 'k' });
      expect(error.value).toBe(fault === undefined ? 'done all the same' : undefined);
      expect(error.cause).toBe(fault);
    }
  });

  it('takes no release by the task itself for a loss', async () => {
    const { locks } = start();
    expect(await locks.run('k', (lock) => lock.release())).toBe(true);
    expect(await locks.runAll(['a', 'b'], (group) => group.get('a')?.release())).toBe(true);
    expect(locks.snapshot().held).toEqual([]);
  });

  it('tells a group’s task of a loss by the key that was lost', async () => {
    const { clock, locks } = start();
    const end = locks.runAll(['a', 'b'], async (group) => {
      group.get('a')?.extend(10_000);
      await clock.sleep(2_000);
      return group.signal.aborted;
    });
    const caught = end.catch((error) => error);
    await clock.advance(2_000);
    await settle();
    expect(await caught).toMatchObject({ code: 'LOCK_LOST', key: 'b', value: true });
  });
});
