import { equal, heard, isTrue, rejection } from '@chunks/base/testing';
import type { Lock } from '../types.ts';
import { codeOf, type LockerTrial } from './locker-bench.ts';
import type { LockerCases } from './locker-cases.ts';

/** A lease that nobody renews beyond its first length. */
const short = ({ shortMs }: LockerTrial): { leaseMs: number; maxHoldMs: number } => ({
  leaseMs: shortMs,
  maxHoldMs: shortMs,
});

/** Until the lease of a lock has ended. */
const lost = (trial: LockerTrial, lock: Pick<Lock, 'signal'>): Promise<void> =>
  trial.until(() => lock.signal.aborted, 'the lock must be lost');

/** How a lease lasts, and how it ends. */
export const leaseCases: LockerCases = {
  async 'when a lease ends its signal aborts first, then the key is handed on with a higher token'(trial) {
    const locker = await trial.open();
    const lock = await trial.take(locker, 'key', short(trial));
    const order: string[] = [];
    lock.signal.addEventListener('abort', () => order.push('lost'));
    const next = heard(
      locker.acquire('key').then((granted) => {
        order.push('granted');
        return granted;
      }),
    );
    await trial.passShort();
    const granted = await trial.settled(next, 'the waiter');
    equal(order, ['lost', 'granted'], 'the order');
    isTrue(granted.token > lock.token, `token ${granted.token} must be higher than ${lock.token}`);
    equal([lock.held, codeOf(lock.signal.reason)], [false, 'LOCK_LOST'], 'the old lock');
    equal(await trial.settled(lock.release(), 'release'), false, "the old holder's release");
    equal(codeOf(await rejection((async () => lock.assertHeld())(), 'assertHeld')), 'LOCK_LOST', 'assertHeld');
    equal(await trial.code((async () => lock.extend())(), 'extend'), 'LOCK_LOST', 'extend');
    equal(granted.held, true, 'the new lock');
    await trial.release(granted);
  },

  async 'extend makes it last longer, and never shorter'(trial) {
    const locker = await trial.open();
    const lock = await trial.take(locker, 'key', short(trial));
    const endMs = lock.expiresAtMs;
    await trial.settled(lock.extend(50_000), 'extend');
    isTrue(lock.expiresAtMs > endMs + 10_000, `expiresAtMs must be later, by ${lock.expiresAtMs - endMs} ms`);
    const extendedMs = lock.expiresAtMs;
    await trial.settled(lock.extend(1), 'extend');
    isTrue(lock.expiresAtMs >= extendedMs, 'expiresAtMs must not be earlier');
    await trial.passShort();
    equal([lock.held, lock.signal.aborted], [true, false], 'after its first lease');
    isTrue(!(await trial.gets(locker, 'key')), 'nobody else gets it');
    await trial.release(lock);
  },

  async 'run keeps the lock as long as its task lasts, up to ten leases'(trial) {
    const locker = await trial.open();
    const value = await trial.settled(
      locker.run(
        'key',
        async (lock) => {
          for (let i = 0; i < 2; i++) {
            await trial.passShort();
            equal([lock.held, await trial.gets(locker, 'key')], [true, false], `after ${i + 1} leases`);
          }
          return 'done';
        },
        { leaseMs: trial.shortMs },
      ),
      'run',
    );
    equal(value, 'done', 'the value');
  },

  async 'run gives what its task gives, or throws what it throws, and releases'(trial) {
    const locker = await trial.open();
    equal(
      await trial.settled(
        locker.run('key', ({ key }) => `the ${key}`),
        'run',
      ),
      'the key',
      'the value',
    );
    equal(await trial.isLocked(locker, 'key'), false, 'released');
    const error = new Error('the task failed');
    const failing = locker.run('key', () => Promise.reject(error));
    isTrue((await rejection(trial.settled(failing, 'run'), 'run')) === error, 'the error itself');
    equal(await trial.isLocked(locker, 'key'), false, 'released');
    const own = locker.run('key', async (lock) => [await trial.settled(lock.release(), 'release'), 'done']);
    equal(await trial.settled(own, 'run'), [true, 'done'], 'a task may release');
  },

  async 'run rejects when the lock was lost under its task, with what that did, after that'(trial) {
    const locker = await trial.open();
    const error = new Error('the task failed');
    for (const [outcome, task] of [
      [{ value: 'done' }, () => 'done'],
      [
        { cause: error },
        () => {
          throw error;
        },
      ],
    ] as const) {
      let isOver = false;
      const late = async (lock: Lock): Promise<unknown> => {
        await trial.passShort();
        await lost(trial, lock);
        isOver = true;
        return task();
      };
      const failure = await rejection(trial.settled(locker.run('key', late, short(trial)), 'run'), 'run');
      const { value, cause } = failure as { value?: unknown; cause?: unknown };
      equal([codeOf(failure), isOver], ['LOCK_LOST', true], 'the error, after the task');
      isTrue('value' in outcome ? value === outcome.value : cause === outcome.cause, 'what the task did goes along');
    }
  },
};

