/// <reference lib="esnext.disposable" preserve="true" />
/**
 * What every driver and every locker must do, as plain cases for any test runner; a clock and a network that do as
 * the test says.
 * @module
 */
export { VirtualClock } from '@chunks/base';
export {
  type ConditionalPutFront,
  type ConditionalPutFrontOptions,
  conditionalPutFront,
  type FrontFault,
} from './testing/conditional-put-front.ts';
export type { ContractCase } from './testing/contract-case.ts';
export { faultyLeases, type LeaseCall, type LeaseFault } from './testing/faulty-leases.ts';
export type { LeaseAbilities, LeaseBench } from './testing/lease-bench.ts';
export { leaseDriverContract } from './testing/lease-contract.ts';
export type { LockerAbilities, LockerBench } from './testing/locker-bench.ts';
export { lockerContract } from './testing/locker-contract.ts';
