/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Records in Durable Objects: one object a key.
 * @module
 */
import { checkFunction } from '@chunks/base';
import type { Revision, VersionedStore } from '../store.ts';

export { StateObject, type StateObjectState } from './durable-object/state-object.ts';

/** What is used of the stub of a Durable Object. */
export interface StateStub {
  fetch(
    url: string,
    init: { method: string; headers: Record<string, string>; body?: string },
  ): Promise<{
    readonly status: number;
    readonly headers: { get(name: string): string | null };
    text(): Promise<string>;
  }>;
}

/** A binding to the namespace of `StateObject`s: a `DurableObjectNamespace` has this shape. */
export interface StateNamespace<Id> {
  idFromName(name: string): Id;
  get(id: Id): StateStub;
}

// Nobody resolves it: a stub leads to its object alone.
const URL_OF_OBJECT = 'https://state.object/';
// A row may have 2 MB; the revision and what SQLite adds take less than the rest.
const MAX_VALUE_BYTES = 1_999_900;

/**
 * Records in Durable Objects. Bind the namespace of {@link StateObject}, which the Worker exports.
 *
 * One object a key. Each call is one request to it, in which it reads, compares and writes without a pause, so no two
 * writes ever come in between each other; a conflict brings along what stands there. The runtime sends an answer out only
 * when what was written is stored safely. A record may have two megabytes, less a little. Nobody can list the objects of a
 * namespace, so neither can this. What an object or the runtime throws counts as unknown, overload too: the runtime may
 * have sent the request before.
 *
 * @throws TypeError when `namespace` is none.
 * @example
 * export { StateObject } from '@chunks/state/durable-object';
 * const state = createState({ store: durableObjectStore(env.STATES), initial: () => ({ count: 0 }) });
 */
export function durableObjectStore<Id>(namespace: StateNamespace<Id>): VersionedStore {
  checkFunction('namespace.idFromName', namespace?.idFromName);
  checkFunction('namespace.get', namespace?.get);

  async function ask(
    key: string,
    method: string,
    expected: Revision | undefined,
    init: { body?: string; signal: AbortSignal },
  ): Promise<{ status: number; record: { value: string; revision: Revision } | undefined }> {
    // A stub anew each time: after an object was reset, one from before goes on failing. As JSON, because in UTF-8 lone
    // surrogates are all the same.
    const stub = namespace.get(namespace.idFromName(JSON.stringify(key)));
    const headers: Record<string, string> = expected === undefined ? {} : { 'if-match': expected };
    // With the signal, which stands in no type above: those of Workers and of browsers do not fit each other.
    const answer = await stub.fetch(URL_OF_OBJECT, { method, headers, ...init });
    const { status } = answer;
    const value = await answer.text();
    const revision = answer.headers.get('etag');
    // Whoever answers in its place must not pass for it: a page for a record, or 404 for none.
    if (status !== 412 && status !== (revision === null ? 204 : 200)) {
      throw new Error(`the state object answered ${status}: ${value}`);
    }
    return { status, record: revision === null ? undefined : { value, revision } };
  }

  return {
    name: 'durable-object',
    capabilities: { watch: false, list: false, remove: true, durable: 'sync', maxValueBytes: MAX_VALUE_BYTES },
    async read(key, { signal }) {
      return (await ask(key, 'GET', undefined, { signal })).record;
    },
    async write(key, value, expected, { signal }) {
      const { status, record } = await ask(key, 'PUT', expected, { body: value, signal });
      return status === 200 && record ? { revision: record.revision } : { conflict: true, current: record };
    },
    async remove(key, expected, { signal }) {
      return (await ask(key, 'DELETE', expected, { signal })).status === 204;
    },
  };
}
