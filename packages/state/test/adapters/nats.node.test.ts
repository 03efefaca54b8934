import { createState } from '@chunks/state';
import { natsStore } from '@chunks/state/nats';
import { type StoreBench, stateContract, versionedStoreContract } from '@chunks/state/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import { Kvm, type KvOptions } from '@nats-io/kv';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { isSoak } from '../../../../.ci/testing/runs.ts';
import { describeWith } from '../../../../.ci/testing/with-service.ts';
import { Buckets, listed, put, ticksOf } from './nats/buckets.ts';

vi.setConfig({ testTimeout: 60_000 });

const { signal } = new AbortController();
let buckets: Buckets;
const abilities = { watch: true, list: true, remove: true, durable: 'async', maxKeyBytes: 1_000 } as const;
const useBuckets = (): void => {
  beforeAll(async () => {
    buckets = await Buckets.on(4222);
  });
  afterAll(() => buckets.close());
};

describeWith('nats', 'natsStore', () => {
  useBuckets();
  const benchOf = (options: Partial<KvOptions>) => async (): Promise<StoreBench> => {
    const name = buckets.newName();
    const bucket = await buckets.make(options, name);
    return {
      open: async () => natsStore(await new Kvm(buckets.connection).open(name)),
      close: async () => void (await bucket.destroy()),
    };
  };
  describe.each<[kind: string, options: Partial<KvOptions>]>([
    ['in memory', {}],
    ['in a file, with a history', { storage: 'file', history: 5 }],
  ])('%s', (_, options) => {
    test.concurrent.each(versionedStoreContract(benchOf(options), abilities))('$name', ({ run }) => run());
    test.concurrent.each(stateContract(benchOf(options), abilities))('$name', ({ run }) => run());
  });
});

describeWith('nats', 'requests of natsStore', () => {
  useBuckets();

  test('one to read and one to write what is there; none goes to a replica', async () => {
    const name = buckets.newName();
    // Made like this it is one whose reads any replica may answer.
    const kv = await buckets.make({}, name);
    const heard: string[] = [];
    for (const subject of ['$JS.API.>', `$KV.${name}.>`]) {
      buckets.connection.subscribe(subject, {
        callback: (_, message) => {
          if (message.subject.includes(name)) heard.push(message.subject.replace(/\.state\..*/, ' key'));
        },
      });
    }
    const made = async (act: () => Promise<unknown>): Promise<string[]> => {
      await buckets.connection.flush();
      heard.length = 0;
      await act();
      await buckets.connection.flush();
      return heard;
    };
    const [read, written] = [`$JS.API.STREAM.MSG.GET.KV_${name}`, `$KV.${name} key`];
    const store = natsStore(kv);
    expect(await made(async () => undefined)).toEqual([]);
    expect(await made(() => store.read('absent', { signal }))).toEqual([
      `$JS.API.STREAM.INFO.KV_${name}`,
      read,
      `$KV.${name}.state`,
      read,
      read,
      read,
    ]);
    expect(await made(() => store.read('absent', { signal }))).toEqual([read, read]);
    let revision = '';
    expect(await made(async () => void (revision = await put(store, 'key', '1')))).toEqual([written, read, written]);
    expect(await made(() => store.read('key', { signal }))).toEqual([read]);
    expect(await made(() => put(store, 'key', '2', revision))).toEqual([written]);
    expect(await made(() => store.write('key', '3', revision, { signal }))).toEqual([written]);
    expect(await made(() => store.write('key', '3', undefined, { signal }))).toEqual([written, read]);
    revision = (await store.read('key', { signal }))?.revision ?? '';
    expect(await made(() => store.remove?.('key', revision, { signal }) ?? Promise.reject())).toEqual([written]);
    // Over the mark of the removal.
    expect(await made(() => put(store, 'key', '4'))).toEqual([written, read, read, written]);
  });

  test('messages carry no id by which the server would drop a second one unheard', async () => {
    const name = buckets.newName();
    const store = natsStore(await buckets.make({}, name));
    const revision = await put(store, 'key', '1');
    await put(store, 'key', '2', revision);
    const manager = await jetstreamManager(buckets.connection);
    for (const seq of [1, 4]) {
      const message = await manager.streams.getMessage(`KV_${name}`, { seq });
      expect([...(message?.header.keys() ?? [])]).toEqual(['Nats-Expected-Last-Subject-Sequence']);
    }
  });

  test('watches and lists leave no consumer behind, and no listener', async () => {
    const name = buckets.newName();
    const kv = await buckets.make({}, name);
    const { protocol } = buckets.connection as unknown as { protocol: { listeners: unknown[] } };
    const store = natsStore(kv);
    const consumers = async (): Promise<number> => (await kv.status()).streamInfo.state.consumer_count;
    const noneLeft = (): Promise<void> => vi.waitFor(async () => expect(await consumers()).toBe(0), 10_000);
    expect(await listed(store, '')).toEqual([]);
    for (let i = 0; i < 5; i++) await put(store, `key ${i}`, '1');
    expect(await listed(store, '')).toHaveLength(5);
    for await (const _ of store.list?.('', { signal }) ?? []) break;
    await noneLeft();
    const stop = new AbortController();
    const ticks = Array.from({ length: 5 }, (_, i) => ticksOf(store, `key ${i}`, stop.signal));
    for (const one of ticks) await one.next();
    expect(await consumers()).toBe(5);
    await ticks[0]?.return?.();
    const [, ...others] = ticks;
    const waiting = others.map((one) => one.next());
    stop.abort(new Error('enough'));
    for (const one of waiting) await expect(one).rejects.toThrow('enough');
    await noneLeft();
    expect(protocol.listeners).toHaveLength(0);
  });
});

