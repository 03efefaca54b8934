import { equal, heard, isTrue, rejection } from '@chunks/base/testing';
import type { VersionedStore } from '../store.ts';
import { opaqueKeys } from './opaque-keys.ts';
import type { StoreCases, StoreTrial } from './store-bench.ts';

const absent =
  (call: 'list' | 'remove' | 'watch') =>
  async ({ store }: StoreTrial): Promise<void> => {
    equal((await store)[call], undefined, call);
  };

async function listed(trial: StoreTrial, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of (await trial.store).list?.(prefix, { signal: trial.signal }) ?? []) keys.push(key);
  return keys.sort();
}

/** Where `list` is there. */
export const listCases: StoreCases = {
  'list gives the keys that begin with a prefix, each once, and no others': async (trial) => {
    const keys = opaqueKeys(trial.abilities.maxKeyBytes);
    equal(await listed(trial, ''), [], 'an empty store');
    await Promise.all(keys.map((key) => trial.put(key, '1')));
    for (const prefix of ['', 'a', 'a/', 'a%', 'a*', 'a.', 'a\0', '\0', 'k', '\ud800', '[', '_', 'á', 'none']) {
      equal(await listed(trial, prefix), keys.filter((key) => key.startsWith(prefix)).sort(), `prefix ${prefix}`);
    }
  },

  'list gives all of many keys': async (trial) => {
    const keys = Array.from({ length: 2_100 }, (_, i) => `many/${String(i).padStart(4, '0')}`);
    for (let from = 0; from < keys.length; from += 100) {
      await Promise.all(keys.slice(from, from + 100).map((key) => trial.put(key, '1')));
    }
    await trial.put('other', '1');
    equal(await listed(trial, 'many/'), keys, 'keys');
  },

  'a list can be left, and an aborted one ends with the reason': async (trial) => {
    const store = await trial.store;
    for (const key of ['a', 'b', 'c']) await trial.put(key, '1');
    for await (const key of store.list?.('', { signal: trial.signal }) ?? []) {
      isTrue(key.length === 1, 'a key');
      break;
    }
    const reason = new Error('enough');
    const aborted = (async () => {
      for await (const key of store.list?.('', { signal: AbortSignal.abort(reason) }) ?? []) void key;
    })();
    equal((await rejection(aborted, 'an aborted list')) === reason, true, 'the reason');
  },
};

/** Where it is not. */
export const noListCases: StoreCases = { 'list is absent': absent('list') };

/** Where `remove` is there. */
export const removeCases: StoreCases = {
  'remove takes a key away, if it still has that revision': async (trial) => {
    const store = await trial.store;
    const remove = async (key: string, expected: string): Promise<boolean | undefined> =>
      store.remove?.(key, expected, { signal: trial.signal });
    const first = await trial.put('key', '1');
    equal(await remove('never written', first), false, 'what is not there');
    const second = await trial.put('key', '2', first);
    equal(await remove('key', first), false, 'what was written since');
    equal(await trial.read('key'), { value: '2', revision: second }, 'read');
    equal(await remove('key', second), true, 'what is as it was');
    equal(await trial.read('key'), undefined, 'read what was removed');
    equal(await remove('key', second), false, 'what is gone');
  },

  'a revision from before a removal never fits again': async (trial) => {
    const store = await trial.store;
    const first = await trial.put('key', '1');
    equal(await store.remove?.('key', first, { signal: trial.signal }), true, 'removed');
    await trial.refused('key', first);
    const again = await trial.put('key', '1');
    isTrue(again !== first, 'a new revision');
    await trial.refused('key', first);
    equal(await store.remove?.('key', first, { signal: trial.signal }), false, 'removed by an old revision');
    equal(await trial.read('key'), { value: '1', revision: again }, 'read');
  },
};

/** Where it is not. */
export const noRemoveCases: StoreCases = { 'remove is absent': absent('remove') };

/** A watch at work: how often it has ticked. */
async function watching(trial: StoreTrial, key: string) {
  const store = (await trial.store) as Required<VersionedStore>;
  const stop = new AbortController();
  const ticks = store.watch(key, { signal: stop.signal })[Symbol.asyncIterator]();
  return { stop, ticks, tick: () => heard(ticks.next()) };
}

/** Where `watch` is there. */
export const watchCases: StoreCases = {
  'watch ticks when it listens, and again after each change': async (trial) => {
    const other = await trial.open();
    const { tick, stop } = await watching(trial, 'key');
    equal((await tick()).done, false, 'the first tick');
    let revision: string | undefined;
    for (const value of ['1', '2', '3']) {
      const next = tick();
      const reply = await other.write('key', value, revision, { signal: trial.signal });
      isTrue('revision' in reply, 'written');
      revision = reply.revision;
      // There may be more ticks than changes, but the change is there to be seen after one of them.
      for (let ended = await next; ; ended = await tick()) {
        equal(ended.done, false, 'a tick');
        if ((await trial.read('key'))?.value === value) break;
      }
    }
    stop.abort();
  },

  'what is written between two ticks is not missed': async (trial) => {
    const { tick, stop } = await watching(trial, 'key');
    await tick();
    const first = await trial.put('key', '1');
    await trial.put('key', '2', first);
    equal((await tick()).done, false, 'a tick for what was written while nobody asked');
    stop.abort();
  },

  'any key can be watched': async (trial) => {
    for (const key of opaqueKeys(trial.abilities.maxKeyBytes)) {
      const { tick, stop } = await watching(trial, key);
      await tick();
      const next = tick();
      await trial.put(key, '1');
      equal((await next).done, false, `a tick for ${JSON.stringify(key.slice(0, 60))}`);
      stop.abort();
    }
  },

  'an aborted watch ends with the reason, and one that is left ends': async (trial) => {
    const { tick, stop } = await watching(trial, 'key');
    await tick();
    const next = tick();
    const reason = new Error('enough');
    stop.abort(reason);
    equal((await rejection(next, 'an aborted watch')) === reason, true, 'the reason');
    const left = await watching(trial, 'key');
    await left.tick();
    equal((await left.ticks.return?.())?.done, true, 'left');
    const late = await watching(trial, 'key');
    late.stop.abort(reason);
    equal((await rejection(late.tick(), 'a watch aborted before it began')) === reason, true, 'the reason');
  },
};

/** Where it is not. */
export const noWatchCases: StoreCases = { 'watch is absent': absent('watch') };
