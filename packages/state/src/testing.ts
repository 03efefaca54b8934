/// <reference lib="esnext.disposable" preserve="true" />
/**
 * What every store must do, as plain cases for any test runner; stores and networks that fail as the test says.
 * @module
 */
export {
  type ConditionalPutFront,
  type ConditionalPutFrontOptions,
  type ContractCase,
  conditionalPutFront,
  FaultProxy,
  type FrontFault,
  VirtualClock,
} from '@chunks/base/testing';
export { type AppendBench, appendStoreContract } from './testing/append-store-contract.ts';
export { checkLinearizable, type Linearizability } from './testing/check-linearizable.ts';
export { checkVersionOrder, type UpdateEnd, type VersionOrderOptions } from './testing/check-version-order.ts';
export {
  type FaultyStoreOptions,
  faultyStore,
  STORE_FAULTS,
  type StoreCallCounts,
  type StoreFault,
} from './testing/faulty-store.ts';
export { historyCases } from './testing/history-contract.ts';
export type { HistoryOptions } from './testing/history-trial.ts';
export type { HistoryOperation, SequentialModel } from './testing/linearize.ts';
export { memoryAppendStore } from './testing/memory-append-store.ts';
export { type CounterInput, counterModel, type RegisterInput, registerModel } from './testing/models.ts';
export { type StaleKv, type StaleKvOptions, staleKv } from './testing/stale-kv.ts';
export { stateContract } from './testing/state-contract.ts';
export type { StoreAbilities, StoreBench } from './testing/store-bench.ts';
export { versionedStoreContract } from './testing/store-contract.ts';
