import { deferred } from '@chunks/base';
import { settle, VirtualClock } from '@chunks/base/testing';
import { type LeaseDriver, type LeaseLocker, leaseLocker, memoryLeases } from '@chunks/locks/lease';
import { describe, expect, it } from 'vitest';

const down = new Error('the client’s own');
const unavailable = (cause: unknown): unknown =>
  expect.objectContaining({ code: 'LOCK_UNAVAILABLE', retryable: true, cause });

/** A locker on a driver one call of which goes wrong in a way of its own. */
function bench(
  method?: keyof LeaseDriver,
  how?: () => unknown,
): { clock: VirtualClock; locks: LeaseLocker; store: LeaseDriver } {
  const clock = new VirtualClock();
  const store = memoryLeases({ clock });
  const driver = new Proxy(store, {
    get: (_, name) => {
      if (name === method) return how;
      const member: unknown = Reflect.get(store, name);
      return typeof member === 'function' ? member.bind(store) : member;
    },
  });
  return { clock, store, locks: leaseLocker(driver, { clock, requestTimeoutMs: 50, leaseMs: 1_000 }) };
}

const ways: [string, () => unknown, unknown][] = [
  ['rejects', () => Promise.reject(down), down],
  [
    'throws',
    () => {
      throw down;
    },
    down,
  ],
  ['hangs', () => new Promise(() => undefined), expect.objectContaining({ name: 'TimeoutError' })],
  ...[undefined, null, 5, 'yes', {}, [], { token: 'x' }, { token: 1.5 }, { token: 0 }, { token: 2 ** 50 }].map(
    (nonsense): [string, () => unknown, unknown] => [
      `answers ${JSON.stringify(nonsense)}`,
      () => nonsense,
      expect.any(TypeError),
    ],
  ),
  ['answers both', () => ({ busy: true, token: 5 }), expect.any(TypeError)],
];

it('a question that the store comes to only after the release was sent leaves no ghost', async () => {
  const [overdue, released] = [deferred<unknown>(), deferred<boolean>()];
  const answers = [overdue.promise, { token: 5 }];
  const { clock, locks, store } = bench('acquire', () => answers.shift());
  const given: number[] = [];
  store.release = (_key, _holder, token) => {
    given.push(token);
    return released.promise;
  };
  const lock = locks.acquire('k');
  await clock.advance(50);
  const end = (await lock).release();
  // By another connection than the release, whose answer is still under way.
  overdue.resolve({ token: 6 });
  await settle();
  expect(given).toEqual([5, 6]);
  released.resolve(true);
  expect(await end).toBe(true);
});

it('a timeout says whether the store ever answered', async () => {
  const { clock, locks } = bench('acquire', () => answers.shift() ?? new Promise(() => undefined));
  const answers: unknown[] = [];
  const timedOut = async (): Promise<Error> => {
    const end = locks.acquire('k', { timeoutMs: 40 }).catch((error) => error);
    await clock.advance(40);
    return end;
  };
  const mute = await timedOut();
  expect(mute).toMatchObject({ code: 'LOCK_TIMEOUT', message: '"k" was not free within 40 ms' });
  expect(mute.cause).toMatchObject({ code: 'LOCK_UNAVAILABLE', message: '"k": no answer from the store "memory"' });
  await clock.advance(100);
  // Asked again, and not answered any more: it was busy, as far as anybody knows.
  answers.push({ busy: true, retryAfterMs: 30 });
  const busy = await timedOut();
  expect(busy).toMatchObject({ code: 'LOCK_TIMEOUT', message: '"k" was not free within 40 ms' });
  expect(busy.cause).toBeUndefined();
  await clock.advance(100);
});

it('an answer that a blocked event loop has not read yet is no missing one; where there is none, that is told soon', async () => {
  let answer = deferred<boolean>();
  const { clock, locks } = bench('release', () => answer.promise);
  const lost: unknown[] = [];
  locks.on('lost', (event) => lost.push(event.cause));
  const [read, unread] = [await locks.acquire('read'), await locks.acquire('unread')];
  const end = read.release();
  clock.jump(60);
  // Timers come first, then what has arrived.
  await clock.advance(0);
  answer.resolve(true);
  expect([await end, lost]).toEqual([true, []]);
  answer = deferred();
  const failed = unread.release().catch((error) => error);
  clock.jump(60);
  await clock.advance(50);
  expect(await failed).toEqual(unavailable(expect.objectContaining({ name: 'TimeoutError' })));
  expect(lost).toHaveLength(1);
});

