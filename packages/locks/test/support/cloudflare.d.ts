// What the tests use of workerd and of its test helpers; the whole types would put a second `fetch` beside Node's.

declare module 'cloudflare:workers' {
  import type { LeaseNamespace } from '../../src/adapters/durable-object.ts';
  import type { LeaseBucket } from '../../src/adapters/object-store.ts';

  // Tests of other packages add their own.
  interface Bindings {
    readonly BUCKET: LeaseBucket & { head(name: string): Promise<unknown> };
    readonly LEASES: LeaseNamespace<unknown>;
    readonly TIMED_LEASES: LeaseNamespace<unknown>;
  }
  export const env: Bindings;
}

declare module 'cloudflare:test' {
  import type { LeaseObjectState, LeaseStub } from '../../src/adapters/durable-object.ts';

  export function runInDurableObject<O, R>(
    stub: LeaseStub,
    callback: (instance: O, state: LeaseObjectState) => R | Promise<R>,
  ): Promise<R>;
  export function runDurableObjectAlarm(stub: LeaseStub): Promise<boolean>;
  export function evictDurableObject(stub: LeaseStub, options?: { webSockets?: 'close' | 'hibernate' }): Promise<void>;
  export function abortAllDurableObjects(): Promise<void>;
}
