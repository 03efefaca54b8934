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
export {
  type FaultyStoreOptions,
  faultyStore,
  STORE_FAULTS,
  type StoreCallCounts,
  type StoreFault,
} from './testing/faulty-store.ts';
export { stateContract } from './testing/state-contract.ts';
export type { StoreAbilities, StoreBench } from './testing/store-bench.ts';
export { versionedStoreContract } from './testing/store-contract.ts';
