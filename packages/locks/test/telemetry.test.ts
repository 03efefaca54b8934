import { settle, VirtualClock } from '@chunks/base/testing';
import { KeyedMutex, type LockEvents } from '@chunks/locks';
import { describe, expect, it } from 'vitest';

const names = ['queued', 'acquired', 'released', 'timeout', 'aborted', 'rejected', 'expired', 'lost'] as const;

function recorded(locks: KeyedMutex): unknown[] {
  const log: unknown[] = [];
  for (const name of names) {
    locks.on(name, (event: LockEvents[typeof name]) => log.push({ event: name, ...event }));
  }
  return log;
}

describe('events', () => {
  it('tell each thing that happens, once, in order, with its figures', async () => {
    const clock = new VirtualClock(1_000);
    const locks = new KeyedMutex({ clock });
    const log = recorded(locks);
    const controller = new AbortController();
    const first = await locks.acquire('k', { owner: 'A' });
    const about = { key: 'k', mode: 'exclusive' };
    locks.acquire('k', { owner: 'B', timeoutMs: 5 }).catch(() => undefined);
    locks.acquire('k', { owner: 'C', signal: controller.signal }).catch(() => undefined);
    const last = locks.acquire('k', { owner: 'D', leaseMs: 20, mode: 'shared' });
    await clock.advance(5);
    controller.abort('why');
    await clock.advance(5);
    first.release();
    const { token } = await last;
    await clock.advance(20);
    expect(log).toEqual([
      { event: 'acquired', ...about, attempt: 1, owner: 'A', atMs: 1_000, token: first.token, waitedMs: 0 },
      { event: 'queued', ...about, attempt: 2, owner: 'B', atMs: 1_000 },
      { event: 'queued', ...about, attempt: 3, owner: 'C', atMs: 1_000 },
      { event: 'queued', ...about, attempt: 4, owner: 'D', mode: 'shared', atMs: 1_000 },
      { event: 'timeout', ...about, attempt: 2, owner: 'B', atMs: 1_005, waitedMs: 5 },
      { event: 'aborted', ...about, attempt: 3, owner: 'C', atMs: 1_005, waitedMs: 5, reason: 'why' },
      { event: 'released', ...about, attempt: 1, owner: 'A', atMs: 1_010, token: first.token, heldMs: 10 },
      { event: 'acquired', ...about, attempt: 4, owner: 'D', mode: 'shared', atMs: 1_010, token, waitedMs: 10 },
      { event: 'expired', ...about, attempt: 4, owner: 'D', mode: 'shared', atMs: 1_030, token, heldMs: 20 },
      {
        event: 'lost',
        ...about,
        attempt: 4,
        owner: 'D',
        mode: 'shared',
        atMs: 1_030,
        token,
        cause: expect.objectContaining({ code: 'LOCK_LOST' }),
      },
    ]);
  });

  it('tell of every wait that is refused, and that ends by close; of newcomers to a closed mutex only the count', async () => {
    const clock = new VirtualClock(1_000);
    const locks = new KeyedMutex({ clock, maxWaiting: 1 });
    await locks.acquire('k', { owner: 'A' });
    const log = recorded(locks);
    const calls = ['B', 'C'].map((owner) => locks.acquire('k', { owner }));
    await clock.advance(5);
    void locks.close();
    calls.push(locks.acquire('k', { owner: 'D' }));
    const codes = (await Promise.allSettled(calls)).map((call) => 'reason' in call && call.reason.code);
    expect(codes).toEqual(['LOCK_CLOSED', 'LOCK_QUEUE_FULL', 'LOCK_CLOSED']);
    const about = { key: 'k', mode: 'exclusive' };
    const reason = (code: string): unknown => expect.objectContaining({ code });
    expect(log).toEqual([
      { event: 'queued', ...about, attempt: 1, owner: 'B', atMs: 1_000 },
      {
        event: 'rejected',
        ...about,
        attempt: 2,
        owner: 'C',
        atMs: 1_000,
        waitedMs: 0,
        reason: reason('LOCK_QUEUE_FULL'),
      },
      { event: 'rejected', ...about, attempt: 1, owner: 'B', atMs: 1_005, waitedMs: 5, reason: reason('LOCK_CLOSED') },
    ]);
    expect(locks.stats().rejected).toBe(3);
  });

  it('stop when the listener is taken off', async () => {
    const locks = new KeyedMutex({ clock: new VirtualClock() });
    let count = 0;
    const off = locks.on('acquired', () => count++);
    (await locks.acquire('k')).release();
    off();
    (await locks.acquire('k')).release();
    expect(count).toBe(1);
  });

  it('may be answered by any call without upsetting the lock', async () => {
    const clock = new VirtualClock();
    const locks = new KeyedMutex({ clock, leaseMs: 10 });
    let open = true;
    for (const name of names) {
      locks.on(name, () => {
        if (open) locks.tryAcquire('k', { mode: 'shared' });
        if (locks.stats().waiting < 20) locks.acquire('k', { timeoutMs: 3 }).catch(() => undefined);
      });
    }
    let inside = 0;
    const outcomes = Array.from({ length: 20 }, () =>
      locks
        .run('k', async () => {
          expect(++inside).toBe(1);
          await settle();
          inside--;
        })
        .then(
          () => 'done',
          (error) => error.code,
        ),
    );
    for (let i = 0; i < 100; i++) await clock.advance(10);
    open = false;
    void locks.close();
    await clock.advance(1_000);
    expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['done']));
    expect(locks.snapshot()).toEqual({ held: [], waiting: [] });
  });
});

describe('stats and snapshot', () => {
  it('show how things stand and what has happened', async () => {
    const clock = new VirtualClock();
    const locks = new KeyedMutex({ clock });
    const readers = [locks.tryAcquire('a', { mode: 'shared', owner: 'r1' })];
    await clock.advance(3);
    readers.push(locks.tryAcquire('a', { mode: 'shared', owner: 'r2' }));
    const b = locks.tryAcquire('b');
    const writer = locks.acquire('a', { owner: 'w' });
    await clock.advance(4);
    const token = readers[0]?.token;
    expect(locks.snapshot()).toEqual({
      held: [
        { key: 'a', mode: 'shared', owner: 'r1', token, ageMs: 7 },
        { key: 'a', mode: 'shared', owner: 'r2', token, ageMs: 4 },
        { key: 'b', mode: 'exclusive', owner: '', token: b?.token, ageMs: 4 },
      ],
      waiting: [{ key: 'a', mode: 'exclusive', owner: 'w', ageMs: 4 }],
    });
    expect(locks.stats()).toMatchObject({ activeLocks: 3, waiting: 1, oldestLockAgeMs: 7, longestWaitingMs: 4 });
    for (const reader of readers) reader?.release();
    (await writer).release();
    const { wait, hold, ...rest } = locks.stats();
    expect(rest).toEqual({
      activeLocks: 1,
      waiting: 0,
      oldestLockAgeMs: 4,
      longestWaitingMs: 0,
      acquired: 4,
      released: 3,
      timedOut: 0,
      aborted: 0,
      expired: 0,
      lost: 0,
      rejected: 0,
    });
    expect({ count: wait.count, sum: wait.sum, max: wait.max }).toEqual({ count: 4, sum: 4, max: 4 });
    expect({ count: hold.count, sum: hold.sum, max: hold.max }).toEqual({ count: 3, sum: 11, max: 7 });
  });
});
