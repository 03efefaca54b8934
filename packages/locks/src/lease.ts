/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Locks as leases in a store that several processes share.
 * @module
 */
export type * from './lease-driver.ts';
export { memoryLeases } from './memory-leases.ts';
export type { LeasedLock, LeaseLocker, LeaseLockerOptions } from './types.ts';
