/// <reference lib="esnext.disposable" preserve="true" />
/**
 * What every driver and every locker must do, as plain cases for any test runner; a clock and a network that do as
 * the test says.
 * @module
 */
export {
  type ConditionalPutFront,
  type ConditionalPutFrontOptions,
  type ContractCase,
  conditionalPutFront,
  type FrontFault,
  VirtualClock,
} from '@chunks/base/testing';
export { faultyLeases, type LeaseCall, type LeaseFault } from './testing/faulty-leases.ts';
export type { LeaseAbilities, LeaseBench } from './testing/lease-bench.ts';
export { leaseDriverContract } from './testing/lease-contract.ts';
export type { LockerAbilities, LockerBench } from './testing/locker-bench.ts';
export { lockerContract } from './testing/locker-contract.ts';
