import { onAbort } from '@chunks/base';
import type { VersionedStore } from './store.ts';

/**
 * Records in this process's memory: for tests, and for state that may be lost with the process.
 * Several `createState` may share one.
 *
 * @example
 * const state = createState({ store: memoryStore(), initial: () => ({ count: 0 }) });
 */
export function memoryStore(): VersionedStore {
  const records = new Map<string, { value: string; revision: string }>();
  const watchers = new Map<string, Set<() => void>>();
  // One counter for all keys, so that no revision ever comes twice.
  let writes = 0;

  function changed(key: string): void {
    for (const tick of watchers.get(key) ?? []) tick();
  }

  async function* watch(key: string, signal: AbortSignal): AsyncGenerator<void> {
    let due = true;
    let wake = (): void => undefined;
    const tick = (): void => {
      due = true;
      wake();
    };
    const own = watchers.get(key) ?? new Set();
    watchers.set(key, own.add(tick));
    const off = onAbort(signal, () => wake());
    try {
      for (;;) {
        signal.throwIfAborted();
        if (due) {
          due = false;
          yield;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      off();
      own.delete(tick);
      if (own.size === 0) watchers.delete(key);
    }
  }

  return {
    name: 'memory',
    capabilities: { watch: true, list: true, remove: true, durable: 'memory' },
    read: async (key) => {
      const record = records.get(key);
      return record && { ...record };
    },
    write: async (key, value, expected) => {
      const record = records.get(key);
      if (record?.revision !== expected) return { conflict: true, current: record && { ...record } };
      const revision = String(++writes);
      records.set(key, { value, revision });
      changed(key);
      return { revision };
    },
    remove: async (key, expected) => {
      if (records.get(key)?.revision !== expected) return false;
      records.delete(key);
      changed(key);
      return true;
    },
    async *list(prefix, { signal }) {
      for (const key of [...records.keys()]) {
        signal.throwIfAborted();
        if (key.startsWith(prefix) && records.has(key)) yield key;
      }
    },
    watch: (key, { signal }) => watch(key, signal),
  };
}
