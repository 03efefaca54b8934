/// <reference lib="esnext.disposable" preserve="true" />
import { refuseType } from '@chunks/base';
import { bytesOf } from '../envelope.ts';
import { UnsupportedError, ValueTooLargeError } from '../errors.ts';
import type { AppendStore } from '../event-log/append-store.ts';
import type { KvNamespace } from '../event-log/kv-namespace.ts';

export type { AppendStore, KvNamespace };

const NAME = 'workers-kv';
const MAX_KEY_BYTES = 512;
const MAX_VALUE_BYTES = 25 * 1024 * 1024;

function checkBytes(storeKey: string, what: string, text: string, limit: number): void {
  const bytes = bytesOf(text);
  if (bytes > limit) throw new ValueTooLargeError({ key: storeKey, what, bytes, limit });
}

function marked(error: unknown): unknown {
  // The namespace tells its status by the message only. One write a second per key, and this one was too many.
  const isRefused = error instanceof Error && /\b429\b/.test(error.message);
  return isRefused ? Object.assign(error, { definite: true }) : error;
}

/**
 * Workers KV for an `EventLog`: every event has a key of its own, so neither the missing compare-and-set nor the limit
 * of one write a second per key is ever met. What is written shows elsewhere after up to 60 s, absence included.
 * A key of a log may have some 470 letters, digits, `_` and `-`; any other character counts as five.
 *
 * It is no store for `createState`, which needs a compare-and-set: that throws UNSUPPORTED.
 * @throws TypeError when it is no namespace; VALUE_TOO_LARGE from `put` for more than 25 MiB or a key of more than
 * 512 bytes, nothing written.
 * @example
 * const log = new EventLog({
 *   store: workersKvLog(env.KV),
 *   initial: () => ({ count: 0 }),
 *   reduce: (state, by: number) => void (state.count += by),
 * });
 */
export function workersKvLog(namespace: KvNamespace): AppendStore {
  for (const method of ['get', 'put', 'list', 'delete'] as const) {
    if (typeof namespace?.[method] !== 'function') refuseType('namespace', 'a binding to Workers KV', namespace);
  }
  const store: AppendStore = {
    name: NAME,
    async put(key, value) {
      checkBytes(key, 'the key', key, MAX_KEY_BYTES);
      checkBytes(key, 'the record', value, MAX_VALUE_BYTES);
      await namespace.put(key, value).catch((error: unknown) => {
        throw marked(error);
      });
    },
    async get(key) {
      checkBytes(key, 'the key', key, MAX_KEY_BYTES);
      return (await namespace.get(key, 'text')) ?? undefined;
    },
    async list(prefix, cursor) {
      checkBytes(prefix, 'the key', prefix, MAX_KEY_BYTES);
      const page = await namespace.list({ prefix, ...(cursor !== undefined && { cursor }) });
      return { keys: page.keys.map(({ name }) => name), cursor: page.cursor || undefined };
    },
    delete: (key) => namespace.delete(key),
  };
  // The first thing that `createState` looks for.
  return Object.defineProperty(store, 'read', {
    get: () => {
      const instead = "use new EventLog({ store }) from '@chunks/state/event-log', or another store";
      throw new UnsupportedError({ key: '', capability: 'compare-and-set', store: NAME, instead });
    },
  });
}
