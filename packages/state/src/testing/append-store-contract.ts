import type { MaybePromise } from '@chunks/base';
import { type ContractCase, casesOf, equal, isTrue } from '@chunks/base/testing';
import type { AppendStore } from '../event-log/append-store.ts';

/** A store of its own for one case, empty below every prefix that begins with `contract`. */
export interface AppendBench {
  readonly store: AppendStore;
  /** Keys in one page of a list: a case writes twice as many. @default 1_000 */
  readonly pageSize?: number | undefined;
  /** Lets everything that was written show. @default nothing to wait for */
  settle?(): MaybePromise<void>;
  /** Takes the store away after the case. */
  close?(): MaybePromise<void>;
}

class AppendTrial {
  readonly store: AppendStore;
  readonly #bench: AppendBench;

  constructor(bench: AppendBench) {
    this.store = bench.store;
    this.#bench = bench;
  }

  async settle(): Promise<void> {
    await this.#bench.settle?.();
  }

  async put(...keys: readonly string[]): Promise<void> {
    await Promise.all(keys.map((key) => this.store.put(key, `of ${key}`)));
    await this.settle();
  }

  /** Keys for several pages. */
  async fill(): Promise<string[]> {
    const { pageSize = 1_000 } = this.#bench;
    const keys = Array.from({ length: 2 * pageSize + 1 }, (_, i) => `contract/${String(i).padStart(6, '0')}`);
    for (let i = 0; i < keys.length; i += 100) {
      await Promise.all(keys.slice(i, i + 100).map((key) => this.store.put(key, '1')));
    }
    await this.settle();
    return keys;
  }

  /** All pages; `meanwhile` is called after each. */
  async list(prefix: string, meanwhile?: (page: readonly string[]) => Promise<void>): Promise<string[]> {
    const keys: string[] = [];
    let cursor: string | undefined;
    do {
      const page: Awaited<ReturnType<AppendStore['list']>> = await this.store.list(prefix, cursor);
      keys.push(...page.keys);
      await meanwhile?.(page.keys);
      isTrue(page.cursor === undefined || page.cursor !== cursor, 'a cursor must lead on');
      cursor = page.cursor;
    } while (cursor !== undefined);
    return keys.sort();
  }

  async end(): Promise<void> {
    await this.#bench.close?.();
  }
}

const cases: Record<string, (trial: AppendTrial) => Promise<void>> = {
  'it has a name': async ({ store }) => {
    isTrue(typeof store.name === 'string' && store.name !== '', 'name');
  },

  'a key that was never written is undefined, and in no list': async (trial) => {
    equal(await trial.store.get('contract/absent'), undefined, 'get');
    equal(await trial.store.list('contract/'), { keys: [] }, 'list');
  },

  'what was put is got, to the letter': async (trial) => {
    const values = ['""', '{"a":"é"}', '"😀"', '"a\\u0000b"', `"${'x'.repeat(300_000)}"`];
    await Promise.all(values.map((value, i) => trial.store.put(`contract/${i}`, value)));
    await trial.settle();
    for (const [i, value] of values.entries()) {
      isTrue((await trial.store.get(`contract/${i}`)) === value, `value ${i} came back as another one`);
    }
  },

  'a list has the keys that begin with the prefix, whatever characters are in them, and no others': async (trial) => {
    const mine = [
      'contract/e/',
      'contract/e/a',
      'contract/e/a-b.c',
      'contract/e/%0020',
      'contract/e/A',
      'contract/e/a_b',
    ];
    await trial.put(
      ...mine,
      'contract/f/a',
      'contract/E/a',
      'contract',
      'contract%2Fe/a',
      'contract_e/a',
      'ontract/e/a',
    );
    equal(await trial.list('contract/e/'), [...mine].sort(), 'contract/e/');
    equal(await trial.list('contract/e/a-b.c'), ['contract/e/a-b.c'], 'a whole key');
    equal(await trial.list('contract%'), ['contract%2Fe/a'], 'a prefix is no pattern');
    for (const key of mine) equal(await trial.store.get(key), `of ${key}`, key);
  },

  'pages make up the whole list': async (trial) => {
    const keys = await trial.fill();
    equal(await trial.list('contract/'), keys, 'keys');
  },

  'what is deleted while its list is read takes no other key along': async (trial) => {
    const keys = await trial.fill();
    const deletedOf = (page: readonly string[]): readonly string[] => page.slice(0, page.length / 2);
    const seen = await trial.list('contract/', async (page) => {
      await Promise.all(deletedOf(page).map((key) => trial.store.delete(key)));
    });
    const missing = keys.filter((key) => !seen.includes(key));
    equal(missing, [], 'keys that were not shown');
  },

  'what was deleted is gone, its neighbours are not': async (trial) => {
    await trial.put('contract/a', 'contract/ab', 'contract/a/b');
    await trial.settle();
    await trial.store.delete('contract/a');
    await trial.store.delete('contract/absent');
    await trial.settle();
    equal(await trial.store.get('contract/a'), undefined, 'get');
    equal(await trial.list('contract/'), ['contract/a/b', 'contract/ab'], 'list');
  },
};

/**
 * All that `EventLog` relies on, as plain cases for any test runner on any runtime.
 * @param make a store of its own for each case, see {@link AppendBench}
 * @example
 * for (const { name, run } of appendStoreContract(() => ({ store: memoryAppendStore() }))) test(name, run);
 */
export function appendStoreContract(make: () => MaybePromise<AppendBench>): readonly ContractCase[] {
  return casesOf(cases, async () => new AppendTrial(await make()));
}
