import type { MaybePromise } from '@chunks/base';
import { type ContractCase, casesOf } from '@chunks/base/testing';
import { listCases, noListCases, noRemoveCases, noWatchCases, removeCases, watchCases } from './store-ability-cases.ts';
import { type StoreAbilities, type StoreBench, type StoreCases, StoreTrial } from './store-bench.ts';
import { storeCases } from './store-cases.ts';

/**
 * All that `createState` relies on, as plain cases for any test runner on any runtime. Cases know nothing of each other
 * and may run at once.
 * @param make a store of its own for each case, see {@link StoreBench}
 * @param abilities what the store declares as its capabilities. What is absent is not skipped: that it is absent is a case.
 * @example
 * const abilities = { watch: true, list: true, remove: true, durable: 'memory' } as const;
 * // All processes of a case share its store.
 * const bench = () => {
 *   const store = memoryStore();
 *   return { open: () => store };
 * };
 * for (const { name, run } of versionedStoreContract(bench, abilities)) test(name, run);
 */
export function versionedStoreContract(
  make: () => MaybePromise<StoreBench>,
  abilities: StoreAbilities,
): readonly ContractCase[] {
  const cases: StoreCases = {
    ...storeCases,
    ...(abilities.list ? listCases : noListCases),
    ...(abilities.remove ? removeCases : noRemoveCases),
    ...(abilities.watch ? watchCases : noWatchCases),
  };
  return casesOf(cases, async () => new StoreTrial(await make(), abilities));
}
