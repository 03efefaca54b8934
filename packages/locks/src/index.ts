/// <reference lib="esnext.disposable" preserve="true" />
/**
 * A keyed async mutex with timeouts, cancellation, shared mode, leases and fencing tokens.
 * @module
 */
export type { Clock, Histogram, MaybePromise } from '@chunks/base';
export type * from './deadlock-detector.ts';
export * from './errors.ts';
export { assertFresh, FencingGuard } from './fencing.ts';
export { KeyedMutex } from './keyed-mutex.ts';
export type * from './types.ts';
