import type { MaybePromise } from '@chunks/base';
import type { VersionedStore } from '@chunks/state';
import fc from 'fast-check';
import { expect } from 'vitest';
import { runs } from '../../../../.ci/testing/runs.ts';

// What stores escape, sort and cut in their own ways, halves of letters included.
const UNITS = ['a', 'A', '\0', '\u0001', '%', '_', '\\', '"', 'u', '0', 'é', '\uffff', '\ud83d', '\ude00', '\udbff'];
const text = fc.array(fc.constantFrom(...UNITS), { maxLength: 4 }).map((units) => units.join(''));

/** Whatever is in the store, each prefix gives the keys that begin with it. @param empty an empty store */
export async function listsByPrefix(
  empty: () => MaybePromise<{ store: VersionedStore; end?: () => unknown }>,
): Promise<void> {
  const { signal } = new AbortController();
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(text, { maxLength: 25 }),
      fc.array(text, { minLength: 4, maxLength: 8 }),
      async (some, prefixes) => {
        const keys = [...new Set(['😀', 'a😀', ...some])];
        const { store, end } = await empty();
        for (const key of keys) await store.write(key, '1', undefined, { signal });
        for (const prefix of ['', '\ud83d', 'a\ud83d', ...prefixes]) {
          const listed: string[] = [];
          for await (const key of store.list?.(prefix, { signal }) ?? []) listed.push(key);
          expect(listed.sort()).toEqual(keys.filter((key) => key.startsWith(prefix)).sort());
        }
        await store.close?.();
        await end?.();
      },
    ),
    { numRuns: runs(30) },
  );
}
