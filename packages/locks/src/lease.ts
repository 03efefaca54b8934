/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Locks as leases in a store that several processes share.
 * @module
 */

export { leaseLocker } from './lease/locker.ts';
export type * from './lease-driver.ts';
export { memoryLeases } from './memory-leases.ts';
export type { LeasedLock, LeaseLocker, LeaseLockerOptions } from './types.ts';
