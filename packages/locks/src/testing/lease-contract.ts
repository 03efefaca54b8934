import type { MaybePromise } from '@chunks/base';
import { type ContractCase, casesOf } from '@chunks/base/testing';
import {
  exclusiveOnlyCases,
  injectedClockCases,
  inspectCases,
  localCases,
  noInspectCases,
  noWatchCases,
  remoteCases,
  sharedCases,
  watchCases,
} from './lease-ability-cases.ts';
import { type LeaseAbilities, type LeaseBench, LeaseTrial } from './lease-bench.ts';
import { acquireCases, holderCases, type LeaseCases } from './lease-cases.ts';
import { lineCases, noLineCases, sharedLineCases } from './lease-line-cases.ts';

/**
 * All that `leaseLocker` relies on, as plain cases for any test runner on any runtime. Cases know nothing of each other
 * and may run at once; those that let a lease end take a few `shortMs` where the store's time is real.
 * @param make a store of its own for each case, see {@link LeaseBench}
 * @param abilities what the driver can do. What it declares absent is not skipped: that it is absent is a case.
 * @example
 * const abilities = { shared: false, inspect: true, watch: true, line: false, clock: 'store', remote: true } as const;
 * for (const { name, run } of leaseDriverContract(makeBench, abilities)) test(name, run);
 */
export function leaseDriverContract(
  make: () => MaybePromise<LeaseBench>,
  abilities: LeaseAbilities,
): readonly ContractCase[] {
  const cases: LeaseCases = {
    ...acquireCases,
    ...holderCases,
    ...(abilities.inspect ? inspectCases : noInspectCases),
    ...(abilities.watch ? watchCases : noWatchCases),
    ...(abilities.line ? lineCases : noLineCases),
    ...(abilities.shared ? sharedCases : exclusiveOnlyCases),
    ...(abilities.shared && abilities.line ? sharedLineCases : {}),
    ...(abilities.remote ? remoteCases : localCases),
    ...(abilities.clock === 'injected' ? injectedClockCases : {}),
  };
  return casesOf(cases, async () => new LeaseTrial(await make()));
}
