import { VirtualClock } from '@chunks/base/testing';
import { createState, type VersionedStore } from '@chunks/state';
import { natsStore } from '@chunks/state/nats';
import { jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeWith } from '../../../../../.ci/testing/with-service.ts';
import { Buckets, listed, put, ticksOf } from './buckets.ts';

const { signal } = new AbortController();
let buckets: Buckets;
const useBuckets = (): void => {
  beforeAll(async () => {
    buckets = await Buckets.on(4222);
  });
  afterAll(() => buckets.close());
};

describeWith('nats', 'buckets that are none for records', () => {
  useBuckets();
  const initial = () => ({ n: 0 });

  test('one that forgets is refused at once, until it is mended', async () => {
    const name = buckets.newName();
    const kv = await buckets.make({ ttl: 60_000 }, name);
    const store = natsStore(kv);
    await expect(store.write('key', '1', undefined, { signal })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      definite: true,
      message: expect.stringContaining('bucket without a ttl (this one has 60000 ms)'),
    });
    const state = createState({ store, initial });
    await expect(state.update('key', (draft) => draft.n++)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    await expect(state.get('other')).rejects.toMatchObject({ code: 'UNSUPPORTED', key: 'other' });
    const manager = await jetstreamManager(buckets.connection);
    await manager.streams.update(`KV_${name}`, { max_age: 0 });
    expect(await state.update('key', (draft) => ++draft.n)).toMatchObject({ version: 1, result: 1 });
  });

  test('one that drops the oldest when it is full, and a mirror', async () => {
    const manager = await jetstreamManager(buckets.connection);
    const [dropping, mirror] = [buckets.newName(), buckets.newName()];
    const subjects = [`$KV.${dropping}.>`];
    const limits = { max_bytes: 10_000, discard: 'old', max_msgs_per_subject: 1, storage: 'memory' } as const;
    await manager.streams.add({ name: `KV_${dropping}`, subjects, ...limits });
    const origin = buckets.newName();
    await buckets.make({}, origin);
    await buckets.make({ mirror: { name: origin } }, mirror);
    for (const [name, why] of [
      [dropping, 'bucket that discards nothing'],
      [mirror, 'bucket that is no mirror'],
    ] as const) {
      const store = natsStore(await new Kvm(buckets.connection).open(name));
      await expect(store.read('key', { signal })).rejects.toMatchObject({ code: 'UNSUPPORTED', capability: why });
    }
  });

  test('none at all: a failure, and nothing written', async () => {
    const store = natsStore(await new Kvm(buckets.connection).open(buckets.newName()));
    await expect(store.write('key', '1', undefined, { signal })).rejects.toMatchObject({ definite: true });
    await expect(store.read('key', { signal })).rejects.toThrow('stream not found');
  });

  test('a record in the place of the name of its life is left alone', async () => {
    const kv = await buckets.make();
    await kv.put('state', '{"theirs":true}');
    const store = natsStore(kv);
    await expect(store.write('key', '1', undefined, { signal })).rejects.toThrow('is none of ours: {"theirs":true}');
    expect((await kv.status()).values).toBe(1);
  });
});

describeWith('nats', 'a bucket that is deleted and made anew', () => {
  useBuckets();

  /** A store from before, and one from after, whose keys have the very sequences that they had before. */
  async function twoLives() {
    const name = buckets.newName();
    const clock = new VirtualClock();
    const kv = await buckets.make({}, name);
    const old = natsStore(kv, { clock });
    const revision = await put(old, 'key', '"old"');
    const ticks = ticksOf(old, 'key');
    await ticks.next();
    await kv.destroy();
    const fresh = natsStore(await buckets.make({}, name));
    return { clock, kv, old, fresh, revision, ticks };
  }

  test('no revision of the earlier life fits, not even with the same sequence', async () => {
    const { old, fresh, revision } = await twoLives();
    const again = await put(fresh, 'key', '"new"');
    expect(again.split('.')[1]).toBe(revision.split('.')[1]);
    expect(await old.write('key', '"lost"', revision, { signal })).toEqual({ conflict: true });
    expect(await old.remove?.('key', revision, { signal })).toBe(false);
    expect(await old.read('key', { signal })).toEqual({ value: '"new"', revision: again });
    expect(await listed(old, '')).toEqual(['key']);
    await put(old, 'key', '"both"', again);
    expect(await fresh.read('key', { signal })).toMatchObject({ value: '"both"' });
  });

  test('a create, a read and a list that still think of the earlier life end in the later one', async () => {
    for (const first of ['create', 'read', 'list'] as const) {
      const { old, fresh } = await twoLives();
      const revision = await put(fresh, 'new', '1');
      if (first === 'read') expect(await old.read('new', { signal })).toEqual({ value: '1', revision });
      if (first === 'list') expect(await listed(old, 'n')).toEqual(['new']);
      if (first === 'create') {
        // Where nobody looks: it says so.
        expect(await old.write('mine', '1', undefined, { signal })).toEqual({ conflict: true });
        expect(await fresh.read('mine', { signal })).toBe(undefined);
        const mine = await put(old, 'mine', '1');
        expect(await fresh.read('mine', { signal })).toEqual({ value: '1', revision: mine });
      }
    }
  });

  test('is reported by who has seen more, and a watch of the earlier life ends', async () => {
    const { clock, old, fresh, ticks } = await twoLives();
    const next = ticks.next();
    next.catch(() => undefined);
    await put(fresh, 'key', '"new"');
    await clock.advance(15_000);
    await expect(next).rejects.toThrow('the bucket was deleted');
    const again = ticksOf(old, 'key');
    expect(await again.next()).toMatchObject({ done: false });
    await again.return?.();
  });

  test('is STORE_REGRESSED for a state that has seen more', async () => {
    const name = buckets.newName();
    const kv = await buckets.make({}, name);
    const state = createState({ store: natsStore(kv), initial: () => ({ n: 0 }) });
    for (let i = 0; i < 3; i++) await state.update('key', (draft) => draft.n++);
    await kv.destroy();
    const other = createState({ store: natsStore(await buckets.make({}, name)), initial: () => ({ n: 0 }) });
    await other.update('key', (draft) => draft.n++);
    await expect(state.update('key', (draft) => draft.n++)).rejects.toMatchObject({ code: 'STORE_REGRESSED' });
    await expect(state.get('key')).rejects.toMatchObject({ code: 'STORE_REGRESSED', version: 1, lastVersion: 3 });
    expect(await other.get('key')).toEqual({ state: { n: 1 }, version: 1 });
  });

  test('processes that begin at once agree on one life', async () => {
    const name = buckets.newName();
    await buckets.make({}, name);
    const stores = await Promise.all(
      Array.from({ length: 20 }, async () => natsStore(await new Kvm(buckets.connection).open(name))),
    );
    const revisions = await Promise.all(stores.map((store, i) => put(store, `key ${i}`, '1')));
    expect(new Set(revisions.map((revision) => revision.split('.')[0])).size).toBe(1);
    expect(await listed(stores[7] as VersionedStore, '')).toHaveLength(20);
  });
});