describe('a driver that', () => {
  it.each(ways)('%s has not answered: acquire', async (_, how, cause) => {
    const { clock, locks } = bench('acquire', how);
    const ends = [locks.acquire('k'), locks.tryAcquire('k'), locks.acquire('k', { timeoutMs: 0 })].map((end) =>
      end.catch((error) => error),
    );
    await clock.advance(100);
    const [first, second, third] = await Promise.all(ends);
    expect(first).toEqual(unavailable(cause));
    // These did not wait for the answer: somebody was before them.
    expect([second, third]).toEqual([undefined, expect.objectContaining({ code: 'LOCK_TIMEOUT' })]);
    expect(first.message).toContain('"memory"');
    expect(locks.stats()).toMatchObject({ waiting: 0, rejected: 1 });
    const lone = locks.tryAcquire('k').catch((error) => error);
    await clock.advance(100);
    expect(await lone).toEqual(unavailable(cause));
  });

  it.each(ways)('%s has not answered: release', async (_, how, cause) => {
    const { clock, locks, store } = bench('release', how);
    const lost: unknown[] = [];
    locks.on('lost', (event) => lost.push(event.cause));
    const lock = await locks.acquire('k');
    const end = lock.release().catch((error) => error);
    await clock.advance(50);
    expect(await end).toEqual(unavailable(cause));
    expect(lost).toEqual([unavailable(cause)]);
    expect([lock.held, lock.signal.aborted, await lock.release()]).toEqual([false, false, false]);
    expect(locks.stats()).toMatchObject({ activeLocks: 0, lost: 1, released: 0 });
    await clock.advance(1_000);
    expect(await store.inspect?.('k')).toBeUndefined();
  });

  it.each(ways)('%s has not answered: extend', async (_, how, cause) => {
    const { clock, locks } = bench('renew', how);
    const lock = await locks.acquire('k');
    const end = lock.extend(5_000).catch((error) => error);
    await clock.advance(50);
    expect(await end).toEqual(unavailable(cause));
    expect(lock.held).toBe(true);
    await clock.advance(1_000);
    expect(lock.held).toBe(false);
    expect(lock.signal.reason).toMatchObject({ code: 'LOCK_LOST', cause });
  });

  it.each(ways.slice(0, 5).filter(([name]) => name !== 'answers undefined'))(
    '%s has not answered: isLocked',
    async (_, how, cause) => {
      const { clock, locks } = bench('inspect', how);
      const end = locks.isLocked('k').catch((error) => error);
      await clock.advance(50);
      expect(await end).toEqual(unavailable(cause));
    },
  );

  it('answers in time leaves no timer that calls anybody', async () => {
    const { clock, locks } = bench();
    const lock = await locks.acquire('k');
    await lock.release();
    await locks.isLocked('k');
    await clock.advance(400);
    await settle();
    expect(clock.pending).toBe(0);
  });
});

const refusing: LeaseDriver = {
  name: 'refusing',
  modes: ['exclusive'],
  acquire: async () => ({ busy: true }),
  renew: async () => false,
  release: async () => false,
};

it('gives a call up after half a lease, where that is shorter, and tells the driver by its signal', async () => {
  const signals: AbortSignal[] = [];
  const hang = (...[, , , { signal }]: Parameters<LeaseDriver['acquire']>): Promise<never> => {
    signals.push(signal);
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  };
  const clock = new VirtualClock();
  const locks = leaseLocker({ ...refusing, acquire: hang }, { clock, leaseMs: 100 });
  const end = locks.acquire('k').catch((error) => error);
  await clock.advance(49);
  expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
  await clock.advance(1);
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
  await clock.advance(50);
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
  expect(await end).toMatchObject({ code: 'LOCK_UNAVAILABLE', cause: { name: 'TimeoutError' } });
});
