import type { MaybePromise } from '@chunks/base';
import { type ContractCase, casesOf } from '@chunks/base/testing';
import { bareHistory, counterHistory, registerHistory } from './history-programs.ts';
import { type HistoryOptions, HistoryTrial } from './history-trial.ts';
import type { StoreBench } from './store-bench.ts';

/**
 * Random programs of several clients on one store, whose histories must be explained by one order: a register and a
 * counter behind `createState`, and the bare store itself. They find what looks right in single steps: a compare-and-set
 * that does not compare, reads that are late, revisions that come again with an old value. As plain cases for any test
 * runner; each takes a moment, and more of them, or more operations, find more.
 * @param make a store of its own for each case, see {@link StoreBench}
 * @param o what goes wrong, and how much is done
 * @example
 * // All processes of a case share its store.
 * const bench = () => {
 *   const store = memoryStore();
 *   return { open: () => store };
 * };
 * const faults = ['lose-reply', 'lose-request', 'delay'] as const;
 * for (const { name, run } of historyCases(bench, { faults })) test(name, run);
 */
export function historyCases(make: () => MaybePromise<StoreBench>, o: HistoryOptions = {}): readonly ContractCase[] {
  const cases = {
    'histories of a register have an order': registerHistory,
    'histories of a counter have an order, which versions tell': counterHistory,
    'histories of the bare store have an order': bareHistory,
  };
  return casesOf<HistoryTrial>(cases, async () => new HistoryTrial(await make(), o));
}
