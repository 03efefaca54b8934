import { equal, isTrue, rejection } from '@chunks/base/testing';
import type { Lock } from '../types.ts';
import { codeOf, type LockerTrial } from './locker-bench.ts';

/** Cases by name; each gets a trial of its own. */
export type LockerCases = Record<string, (trial: LockerTrial) => Promise<void>>;

/** Who gets the key, and when. */
export const grantCases: LockerCases = {
  async 'a free key is granted, and the lock tells how'(trial) {
    const locker = await trial.open();
    const lock = await trial.take(locker, 'key', { leaseMs: 20_000, owner: 'ann' });
    equal([lock.key, lock.mode, lock.owner, lock.held], ['key', 'exclusive', 'ann', true], 'key, mode, owner, held');
    equal([lock.signal.aborted, lock.assertHeld()], [false, undefined], 'the signal is silent');
    isTrue(Number.isSafeInteger(lock.token) && lock.token > 0, `a token is a whole number, got ${lock.token}`);
    const leftMs = lock.expiresAtMs - lock.acquiredAtMs;
    isTrue(leftMs > 10_000, `expiresAtMs is after the lease, got ${leftMs} ms`);
    isTrue(lock.waitedMs >= 0, `waitedMs is known, got ${lock.waitedMs}`);
    await trial.release(lock);
    equal([lock.held, lock.signal.aborted], [false, false], 'after the release');
  },

  async 'a release opens the key once; the next token is higher'(trial) {
    const locker = await trial.open();
    let last = 0;
    for (let i = 0; i < 5; i++) {
      const lock = await trial.take(locker, 'key');
      isTrue(lock.token > last, `token ${lock.token} must be higher than ${last}`);
      last = lock.token;
      await trial.release(lock);
      equal(await trial.settled(lock.release(), 'release'), false, 'release again');
    }
    const lock = await trial.take(locker, 'key');
    const next = locker.acquire('key');
    await trial.waiting(locker, 1);
    await trial.release(lock);
    const held = await trial.settled(next, 'the waiter');
    equal(
      [await trial.settled(lock.release(), 'release'), held.held],
      [false, true],
      'release again, when another has the key',
    );
    await trial.release(held);
  },

  async 'waiters enter one at a time, in the order in which they came'(trial) {
    const locker = await trial.open();
    const first = await trial.take(locker, 'key');
    const order: number[] = [];
    let inside = 0;
    const tasks = Array.from({ length: 10 }, (_, i) =>
      locker.run('key', async () => {
        isTrue(++inside === 1, 'two are in at once');
        order.push(i);
        await null;
        inside--;
      }),
    );
    await trial.waiting(locker, 10);
    equal(order, [], 'nobody enters a key that is held');
    await trial.release(first);
    await trial.settled(Promise.all(tasks), 'the tasks');
    equal(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 'the order');
  },

  async 'keys know nothing of each other'(trial) {
    const locker = await trial.open();
    const keys = ['a', 'A', 'a ', 'a/b', '__proto__', 'é', '*', 'k'.repeat(512)];
    const locks: Lock[] = [];
    for (const key of keys) locks.push(await trial.take(locker, key, { timeoutMs: 5_000 }));
    equal(
      locks.map(({ key, held }) => [key, held]),
      keys.map((key) => [key, true]),
      'all at once',
    );
    for (const lock of locks) await trial.release(lock);
  },

  async 'tryAcquire takes a free key, and neither waits nor passes a waiter'(trial) {
    const locker = await trial.open();
    const lock = await trial.settled(locker.tryAcquire('key'), 'tryAcquire');
    isTrue(lock !== undefined, 'a free key must be given');
    isTrue(!(await trial.gets(locker, 'key')), 'a busy key must not be given');
    const waiter = locker.acquire('key');
    await trial.waiting(locker, 1);
    const [, barger] = await trial.settled(Promise.all([lock.release(), locker.tryAcquire('key')]), 'both');
    isTrue(barger === undefined, 'a newcomer must not pass a waiter');
    await trial.release(await trial.settled(waiter, 'the waiter'));
  },

  async 'a counter behind the lock loses nothing'(trial) {
    const locker = await trial.open();
    let counter = 0;
    const task = async (): Promise<void> => {
      const read = counter;
      for (let i = 0; i < 5; i++) await null;
      counter = read + 1;
    };
    await trial.settled(Promise.all(Array.from({ length: 50 }, () => locker.run('key', task))), 'the tasks');
    equal(counter, 50, 'the counter');
  },
};

