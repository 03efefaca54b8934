import { checkInteger } from '@chunks/base';
import type { AppendStore } from '../event-log/append-store.ts';

/**
 * An `AppendStore` in memory that shows everything at once.
 * @param options.pageSize keys in one page of a list @default 1_000
 * @example
 * const log = new EventLog({ store: memoryAppendStore(), initial: () => ({ n: 0 }), reduce: (state) => void state.n++ });
 */
export function memoryAppendStore(
  options: { pageSize?: number | undefined } = {},
): AppendStore & { readonly records: Map<string, string> } {
  const pageSize = checkInteger('pageSize', options.pageSize ?? 1_000, 1);
  const records = new Map<string, string>();
  return {
    name: 'memory',
    records,
    put: async (key, value) => void records.set(key, value),
    get: async (key) => records.get(key),
    async list(prefix, cursor = '') {
      const keys = [...records.keys()].filter((key) => key.startsWith(prefix) && key > cursor).sort();
      const page = keys.slice(0, pageSize);
      return { keys: page, cursor: keys.length > pageSize ? page.at(-1) : undefined };
    },
    delete: async (key) => void records.delete(key),
  };
}
