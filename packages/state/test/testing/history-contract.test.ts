import { seededRandom } from '@chunks/base/testing';
import { memoryStore, type VersionedStore } from '@chunks/state';
import { type HistoryOptions, historyCases, STORE_FAULTS } from '@chunks/state/testing';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../../.ci/testing/runs.ts';

const shared = (store: VersionedStore) => () => ({ open: () => ({ ...store, close: async () => undefined }) });

/** The names of the cases that do not hold, with what they say. */
async function red(store: () => VersionedStore, o: HistoryOptions): Promise<Map<string, string>> {
  const said = new Map<string, string>();
  for (const { name, run } of historyCases(() => shared(store())(), o)) {
    await run().catch((error: Error) => said.set(name, error.message));
  }
  return said;
}

describe('a store that is right is fine', () => {
  test('without faults', async () => {
    for (let seed = 0; seed < runs(5); seed++) {
      expect(await red(memoryStore, { random: seededRandom(seed) })).toEqual(new Map());
    }
  });
  test('with all that may befall it', async () => {
    for (let seed = 0; seed < runs(5); seed++) {
      const o = { random: seededRandom(seed), faults: STORE_FAULTS, attemptTimeoutMs: 10 };
      expect(await red(memoryStore, o)).toEqual(new Map());
    }
  });
});

const REGISTER = 'histories of a register have an order';
const COUNTER = 'histories of a counter have an order, which versions tell';
const BARE = 'histories of the bare store have an order';

interface Flaw {
  make: () => VersionedStore;
  o?: HistoryOptions;
  /** The cases that see it: in every run, or, where it needs an opportunity, in most. */
  caught: readonly string[];
  often?: boolean;
}

const flaws: Record<string, Flaw> = {
  'a store that ignores `expected`': {
    make() {
      const inner = memoryStore();
      return {
        ...inner,
        async write(key, value, _, o) {
          for (;;) {
            const found = await inner.read(key, o);
            const reply = await inner.write(key, value, found?.revision, o);
            if ('revision' in reply) return reply;
          }
        },
      };
    },
    caught: [REGISTER, COUNTER, BARE],
  },
  'a store that looks, waits, and then writes': {
    make() {
      const inner = memoryStore();
      return {
        ...inner,
        async write(key, value, expected, o) {
          const found = await inner.read(key, o);
          if (found?.revision !== expected) return { conflict: true };
          await Promise.resolve();
          const now = await inner.read(key, o);
          return inner.write(key, value, now?.revision, o);
        },
      };
    },
    caught: [REGISTER, BARE],
    often: true,
  },
  'a store that answers stale reads': {
    make: memoryStore,
    o: { faults: ['stale'] },
    caught: [REGISTER, COUNTER, BARE],
  },
  // Records of createState hold the id of their write, so that no two are equal: the bare store shows it.
  'a store whose revision is a hash of the content (put A, put B, put A)': {
    make: etagStore,
    caught: [BARE],
  },
  'a store that loses one write in ten': {
    make() {
      const inner = memoryStore();
      let writes = 0;
      return {
        ...inner,
        async write(key, value, expected, o) {
          const found = await inner.read(key, o);
          if (++writes % 10 > 0 || found?.revision !== expected) return inner.write(key, value, expected, o);
          return { revision: `lost ${writes}` };
        },
      };
    },
    caught: [REGISTER, COUNTER, BARE],
    often: true,
  },
  'a store that writes one in ten twice, the second time whatever stands there': {
    make() {
      const inner = memoryStore();
      let writes = 0;
      return {
        ...inner,
        async write(key, value, expected, o) {
          const reply = await inner.write(key, value, expected, o);
          if ('conflict' in reply || ++writes % 10 > 0) return reply;
          void Promise.resolve().then(async () => {
            for (let i = 0; i < 20; i++) await inner.read(key, o);
            await inner.write(key, value, (await inner.read(key, o))?.revision, o);
          });
          return reply;
        },
      };
    },
    caught: [REGISTER, COUNTER, BARE],
    often: true,
  },
  'a store that says conflict and has written': {
    make() {
      const inner = memoryStore();
      let writes = 0;
      return {
        ...inner,
        async write(key, value, expected, o) {
          const reply = await inner.write(key, value, expected, o);
          return 'conflict' in reply || ++writes % 10 > 0 ? reply : { conflict: true };
        },
      };
    },
    // Behind createState that does no harm.
    caught: [BARE],
    often: true,
  },
};

function etagStore(): VersionedStore {
  const values = new Map<string, string>();
  const found = (key: string) => {
    const value = values.get(key);
    return value === undefined ? undefined : { value, revision: `"${value}"` };
  };
  return {
    ...memoryStore(),
    read: async (key) => found(key),
    write: async (key, value, expected) => {
      if (found(key)?.revision !== expected) return { conflict: true, current: found(key) };
      values.set(key, value);
      return { revision: `"${value}"` };
    },
  };
}

describe('caught is', () => {
  test.each(Object.entries(flaws))('%s', async (_, { make, o, caught, often = false }) => {
    const times = new Map(caught.map((name) => [name, 0]));
    for (let seed = 0; seed < runs(5); seed++) {
      const said = await red(make, { ...o, random: seededRandom(seed) });
      for (const name of said.keys()) times.set(name, (times.get(name) ?? 0) + 1);
    }
    for (const name of caught) expect(times.get(name), name).toBeGreaterThanOrEqual(often ? runs(5) / 2 : runs(5));
  });

  test('and said in words that show what happened', async () => {
    const said = await red(etagStore, { random: seededRandom(1) });
    expect(said.get(BARE)).toMatch(
      /there is no moment at which this can have happened:\n {2}client \d: \{"type":"write"/,
    );
  });
});
