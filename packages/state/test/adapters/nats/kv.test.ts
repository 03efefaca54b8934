import { createState, type VersionedStore } from '@chunks/state';
import { type NatsKv, natsStore } from '@chunks/state/nats';
import { describe, expect, test } from 'vitest';
import { FakeBucket, type FakeOptions, wrongSequence } from './fake-kv.ts';

const { signal } = new AbortController();

describe('what is not as it is known', () => {
  const open = (options: FakeOptions) => natsStore(new FakeBucket().open(undefined, options));

  test('a client without what watches, or lists, are built on has none', async () => {
    const noNews = open({ without: 'js' });
    expect(noNews.capabilities).toMatchObject({ watch: false, list: true });
    const state = createState({ store: noNews, initial: () => ({ n: 0 }) });
    await expect(state.watch('key')[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    expect(open({ without: 'jsm' }).capabilities).toMatchObject({ watch: true, list: false });
  });

  test('a client that may read from replicas is made to read from the leader, or refused', async () => {
    const config = { allow_direct: true };
    const reads: unknown[] = [];
    for (const direct of [false, true, undefined]) {
      const kv = new FakeBucket().open(undefined, { config });
      const { get } = kv;
      // As the client does it: by a flag of its own, which is left as it is.
      const bucket = Object.assign(kv, { direct, get: undefined as unknown as NatsKv['get'] });
      bucket.get = function (this: { direct?: boolean }, key) {
        reads.push(this.direct);
        return get(key);
      };
      const store = natsStore(bucket);
      if (direct === undefined) {
        await expect(store.read('key', { signal })).rejects.toMatchObject({
          capability: 'bucket without allow_direct',
        });
      } else {
        await store.read('key', { signal });
        expect((bucket as { direct?: boolean }).direct).toBe(direct);
      }
    }
    expect(new Set(reads)).toEqual(new Set([false]));
    const kv = Object.assign(new FakeBucket().open(), { direct: undefined });
    expect(await natsStore(kv).read('key', { signal })).toBe(undefined);
  });

  test('a codec for keys is refused', async () => {
    const kv = new FakeBucket().open();
    const { get } = kv;
    kv.get = async (key) => {
      const entry = await get(key);
      return entry && { ...entry, rawKey: 'c3RhdGU=' };
    };
    await expect(natsStore(kv).read('key', { signal })).rejects.toMatchObject({
      capability: 'bucket without a codec for keys',
    });
  });

  test('a kv that lacks a method is refused at once', () => {
    const kv = new FakeBucket().open();
    for (const method of ['get', 'put', 'purge', 'watch', 'status'] as const) {
      expect(() => natsStore({ ...kv, [method]: 7 as never })).toThrow(`kv.${method} must be a function, but is 7`);
    }
    expect(() => natsStore(undefined as never)).toThrow('kv.get must be a function, but is undefined');
  });
});

describe('errors of a write', () => {
  const named = (name: string, message = name): Error => Object.assign(new Error(message), { name });
  const coded = (code: number, message = 'sorry'): Error => Object.assign(new Error(message), { code });
  const failing = async (error: Error, replicas = 1): Promise<VersionedStore> => {
    const bucket = new FakeBucket();
    await natsStore(bucket.open()).read('key', { signal });
    const kv = bucket.open();
    const { status } = kv;
    kv.status = async () => ({ ...(await status()), replicas });
    kv.put = () => Promise.reject(error);
    return natsStore(kv);
  };

  test.each([
    ['nobody listens', named('JetStreamNotEnabled'), 3, true],
    ['the bucket is full', coded(10_077, 'maximum bytes exceeded'), 3, true],
    ['no room on one server', coded(10_023), 1, true],
    ['no room on one of three', coded(10_023), 3, undefined],
    ['the disk fails', coded(10_077, 'error opening msg block file'), 1, undefined],
    ['no answer in time', named('TimeoutError', 'timeout'), 1, undefined],
    ['closed while it was under way', named('ClosedConnectionError'), 1, undefined],
    ['too large for the client', named('InvalidArgumentError', "'payload' max_payload size exceeded"), 3, true],
    ['too large for the bucket', coded(10_054), 3, true],
  ])('%s', async (_, error, replicas, definite) => {
    const store = await failing(error, replicas);
    const thrown = await store.write('key', '1', undefined, { signal }).catch((error) => error);
    expect(thrown).toBeInstanceOf(Error);
    expect(thrown.definite).toBe(definite);
    expect([thrown, thrown.cause]).toContain(error);
  });

  test('a conflict is none, by either of its numbers', async () => {
    for (const error of [wrongSequence(), coded(10_164)]) {
      const store = await failing(error);
      expect(await store.write('key', '1', undefined, { signal })).toEqual({ conflict: true });
    }
  });

  test('a first look that fails wrote nothing, and is done again', async () => {
    const kv = new FakeBucket().open();
    const { status } = kv;
    kv.status = () => Promise.reject(new Error('timeout'));
    const store = natsStore(kv);
    await expect(store.write('key', '1', undefined, { signal })).rejects.toMatchObject({ definite: true });
    kv.status = status;
    expect(await store.write('key', '1', undefined, { signal })).toHaveProperty('revision');
  });
});
