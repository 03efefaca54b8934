import { equal, isTrue } from '@chunks/base/testing';
import { opaqueKeys } from './opaque-keys.ts';
import type { StoreCases } from './store-bench.ts';

/** What every store does. */
export const storeCases: StoreCases = {
  'it is what it says it is': async ({ store, abilities }) => {
    const { name, capabilities } = await store;
    isTrue(typeof name === 'string' && name !== '', 'it has a name');
    const { watch, list, remove, durable, maxValueBytes, maxKeyBytes } = capabilities;
    equal(
      { watch, list, remove, durable, maxValueBytes, maxKeyBytes },
      {
        watch: abilities.watch,
        list: abilities.list,
        remove: abilities.remove,
        durable: abilities.durable,
        maxValueBytes: abilities.maxValueBytes,
        maxKeyBytes: abilities.maxKeyBytes,
      },
      'capabilities',
    );
  },

  'a key that was never written reads as undefined': async (trial) => {
    equal(await trial.read('absent'), undefined, 'read');
  },

  'what was written is read, under the revision of the write, by every process': async (trial) => {
    const revision = await trial.put('key', '"one"');
    equal(await trial.read('key'), { value: '"one"', revision }, 'read');
    const other = await trial.open();
    equal(await other.read('key', { signal: trial.signal }), { value: '"one"', revision }, 'read by another');
    const reply = await other.write('key', '"two"', revision, { signal: trial.signal });
    isTrue('revision' in reply, 'another writes on that revision');
    equal(await trial.read('key'), { value: '"two"', revision: reply.revision }, 'read what another wrote');
  },

  'a create fails when the key exists, a replace when it does not': async (trial) => {
    const revision = await trial.put('other', '"one"');
    // A revision of the right kind, of a record that is not there.
    await trial.refused('key', revision);
    const created = await trial.put('key', '"one"');
    await trial.refused('key', undefined);
    await trial.refused('key', revision);
    equal(await trial.read('key'), { value: '"one"', revision: created }, 'nothing was written');
  },

  'no revision comes twice, not even with an old value': async (trial) => {
    const revisions = [await trial.put('key', '"A"')];
    for (const value of ['"B"', '"A"', '"A"']) revisions.push(await trial.put('key', value, revisions.at(-1)));
    equal(new Set(revisions).size, revisions.length, 'different revisions');
    for (const old of revisions.slice(0, -1)) await trial.refused('key', old);
    equal((await trial.read('key'))?.revision, revisions.at(-1), 'the last one stands');
  },

  'of many writes on one revision exactly one wins': async (trial) => {
    const first = await trial.put('key', '"0"');
    const stores = [await trial.store, await trial.open()];
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        (stores[i % 2] as (typeof stores)[number]).write('key', `"${i}"`, first, { signal: trial.signal }),
      ),
    );
    const winners = replies.flatMap((reply, i) => ('revision' in reply ? [{ value: `"${i}"`, ...reply }] : []));
    equal(winners.length, 1, 'winners');
    equal(await trial.read('key'), winners[0], 'the winner stands there');
  },

  'of many creates exactly one wins': async (trial) => {
    const replies = await Promise.all(Array.from({ length: 20 }, (_, i) => trial.write('key', `"${i}"`)));
    equal(replies.filter((reply) => 'revision' in reply).length, 1, 'winners');
  },

  'values, which are JSON documents, come back to the letter': async (trial) => {
    const texts = ['', ' ', '\n', 'a\0b', '\ud800', '😀', 'a\u0301', '\u2028', '"\\', '{"a":"é"}'];
    const values = [...texts.map((text) => JSON.stringify(text)), '{ "b":1,\t"a":1.0, "b":2 }', '1e2', 'null'];
    const { maxValueBytes = 1_000_000 } = trial.abilities;
    values.push(`"${'x'.repeat(Math.min(maxValueBytes, 1_000_000) - 2)}"`);
    let revision: string | undefined;
    for (const value of values) {
      revision = await trial.put('key', value, revision);
      equal((await trial.read('key'))?.value, value, 'value');
    }
  },

  'no key reaches the record of another': async (trial) => {
    const keys = opaqueKeys(trial.abilities.maxKeyBytes);
    const revisions = await Promise.all(keys.map((key, i) => trial.put(key, `"value ${i}"`)));
    const found = await Promise.all(keys.map((key) => trial.read(key)));
    equal(
      found,
      revisions.map((revision, i) => ({ value: `"value ${i}"`, revision })),
      'each key has its own record',
    );
  },

  'a closed store opens again, and can be closed twice': async (trial) => {
    const store = await trial.store;
    await trial.put('key', '"one"');
    await store.close?.();
    await store.close?.();
    if (trial.abilities.durable !== 'memory') equal((await trial.read('key'))?.value, '"one"', 'read');
    else await trial.read('key');
  },
};
