import type { AppendStore } from '@chunks/state/event-log';
import { type AppendBench, appendStoreContract, memoryAppendStore } from '@chunks/state/testing';
import { describe, expect, test } from 'vitest';

type Flaw = (store: ReturnType<typeof memoryAppendStore>) => Partial<AppendStore>;

const [named, absent, letter, prefix, pages, cursor, gone] = [
  'it has a name',
  'a key that was never written is undefined, and in no list',
  'what was put is got, to the letter',
  'a list has the keys that begin with the prefix, whatever characters are in them, and no others',
  'pages make up the whole list',
  'what is deleted while its list is read takes no other key along',
  'what was deleted is gone, its neighbours are not',
] as const;

const matching =
  (matches: (key: string, prefix: string) => boolean): Flaw =>
  ({ records }) => ({
    list: async (start) => ({ keys: [...records.keys()].filter((key) => matches(key, start)) }),
  });

// What each makes red, at least.
const flaws: Record<string, { of: Flaw; red: readonly string[] }> = {
  'no name': { of: () => ({ name: '' }), red: [named] },
  'null for nothing': {
    of: ({ records }) => ({ get: async (key) => records.get(key) ?? (null as never) }),
    red: [absent, gone],
  },
  'cuts values off': {
    of: (store) => ({ put: (key, value) => store.put(key, value.slice(0, 100_000)) }),
    red: [letter],
  },
  'puts values in another form of letters': {
    of: (store) => ({ put: (key, value) => store.put(key, value.normalize('NFD')) }),
    red: [letter],
  },
  'lists all keys': { of: matching(() => true), red: [prefix] },
  'lists without regard to case': {
    of: matching((key, start) => key.toLowerCase().startsWith(start.toLowerCase())),
    red: [prefix],
  },
  'takes a prefix as a pattern': {
    of: matching((key, start) => new RegExp(`^${start.replaceAll('%', '.*').replaceAll('_', '.')}`).test(key)),
    red: [prefix],
  },
  'has a first page only': {
    of: (store) => ({ list: async (start) => ({ keys: (await store.list(start)).keys }) }),
    red: [pages, cursor],
  },
  'pages by number': {
    of: ({ records }) => ({
      list: async (start, from = '0') => {
        const all = [...records.keys()].filter((key) => key.startsWith(start)).sort();
        const end = Number(from) + 100;
        return { keys: all.slice(Number(from), end), cursor: end < all.length ? String(end) : undefined };
      },
    }),
    red: [cursor],
  },
  'never comes to an end': {
    of: (store) => ({ list: async (start) => ({ ...(await store.list(start)), cursor: '0' }) }),
    red: [pages, absent],
  },
  'keeps what is deleted': { of: () => ({ delete: async () => undefined }), red: [gone] },
  'deletes by prefix': {
    of: ({ records }) => ({
      delete: async (key) => {
        for (const other of [...records.keys()]) if (other.startsWith(key)) records.delete(other);
      },
    }),
    red: [gone],
  },
  'deletes the list only': {
    of: (store) => {
      const deleted = new Map<string, string>();
      return {
        delete: async (key) => {
          deleted.set(key, (await store.get(key)) ?? '');
          await store.delete(key);
        },
        get: async (key) => deleted.get(key) ?? store.get(key),
      };
    },
    red: [gone],
  },
};

async function redCases(flaw: Flaw): Promise<string[]> {
  const make = (): AppendBench => {
    const store = memoryAppendStore({ pageSize: 100 });
    return { pageSize: 100, store: { ...store, ...flaw(store) } };
  };
  const red: string[] = [];
  for (const { name, run } of appendStoreContract(make)) await run().catch(() => red.push(name));
  return red;
}

describe('appendStoreContract', () => {
  test('finds nothing wrong with a right store', async () => {
    expect(await redCases(() => ({}))).toEqual([]);
  });

  test.each(Object.entries(flaws))('catches a store that %s', async (_, { of, red }) => {
    expect(await redCases(of)).toEqual(expect.arrayContaining([...red]));
  });

  test('has no case that catches nothing', () => {
    const caught = new Set(Object.values(flaws).flatMap(({ red }) => red));
    const names = appendStoreContract(() => ({ store: memoryAppendStore() })).map(({ name }) => name);
    expect(new Set(names)).toEqual(caught);
  });

  test('waits for what was written to show, and closes the bench however the case ends', async () => {
    const calls: string[] = [];
    const store = { ...memoryAppendStore(), delete: async () => undefined };
    const settle = (): void => void calls.push('settle');
    const close = (): void => void calls.push('close');
    for (const { name, run } of appendStoreContract(() => ({ store, settle, close }))) {
      if (name === gone) await expect(run()).rejects.toThrow('get: expected undefined');
    }
    expect(calls).toEqual(['settle', 'settle', 'settle', 'close']);
  });
});
