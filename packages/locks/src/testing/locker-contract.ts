import type { MaybePromise } from '@chunks/base';
import { type ContractCase, casesOf, equal, isTrue } from '@chunks/base/testing';
import { type LockerAbilities, type LockerBench, LockerTrial } from './locker-bench.ts';
import { grantCases, type LockerCases, waitCases } from './locker-cases.ts';
import { groupCases, leaseCases } from './locker-lease-cases.ts';
import { viewCases } from './locker-view-cases.ts';

/** Lockers with both modes. */
const sharedCases: LockerCases = {
  async 'shared holders are in together, and a waiting exclusive one is never passed'(trial) {
    const locker = await trial.open();
    const shared = { mode: 'shared' } as const;
    const [a, b] = [await trial.take(locker, 'key', shared), await trial.take(locker, 'key', shared)];
    equal([a.mode, b.held, a.token === b.token], ['shared', true, true], 'two at once, under one token');
    const alone = locker.acquire('key');
    await trial.waiting(locker, 1);
    isTrue(!(await trial.gets(locker, 'key', shared)), 'a shared newcomer must not pass');
    const behind = [locker.acquire('key', shared), locker.acquire('key', shared)];
    await trial.waiting(locker, 3);
    await trial.release(a);
    equal(locker.stats().waiting, 3, 'waiting, while one is in');
    await trial.release(b);
    const lock = await trial.settled(alone, 'the exclusive one');
    isTrue(lock.token > a.token, `token ${lock.token} must be higher than ${a.token}`);
    equal(locker.stats().waiting, 2, 'waiting, behind the exclusive one');
    await trial.release(lock);
    const both = await trial.settled(Promise.all(behind), 'those behind');
    equal(both[0]?.token, both[1]?.token, 'their token');
    isTrue((both[0]?.token ?? 0) > lock.token, 'a new shared phase has a higher token');
    for (const one of both) await trial.release(one);
  },
};

/** Lockers with the exclusive mode alone. */
const exclusiveOnlyCases: LockerCases = {
  async 'shared mode is refused, by an error that says so'(trial) {
    const locker = await trial.open();
    const shared = { mode: 'shared' } as const;
    for (const call of [
      () => locker.acquire('key', shared),
      async () => locker.tryAcquire('key', shared),
      () => locker.run('key', () => undefined, shared),
      () => locker.acquireAll(['key'], shared),
    ]) {
      equal(await trial.code(call(), 'shared mode'), 'LOCK_MODE_UNSUPPORTED', 'shared mode');
    }
  },
};

/**
 * What every {@link Locker} does, whether its locks live in this process or in a store: the same options, the same
 * behaviour. Plain cases for any test runner on any runtime; they know nothing of each other and may run at once.
 * After each, nobody may hold or wait any more.
 * @param make a bench of its own for each case
 * @param abilities what the locker can do. What it declares absent is not skipped: that it is refused is a case.
 * @example
 * const bench = () => {
 *   const clock = new VirtualClock();
 *   return { open: (options) => new KeyedMutex({ ...options, clock }), pass: (ms) => clock.advance(ms) };
 * };
 * for (const { name, run } of lockerContract(bench, { shared: true })) test(name, run);
 */
export function lockerContract(
  make: () => MaybePromise<LockerBench>,
  abilities: LockerAbilities,
): readonly ContractCase[] {
  const cases: LockerCases = {
    ...grantCases,
    ...waitCases,
    ...leaseCases,
    ...groupCases,
    ...viewCases,
    ...(abilities.shared ? sharedCases : exclusiveOnlyCases),
  };
  return casesOf(cases, async () => new LockerTrial(await make()));
}
