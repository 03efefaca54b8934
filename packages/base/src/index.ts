/// <reference lib="esnext.disposable" preserve="true" />
export * from './abort.ts';
export * from './backoff.ts';
export * from './byte-range.ts';
export * from './bytes.ts';
export * from './check.ts';
export * from './clock.ts';
export * from './coded-error.ts';
export * from './emitter.ts';
export * from './histogram.ts';
export * from './http/body-length-error.ts';
export * from './http/entity-tag.ts';
export * from './http/http-date.ts';
export * from './http/range-header.ts';
export * from './http/range-response.ts';
export * from './linked-list.ts';
export * from './range-set.ts';
export * from './types.ts';
export { VirtualClock } from './virtual-clock.ts';