/** Several keys at once. */
export const groupCases: LockerCases = {
  async 'a group is all of its keys, each once, sorted'(trial) {
    const locker = await trial.open();
    const group = await trial.settled(locker.acquireAll(['b', 'a', 'c', 'a']), 'acquireAll');
    equal(
      group.locks.map(({ key, held }) => [key, held]),
      [
        ['a', true],
        ['b', true],
        ['c', true],
      ],
      'the members',
    );
    isTrue(group.get('b') === group.locks[1] && group.get('d') === undefined, 'get');
    equal([group.held, group.signal.aborted, group.assertHeld()], [true, false, undefined], 'the group');
    for (const key of ['a', 'b', 'c']) equal(await trial.isLocked(locker, key), true, `isLocked ${key}`);
    await trial.release(group);
    equal(await trial.settled(group.release(), 'release'), false, 'release again');
    for (const key of ['a', 'b', 'c']) equal(await trial.isLocked(locker, key), false, `isLocked ${key}`);
    const none = await trial.settled(locker.acquireAll([]), 'acquireAll of nothing');
    equal([none.locks.length, none.held], [0, true], 'a group of nothing');
    await trial.settled(none.release(), 'release');
  },

  async 'a group is all or nothing: what it had is free again when it fails'(trial) {
    const locker = await trial.open();
    const lock = await trial.take(locker, 'b');
    const late = locker.acquireAll(['a', 'b', 'c'], { timeoutMs: 50 });
    equal(await trial.code(late, 'a late group'), 'LOCK_TIMEOUT', 'a late group');
    const abort = new AbortController();
    const aborted = rejection(locker.acquireAll(['a', 'b'], { signal: abort.signal }), 'an aborted group');
    await trial.waiting(locker, 1);
    abort.abort();
    isTrue((await trial.settled(aborted, 'an aborted group')) === abort.signal.reason, 'the reason');
    await trial.until(() => locker.stats().activeLocks === 1, 'the members must be free again');
    for (const key of ['a', 'c']) equal(await trial.isLocked(locker, key), false, `isLocked ${key}`);
    await trial.release(lock);
  },

  async 'groups never wait for each other in a circle'(trial) {
    const locker = await trial.open();
    const orders = ['abc', 'cba', 'bca', 'acb', 'bac', 'cab'].map((order) => [...order]);
    let inside = 0;
    const tasks = Array.from({ length: 24 }, (_, i) =>
      locker.runAll(orders[i % orders.length] as string[], async ({ held }) => {
        isTrue(++inside === 1 && held, 'two groups are in at once');
        await null;
        inside--;
        return i;
      }),
    );
    equal(await trial.settled(Promise.all(tasks), 'the groups'), [...tasks.keys()], 'the values');
  },

  async 'a group is lost when a member is, and all of it is free'(trial) {
    const locker = await trial.open();
    const group = await trial.settled(locker.acquireAll(['a', 'b'], short(trial)), 'acquireAll');
    await trial.passShort();
    await lost(trial, group);
    equal([group.held, codeOf(group.signal.reason)], [false, 'LOCK_LOST'], 'the group');
    equal(await trial.settled(group.release(), 'release'), false, 'release');
    equal(await trial.code(group.extend(), 'extend'), 'LOCK_LOST', 'extend');
    for (const key of ['a', 'b']) await trial.release(await trial.take(locker, key));
    const task = async (locks: { signal: AbortSignal }): Promise<string> => {
      await trial.passShort();
      await lost(trial, locks);
      return 'done';
    };
    const failure = await rejection(trial.settled(locker.runAll(['a', 'b'], task, short(trial)), 'runAll'), 'runAll');
    equal([codeOf(failure), (failure as { value?: unknown }).value], ['LOCK_LOST', 'done'], 'runAll');
  },

  async 'a group that is extended lasts longer'(trial) {
    const locker = await trial.open();
    const group = await trial.settled(locker.acquireAll(['a', 'b'], short(trial)), 'acquireAll');
    await trial.settled(group.extend(50_000), 'extend');
    await trial.passShort();
    equal(group.held, true, 'held after its first lease');
    await trial.release(group);
  },
};