/** How a wait ends without a grant. */
export const waitCases: LockerCases = {
  async 'a wait ends after timeoutMs, and delays nobody'(trial) {
    const locker = await trial.open();
    const lock = await trial.take(locker, 'key', { owner: 'ann' });
    const impatient = locker.acquire('key', { timeoutMs: 50 });
    const patient = locker.acquire('key');
    const error = await rejection(trial.settled(impatient, 'the impatient one'), 'the impatient one');
    const { key, waitedMs, retryable } = error as { key?: string; waitedMs?: number; retryable?: boolean };
    equal([codeOf(error), key, retryable], ['LOCK_TIMEOUT', 'key', true], 'code, key, retryable');
    isTrue(waitedMs !== undefined && waitedMs >= 50, `waitedMs is how long it was, got ${waitedMs}`);
    await trial.waiting(locker, 1);
    await trial.release(lock);
    await trial.release(await trial.settled(patient, 'the patient one'));
    equal(locker.stats().timedOut, 1, 'timedOut');
  },

  async "timeoutMs 0 tries once; where none is given, the locker's counts"(trial) {
    const locker = await trial.open({ timeoutMs: 50 });
    const lock = await trial.take(locker, 'key', { timeoutMs: 0 });
    equal(await trial.code(locker.acquire('key', { timeoutMs: 0 }), 'one try'), 'LOCK_TIMEOUT', 'one try');
    equal(await trial.code(locker.acquire('key'), "the locker's time"), 'LOCK_TIMEOUT', "the locker's time");
    equal(
      await trial.code(
        locker.run('key', () => undefined),
        'run',
      ),
      'LOCK_TIMEOUT',
      'run',
    );
    equal(await trial.code(locker.acquireAll(['a', 'key']), 'a group'), 'LOCK_TIMEOUT', 'a group');
    await trial.release(lock);
  },

  async 'an abort ends the wait with its own reason, and delays nobody'(trial) {
    const locker = await trial.open();
    const reason = new Error('not needed any more');
    const early = rejection(locker.acquire('free', { signal: AbortSignal.abort(reason) }), 'aborted before');
    isTrue((await early) === reason, 'aborted before: the reason');
    const lock = await trial.take(locker, 'key');
    const abort = new AbortController();
    const waits = rejection(locker.acquire('key', { signal: abort.signal }), 'aborted');
    const behind = locker.acquire('key');
    await trial.waiting(locker, 2);
    abort.abort(reason);
    isTrue((await trial.settled(waits, 'the aborted one')) === reason, 'aborted while waiting: the reason');
    await trial.waiting(locker, 1);
    await trial.release(lock);
    await trial.release(await trial.settled(behind, 'the one behind'));
    equal(locker.stats().aborted, 1, 'aborted');
  },

  async 'after the grant an abort means nothing'(trial) {
    const locker = await trial.open();
    const abort = new AbortController();
    const lock = await trial.take(locker, 'key', { signal: abort.signal });
    abort.abort();
    equal([lock.held, lock.signal.aborted], [true, false], 'the lock');
    await trial.release(lock);
  },

  async 'no listener stays on a signal'(trial) {
    const locker = await trial.open();
    const abort = new AbortController();
    const listeners = countListeners(abort.signal);
    const lock = await trial.take(locker, 'key', { signal: abort.signal });
    const waiter = locker.acquire('key', { signal: abort.signal });
    const impatient = locker.acquire('key', { signal: abort.signal, timeoutMs: 50 });
    equal(await trial.code(impatient, 'the impatient one'), 'LOCK_TIMEOUT', 'the impatient one');
    await trial.release(lock);
    await trial.release(await trial.settled(waiter, 'the waiter'));
    equal(listeners(), 0, 'listeners');
  },

  async 'retry starts over after a timeout, so many times'(trial) {
    const locker = await trial.open({ random: () => 0.5 });
    const lock = await trial.take(locker, 'key');
    const retry = { attempts: 3, baseMs: 10, maxMs: 20 };
    equal(
      await trial.code(locker.acquire('key', { timeoutMs: 20, retry }), 'retry'),
      'LOCK_TIMEOUT',
      'after all of them',
    );
    equal(locker.stats().timedOut, 3, 'timedOut');
    const patient = locker.acquire('key', { timeoutMs: 20, retry: { ...retry, attempts: 1_000 } });
    await trial.until(() => locker.stats().timedOut > 4, 'it must try again');
    await trial.release(lock);
    await trial.release(await trial.settled(patient, 'the patient one'));
  },

  async 'one waiter more than maxWaiting is refused'(trial) {
    const locker = await trial.open({ maxWaiting: 2 });
    const [one, two] = [await trial.take(locker, 'one'), await trial.take(locker, 'two')];
    const waiters = [locker.acquire('one'), locker.acquire('two')];
    await trial.waiting(locker, 2);
    equal(await trial.code(locker.acquire('one'), 'one more'), 'LOCK_QUEUE_FULL', 'one more');
    equal(locker.stats().rejected, 1, 'rejected');
    await trial.release(one);
    await trial.release(two);
    for (const waiter of waiters) await trial.release(await trial.settled(waiter, 'a waiter'));
  },
};

/** How many listeners stand on a signal, counted from now on. */
function countListeners(signal: AbortSignal): () => number {
  const counts = { addEventListener: 0, removeEventListener: 0 };
  for (const method of ['addEventListener', 'removeEventListener'] as const) {
    const original = signal[method].bind(signal) as (...all: unknown[]) => void;
    Object.defineProperty(signal, method, {
      value: (...all: unknown[]) => {
        counts[method]++;
        original(...all);
      },
    });
  }
  return () => counts.addEventListener - counts.removeEventListener;
}
