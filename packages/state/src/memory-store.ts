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
  // One counter for all keys, so that no revision ever comes twice.
  let writes = 0;
  return {
    name: 'memory',
    capabilities: { watch: false, list: false, remove: false, durable: 'memory' },
    read: async (key) => {
      const record = records.get(key);
      return record && { ...record };
    },
    write: async (key, value, expected) => {
      const record = records.get(key);
      if (record?.revision !== expected) return { conflict: true, current: record && { ...record } };
      const revision = String(++writes);
      records.set(key, { value, revision });
      return { revision };
    },
  };
}
