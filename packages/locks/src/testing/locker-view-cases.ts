import { equal, heard, isTrue, rejection } from '@chunks/base/testing';
import type { Lock, LockEvents, Locker } from '../types.ts';
import { codeOf } from './locker-bench.ts';
import type { LockerCases } from './locker-cases.ts';

const EVENTS = ['queued', 'acquired', 'released', 'timeout', 'aborted', 'expired', 'lost'] as const;

/** Every event as its name and who it is about. */
function record(locker: Locker): string[] {
  const told: string[] = [];
  for (const event of EVENTS) {
    locker.on(event, ({ key, owner, mode, atMs }: LockEvents[typeof event]) => {
      isTrue(Number.isFinite(atMs) && mode === 'exclusive', 'an event tells when, and the mode');
      told.push(`${event} ${key} ${owner}`);
    });
  }
  return told;
}

/** What a locker tells about itself, and how it ends. */
export const viewCases: LockerCases = {
  async 'isLocked tells whether somebody holds the key'(trial) {
    const locker = await trial.open();
    equal(await trial.isLocked(locker, 'key'), false, 'before');
    const lock = await trial.take(locker, 'key');
    equal(
      [await trial.isLocked(locker, 'key'), await trial.isLocked(locker, 'another')],
      [true, false],
      'while it is held',
    );
    await trial.release(lock);
    equal(await trial.isLocked(locker, 'key'), false, 'after');
  },

  async 'stats and snapshot tell who holds, who waits, and what has been'(trial) {
    const locker = await trial.open();
    const lock = await trial.take(locker, 'key', { owner: 'ann' });
    const waiters = ['ben', 'cy'].map((owner) => locker.acquire('key', { owner }));
    await trial.waiting(locker, 2);
    await trial.bench.pass(20);
    const { held, waiting } = locker.snapshot();
    equal(
      held.map(({ key, mode, owner, token }) => [key, mode, owner, token]),
      [['key', 'exclusive', 'ann', lock.token]],
      'held',
    );
    equal(
      waiting.map(({ key, mode, owner }) => [key, mode, owner]),
      [
        ['key', 'exclusive', 'ben'],
        ['key', 'exclusive', 'cy'],
      ],
      'waiting, in the order of the queue',
    );
    const { activeLocks, waiting: count, oldestLockAgeMs, longestWaitingMs } = locker.stats();
    equal([activeLocks, count], [1, 2], 'activeLocks, waiting');
    isTrue(oldestLockAgeMs >= 20 && longestWaitingMs >= 20, 'the ages grow');
    isTrue((held[0]?.ageMs ?? 0) >= 20 && (waiting[0]?.ageMs ?? 0) >= 20, 'the ages in the snapshot grow');
    await trial.release(lock);
    for (const waiter of waiters) await trial.release(await trial.settled(waiter, 'a waiter'));
    const { acquired, released, timedOut, aborted, expired, lost, rejected } = locker.stats();
    equal([acquired, released, timedOut, aborted, expired, lost, rejected], [3, 3, 0, 0, 0, 0, 0], 'counters');
    equal([locker.stats().wait.count, locker.stats().hold.count], [3, 3], 'histograms');
    equal(locker.snapshot(), { held: [], waiting: [] }, 'the snapshot afterwards');
  },

  async 'events tell all that happens, in order, until the listener is taken off'(trial) {
    const locker = await trial.open();
    const told = record(locker);
    const off = locker.on('acquired', () => told.push('off'));
    off();
    const lock = await trial.take(locker, 'key', { owner: 'ann' });
    const abort = new AbortController();
    const waits = [
      locker.acquire('key', { owner: 'ben', timeoutMs: 50 }),
      locker.acquire('key', { owner: 'cy', signal: abort.signal }),
      locker.acquire('key', { owner: 'dan', leaseMs: trial.shortMs, maxHoldMs: trial.shortMs }),
    ];
    equal(await trial.code(waits[0] as Promise<Lock>, 'ben'), 'LOCK_TIMEOUT', 'ben');
    abort.abort();
    await rejection(trial.settled(waits[1] as Promise<Lock>, 'cy'), 'cy');
    await trial.release(lock);
    const last = await trial.settled(waits[2] as Promise<Lock>, 'dan');
    await trial.passShort();
    await trial.until(() => last.signal.aborted, 'the lease must end');
    equal(
      told.filter((line) => !line.startsWith('queued')),
      ['acquired key ann', 'timeout key ben', 'aborted key cy', 'released key ann', 'acquired key dan'].concat([
        'expired key dan',
        'lost key dan',
      ]),
      'the events',
    );
    equal(
      told.filter((line) => line.startsWith('queued')),
      ['queued key ben', 'queued key cy', 'queued key dan'],
      'who had to wait',
    );
    equal([locker.stats().expired, locker.stats().lost], [1, 1], 'expired, lost');
  },

  async 'close refuses who waits and who comes, and waits for who holds'(trial) {
    const locker = await trial.open();
    const lock = await trial.take(locker, 'key');
    const waiter = trial.code(locker.acquire('key'), 'the waiter');
    const group = trial.code(locker.acquireAll(['a', 'key']), 'the group');
    await trial.waiting(locker, 2);
    let isClosed = false;
    const closed = heard(
      locker.close().then(() => {
        isClosed = true;
      }),
    );
    equal([await waiter, await group], ['LOCK_CLOSED', 'LOCK_CLOSED'], 'those who wait');
    for (const call of [
      () => locker.acquire('key'),
      async () => locker.tryAcquire('free'),
      () => locker.run('free', () => undefined),
      () => locker.acquireAll(['free']),
    ]) {
      equal(await trial.code(call(), 'a newcomer'), 'LOCK_CLOSED', 'a newcomer');
    }
    equal([isClosed, lock.held], [false, true], 'closed, while somebody holds');
    await trial.release(lock);
    await trial.settled(closed, 'close');
    await trial.settled(locker.close(), 'close again');
  },

  async 'a lock and a locker are disposed of at the end of their block'(trial) {
    const locker = await trial.open();
    const lock = await trial.take(locker, 'key');
    await trial.settled(lock[Symbol.asyncDispose](), 'disposal');
    equal([lock.held, await trial.isLocked(locker, 'key')], [false, false], 'the lock');
    await trial.settled(lock[Symbol.asyncDispose](), 'disposal again');
    const group = await trial.settled(locker.acquireAll(['a', 'b']), 'acquireAll');
    await trial.settled(group[Symbol.asyncDispose](), 'disposal of a group');
    equal([group.held, await trial.isLocked(locker, 'a')], [false, false], 'the group');
    await trial.settled(locker[Symbol.asyncDispose](), 'disposal of the locker');
    equal(await trial.code(locker.acquire('key'), 'a newcomer'), 'LOCK_CLOSED', 'the locker');
  },

  async 'bad input is refused by an error that names it, and changes nothing'(trial) {
    const locker = await trial.open();
    const call = (key: unknown, options?: unknown) => () => locker.acquire(key as string, options as never);
    const bad: [string, RegExp, () => unknown][] = [
      ['RangeError', /key/, call('')],
      ['TypeError', /key/, call(5)],
      ['RangeError', /timeoutMs/, call('key', { timeoutMs: Number.NaN })],
      ['RangeError', /timeoutMs/, call('key', { timeoutMs: -1 })],
      ['RangeError', /leaseMs/, call('key', { leaseMs: 0 })],
      ['RangeError', /maxHoldMs/, call('key', { maxHoldMs: Number.NaN })],
      ['RangeError', /mode/, call('key', { mode: 'alone' })],
      ['TypeError', /owner/, call('key', { owner: 5 })],
      ['TypeError', /signal/, call('key', { signal: {} })],
      ['RangeError', /attempts/, call('key', { retry: { attempts: 0 } })],
      ['RangeError', /key/, () => locker.tryAcquire('')],
      ['RangeError', /key/, () => locker.isLocked('')],
      ['TypeError', /task/, () => locker.run('key', undefined as never)],
      ['TypeError', /keys/, () => locker.acquireAll('ab')],
      ['RangeError', /keys/, () => locker.acquireAll(['a', ''])],
      ['TypeError', /listener/, () => locker.on('acquired', undefined as never)],
    ];
    for (const [name, about, refusedCall] of bad) {
      const error = await rejection((async () => refusedCall())(), `bad ${about}`);
      equal(codeOf(error), name, `the error about ${about}`);
      isTrue(about.test((error as Error).message), `the message must name ${about}: ${(error as Error).message}`);
    }
    equal(locker.snapshot(), { held: [], waiting: [] }, 'the snapshot');
  },
};
