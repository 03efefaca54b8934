// What the tests use of workerd and of its test helpers; the whole types would put a second `fetch` beside Node's.

declare module 'cloudflare:workers' {
  import type { StateNamespace } from '../../src/adapters/durable-object.ts';
  import type { R2StoreBucket } from '../../src/adapters/r2.ts';
  import type { KvNamespace } from '../../src/event-log/kv-namespace.ts';

  interface Bindings {
    readonly KV: KvNamespace & {
      list(o: Parameters<KvNamespace['list']>[0] & { limit: number }): ReturnType<KvNamespace['list']>;
    };
    readonly RECORDS: R2StoreBucket & { delete(name: string): Promise<void> };
    readonly STATES: StateNamespace<unknown>;
  }
}

declare module 'cloudflare:test' {
  import type { StateObjectState, StateStub } from '../../src/adapters/durable-object.ts';

  export function runInDurableObject<O, R>(
    stub: StateStub,
    callback: (instance: O, state: StateObjectState & { abort(reason: string): void }) => R | Promise<R>,
  ): Promise<R>;
  export function evictDurableObject(stub: StateStub): Promise<void>;
}