describeWith('nats', 'what natsStore keeps', () => {
  useBuckets();

  test('is JSON for any tool, under a name that can be read', async () => {
    const kv = await buckets.make();
    const state = createState({ store: natsStore(kv), initial: () => ({ n: 0 }) });
    await state.update('uploads/2024.06/video', (draft) => void (draft.n = 7));
    const life = (await kv.get('state'))?.string();
    const entry = await kv.get(`state.${life}./uploads./2024=2e06./video`);
    expect(entry?.json()).toMatchObject({ version: 1, state: { n: 7 } });
  });

  test('a removal leaves a mark; creates go over it, and old revisions stay dead when it is taken away', async () => {
    const kv = await buckets.make({ history: 3 });
    const store = natsStore(kv);
    const first = await put(store, 'key', '1');
    const second = await put(store, 'key', '2', first);
    expect(await store.remove?.('key', second, { signal })).toBe(true);
    // The mark, and the life of the bucket.
    expect((await kv.status()).values).toBe(2);
    expect(await listed(store, '')).toEqual([]);
    await (kv as typeof kv & { purgeDeletes(olderMs: number): Promise<unknown> }).purgeDeletes(-1_000);
    expect((await kv.status()).values).toBe(1);
    for (const old of [first, second]) {
      expect(await store.write('key', '3', old, { signal })).toEqual({ conflict: true });
      expect(await store.remove?.('key', old, { signal })).toBe(false);
    }
    expect([first, second]).not.toContain(await put(store, 'key', '4'));
  });

  test('a list is whole and ends while its keys are written without a pause', async () => {
    const store = natsStore(await buckets.make());
    const keys = Array.from({ length: 200 }, (_, i) => `busy/${i}`);
    const revisions = new Map<string, string>();
    for (const key of keys) revisions.set(key, await put(store, key, '0'));
    let isOver = false;
    const writers = [0, 1, 2, 3].map(async (writer) => {
      for (let i = writer; !isOver; i += 4) {
        const key = keys[i % keys.length] as string;
        revisions.set(key, await put(store, key, `${i}`, revisions.get(key)));
      }
    });
    try {
      for (let i = 0; i < (isSoak ? 200 : 10); i++) expect(await listed(store, 'busy/')).toEqual([...keys].sort());
    } finally {
      isOver = true;
      await Promise.all(writers);
    }
  });
});

describeWith('nats', 'limits of the bucket and of the server', () => {
  useBuckets();

  test('the largest value that fits is told to the byte, and one byte more is refused without a trace', async () => {
    for (const [options, bytes] of [
      [{ maxValueSize: 2_000 }, 2_000],
      [{}, buckets.connection.info?.max_payload ?? 0],
    ] as const) {
      const kv = await buckets.make(options);
      const store = natsStore(kv);
      const tooLarge = `"${'x'.repeat(bytes)}"`;
      const error = await store.write('key', tooLarge, undefined, { signal }).catch((error) => error);
      expect(error).toMatchObject({ definite: true, code: 'VALUE_TOO_LARGE', limit: expect.any(Number) });
      expect(await store.read('key', { signal })).toBe(undefined);
      const limit: number = error.limit;
      const fits = `"${'x'.repeat(limit - 2)}"`;
      await expect(store.write('key', `${fits} `, undefined, { signal })).rejects.toMatchObject({ limit });
      await put(store, 'key', fits);
      expect((await store.read('key', { signal }))?.value).toBe(fits);
    }
  });

  test('an update that does not fit is rejected alone', async () => {
    const state = createState({
      store: natsStore(await buckets.make({ maxValueSize: 2_000 })),
      initial: () => ({ log: [''] }),
    });
    const all = ['a', 'x'.repeat(3_000), 'b'].map((name) => state.update('key', (draft) => draft.log.push(name)));
    const ends = await Promise.allSettled(all);
    expect(ends.map((end) => (end.status === 'fulfilled' ? end.value.result : end.reason.code))).toEqual([
      2,
      'VALUE_TOO_LARGE',
      3,
    ]);
    expect((await state.get('key'))?.state.log).toEqual(['', 'a', 'b']);
  });

  test('a bucket that is full: surely not written', async () => {
    const store = natsStore(await buckets.make({ max_bytes: 3_000 }));
    const revision = await put(store, 'key', '1');
    const value = `"${'x'.repeat(4_000)}"`;
    for (const expected of [revision, undefined]) {
      const key = expected ? 'key' : 'other';
      await expect(store.write(key, value, expected, { signal })).rejects.toMatchObject({ definite: true });
    }
    expect(await store.read('key', { signal })).toEqual({ value: '1', revision });
    expect(await store.read('other', { signal })).toBe(undefined);
    const state = createState({ store, initial: () => ({ text: '' }), retry: { maxMs: 2 } });
    const update = state.update('big', (draft) => void (draft.text = value), { maxAttempts: 3 });
    await expect(update).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', attempts: 3 });
  });
});
