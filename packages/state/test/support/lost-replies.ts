import type { MaybePromise } from '@chunks/base';
import type { FaultProxy } from '@chunks/base/testing';
import { createState, type VersionedStore } from '@chunks/state';
import { faultyStore, type StoreFault } from '@chunks/state/testing';
import { expect } from 'vitest';
import { codeOf } from './stores.ts';

/** A way to an empty store on which replies get lost. */
export interface LossyLink {
  /** One more process: a store with a client of its own, all the client's options at their defaults. */
  open(): MaybePromise<VersionedStore>;
  /** From now on every so manieth write is carried out, and its reply is lost. */
  loseEvery(every: number): void;
  /** From now on nothing is lost. */
  heal(): void;
  /** Replies that were lost so far. */
  lost(): number;
}

/** How much is done. */
export interface LossyRun {
  /** All together. @default 1_000 */
  updates?: number | undefined;
  /** So many at once, each on a client of its own; two share a key. Reconnecting takes time: the more the faster. @default 26 */
  writers?: number | undefined;
  /**
   * More than usual where a conflict does not say what stands there: who lost needs two round trips, who won needs one, and
   * may win twenty times. @default that of `update`
   */
  maxAttempts?: number | undefined;
}

const EVERY = 7;
/** Stands once in each value that is written here: what a proxy knows writes by, where the store sends values as they are. */
export const WRITE_MARK = '{"log":[';

/** @param mark what stands once in each write, as the client sends it */
export const throughProxy = (proxy: FaultProxy, open: LossyLink['open'], mark: string = WRITE_MARK): LossyLink => ({
  open,
  loseEvery: (every) => proxy.cutEvery(every, 'reply', mark),
  heal: () => proxy.heal(),
  lost: () => proxy.cuts,
});

/** For stores without a connection. @param fault `lose-reply`: an error; `resend`: the client sends again by itself */
export function behindFaults(open: LossyLink['open'], fault: 'lose-reply' | 'resend' | 'resend-blind'): LossyLink {
  let every = Number.POSITIVE_INFINITY;
  let [writes, lost] = [0, 0];
  const next = (call: 'read' | 'write'): StoreFault => {
    if (call === 'read' || ++writes % every !== 0) return 'none';
    lost++;
    return fault;
  };
  return {
    open: async () => faultyStore(await open(), { next }),
    loseEvery: (number) => {
      every = number;
    },
    heal: () => {
      every = Number.POSITIVE_INFINITY;
    },
    lost: () => lost,
  };
}

type Log = { log: string[] };
/** Does it once, and writes its name down. */
type Update = (key: string, name: string) => Promise<unknown>;

/** How often each name stands in the logs in the end. */
async function run(
  link: LossyLink,
  prepare: (store: VersionedStore) => { update: Update; log(key: string): Promise<readonly string[]> },
  { updates = 1_000, writers = 26 }: LossyRun,
): Promise<{ times: readonly number[]; errors: readonly string[]; lost: number }> {
  const stores = await Promise.all(Array.from({ length: writers }, () => link.open()));
  const prepared = stores.map(prepare);
  // A prefix, because adapters share servers.
  const run = crypto.randomUUID();
  const keyOf = (writer: number): string => `lost replies ${run} ${Math.floor(writer / 2)}`;
  const names = Array.from({ length: updates }, (_, i) => `update ${i}.`);
  const errors: string[] = [];
  const before = link.lost();
  link.loseEvery(EVERY);
  await Promise.all(
    prepared.map(async ({ update }, writer) => {
      for (let i = writer; i < updates; i += writers) {
        // One after the other: each is a write of its own.
        await update(keyOf(writer), names[i] as string).catch((error) => errors.push(codeOf(error)));
      }
    }),
  );
  const lost = link.lost() - before;
  link.heal();
  const times = new Map<string, number>();
  for (let writer = 0; writer < writers; writer += 2) {
    for (const name of (await prepared[writer]?.log(keyOf(writer))) ?? []) times.set(name, (times.get(name) ?? 0) + 1);
  }
  for (const store of stores) await store.close?.();
  return { times: names.map((name) => times.get(name) ?? 0), errors, lost };
}

/** Every 7th of 1000 updates is committed without a reply: none is lost, none is done twice, none fails. */
export async function losesNothing(link: LossyLink, o: LossyRun = {}): Promise<void> {
  let recovered = 0;
  const { times, errors, lost } = await run(
    link,
    (store) => {
      const state = createState({ store, initial: (): Log => ({ log: [] }) });
      return {
        update: async (key, name) => {
          const { maxAttempts } = o;
          if ((await state.update(key, (draft) => void draft.log.push(name), { maxAttempts })).recovered) recovered++;
        },
        log: async (key) => (await state.get(key))?.state.log ?? [],
      };
    },
    o,
  );
  expect(errors, 'spurious errors').toEqual([]);
  expect(times.filter((count) => count === 0).length, 'lost updates').toBe(0);
  expect(times.filter((count) => count > 1).length, 'doubled updates').toBe(0);
  expect(lost, 'replies lost').toBeGreaterThanOrEqual(Math.floor(times.length / EVERY) - 1);
  // Else it was something else than replies of commits that was lost. Less than all, for some were of writes that lost.
  expect(recovered, 'commits found in the record').toBeGreaterThan(times.length / 20);
}

/** The same with the loop that everybody writes: read, change, write if it is still that revision, else again. It doubles. */
export async function plainLoopDoubles(link: LossyLink, o: LossyRun = {}): Promise<void> {
  const { times, errors } = await run(
    link,
    (store) => {
      const { signal } = new AbortController();
      const read = async (key: string): Promise<{ log: string[]; revision: string | undefined }> => {
        const found = await store.read(key, { signal });
        return { log: found ? (JSON.parse(found.value) as Log).log : [], revision: found?.revision };
      };
      const once = async (key: string, name: string): Promise<boolean> => {
        const { log, revision } = await read(key);
        return 'revision' in (await store.write(key, JSON.stringify({ log: [...log, name] }), revision, { signal }));
      };
      return {
        async update(key, name) {
          for (let attempt = 1; attempt <= 100; attempt++) if (await once(key, name).catch(() => false)) return;
          throw new Error('never written');
        },
        log: async (key) => (await read(key)).log,
      };
    },
    o,
  );
  expect(errors, 'errors').toEqual([]);
  expect(times.filter((count) => count === 0).length, 'lost updates').toBe(0);
  expect(times.filter((count) => count > 1).length, 'doubled updates').toBeGreaterThan(0);
}
