import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { FaultProxy } from '@chunks/base/testing';
import { createState } from '@chunks/state';
import { type RedisClient, redisStore } from '@chunks/state/redis';
import { Cluster, Redis } from 'ioredis';
import { createClient, createClientPool, createCluster, createSentinel } from 'redis';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { OwnServer } from '../../../../../.ci/testing/own-server.ts';
import { describeWith } from '../../../../../.ci/testing/with-service.ts';
import { both } from './clients.ts';

const { signal } = new AbortController();
const ignore = (): void => undefined;

/** How a server comes to refuse, and gets well again. */
interface Trouble {
  begin(admin: Redis): Promise<unknown>;
  end(admin: Redis): Promise<unknown>;
  /** Whether it answers reads all the same. */
  readonly reads: boolean;
}

const configured = (reads: boolean, ...settings: readonly (readonly [string, string, string])[]): Trouble => ({
  begin: (admin) => Promise.all(settings.map(([name, value]) => admin.config('SET', name, value))),
  end: (admin) => Promise.all(settings.map(([name, _, value]) => admin.config('SET', name, value))),
  reads,
});

const replica: Trouble = {
  // Of nobody: what it has is as it was.
  begin: (admin) => admin.replicaof('127.0.0.1', 1),
  end: (admin) => admin.replicaof('NO', 'ONE'),
  reads: false,
};

// It saves into a file whose name a folder has.
const folderOf = async (admin: Redis): Promise<string> => {
  const [, folder] = (await admin.config('GET', 'dir')) as string[];
  return path.join(folder as string, 'dump.rdb');
};

const TROUBLES: Readonly<Record<string, Trouble>> = {
  READONLY: replica,
  MASTERDOWN: {
    begin: (admin) => admin.config('SET', 'replica-serve-stale-data', 'no').then(() => replica.begin(admin)),
    end: (admin) => replica.end(admin).then(() => admin.config('SET', 'replica-serve-stale-data', 'yes')),
    reads: false,
  },
  NOREPLICAS: configured(false, ['min-replicas-to-write', '1', '0']),
  OOM: configured(true, ['maxmemory', '1', '0']),
  MISCONF: {
    async begin(admin) {
      rmSync(await folderOf(admin), { recursive: true, force: true });
      mkdirSync(path.join(await folderOf(admin), 'in the way'), { recursive: true });
      await admin.config('SET', 'save', '3600 1000000');
      await admin.bgsave();
      await vi.waitFor(async () => expect(await admin.info('persistence')).toContain('rdb_last_bgsave_status:err'));
    },
    async end(admin) {
      await admin.config('SET', 'save', '');
      rmSync(await folderOf(admin), { recursive: true });
      await admin.bgsave();
      await vi.waitFor(async () => expect(await admin.info('persistence')).toContain('rdb_last_bgsave_status:ok'));
    },
    reads: true,
  },
  BUSY: {
    async begin(admin) {
      await admin.config('SET', 'busy-reply-threshold', '1');
      const other = admin.duplicate();
      other
        .eval('while true do end', 0)
        .catch(ignore)
        .finally(() => other.disconnect());
      await vi.waitFor(() => expect(admin.ping()).rejects.toThrow('BUSY'));
    },
    async end(admin) {
      await admin.script('KILL');
      await vi.waitFor(() => admin.config('SET', 'busy-reply-threshold', '5000'));
    },
    reads: false,
  },
  'ERR The user': {
    // It may write, but not tell of it.
    begin: (admin) => admin.acl('SETUSER', 'default', 'resetchannels'),
    end: (admin) => admin.acl('SETUSER', 'default', 'allchannels'),
    reads: true,
  },
};

describeWith('redis', 'a server that refuses', () => {
  let server: OwnServer;
  let admin: Redis;
  beforeAll(async () => {
    server = await OwnServer.redis();
    admin = new Redis(server.port);
  });
  beforeEach(() => admin.flushall());
  afterAll(async () => {
    admin.disconnect();
    await server.close();
  });

  describe.each(both)('tells %s that nothing was written', (_, open) => {
    it.each(Object.entries(TROUBLES))('%s', async (code, trouble) => {
      const { client, end } = await open(server.port);
      const store = redisStore(client);
      const first = await store.write('key', '1', undefined, { signal });
      const revision = 'revision' in first ? first.revision : '';
      const errorOf = (call: Promise<unknown>) =>
        call.then(
          () => undefined,
          (error: Error) => error.message,
        );
      await trouble.begin(admin);
      const written = await store.write('key', '2', revision, { signal }).catch((error: unknown) => error);
      const read = await errorOf(store.read('key', { signal }));
      const removed = await errorOf(store.remove?.('key', revision, { signal }) ?? Promise.resolve());
      await trouble.end(admin);
      expect(written).toMatchObject({ definite: true, message: expect.stringMatching(`^${code}`) });
      if (trouble.reads) expect(read).toBeUndefined();
      else expect(read).toMatch(code);
      // Of an OOM server a key may be taken away.
      if (code !== 'OOM') {
        expect(removed).toMatch(code);
        expect(await store.read('key', { signal })).toEqual({ value: '1', revision });
      }
      await end();
    });
  });

  it.each(both)('after it has lost the reply of a write: the update is done once, with %s', async (_, open) => {
    const proxy = await FaultProxy.before(server.port);
    const { client, end } = await open(proxy.port);
    const state = createState({ store: redisStore(client), initial: () => ({ log: [] as string[] }) });
    await state.update('key', (draft) => void draft.log.push('one'));
    proxy.halfOpen('reply');
    const update = state.update('key', (draft) => void draft.log.push('two'));
    await vi.waitFor(async () => expect(await admin.hget('chunks:state:key', 'v')).toContain('two'));
    proxy.down();
    await admin.config('RESETSTAT');
    await TROUBLES['MASTERDOWN']?.begin(admin);
    proxy.up();
    // What the client sends again is refused, and so are reads.
    await vi.waitFor(async () => expect(await admin.info('errorstats')).toContain('MASTERDOWN'), 10_000);
    await TROUBLES['MASTERDOWN']?.end(admin);
    expect(await update).toMatchObject({ version: 2, recovered: true, state: { log: ['one', 'two'] } });
    expect((await state.get('key'))?.state.log).toEqual(['one', 'two']);
    await state.close();
    await end();
    await proxy.close();
  });

  it('what a client never sent was not written', async () => {
    const client = createClient({ socket: { port: server.port } });
    const once = new Redis(server.port, { enableOfflineQueue: false, retryStrategy: () => null });
    await vi.waitFor(() => once.ping());
    once.disconnect();
    for (const store of [redisStore(client), redisStore(once)]) {
      await expect(store.write('key', '1', undefined, { signal })).rejects.toSatisfy(
        ({ definite, message }) => definite === true || message === 'Connection is closed.',
      );
    }
  });

  it('what still waits for a connection is taken back at the abort, with node-redis', async () => {
    const proxy = await FaultProxy.before(server.port);
    const client = await createClient({ socket: { port: proxy.port } })
      .on('error', ignore)
      .connect();
    const store = redisStore(client);
    proxy.down();
    await vi.waitFor(() => expect(client.isReady).toBe(false));
    const cut = new AbortController();
    const write = store.write('key', '1', undefined, { signal: cut.signal });
    cut.abort();
    await expect(write).rejects.toMatchObject({ definite: true, message: 'The command was aborted' });
    proxy.up();
    await vi.waitFor(() => expect(client.isReady).toBe(true), 10_000);
    expect(await store.read('key', { signal })).toBeUndefined();
    client.destroy();
    await proxy.close();
  });
});

describe('an error that ends with another connection than the one it was sent on', () => {
  const refusing = (client: { stream?: unknown }, message: string, streamAfter: unknown): RedisClient =>
    ({
      ...client,
      call: ignore,
      async eval() {
        (this as { stream?: unknown }).stream = streamAfter;
        throw new Error(message);
      },
    }) as RedisClient;
  const first = {};
  it.each([
    ['READONLY You are late', first, first, true],
    // As servers before 7 say it.
    ['ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY late', first, first, true],
    ['LOADING Redis is loading', first, {}, undefined],
    ['ERR something else', first, first, undefined],
    ['ERR about READONLY ', first, first, undefined],
    ['Connection is closed.', first, first, undefined],
    // A cluster, which sends again too.
    ['CLUSTERDOWN The cluster is down', undefined, undefined, undefined],
  ])('%s: %#', async (message, stream, streamAfter, definite) => {
    const store = redisStore(refusing({ stream }, message, streamAfter));
    const error = await store.write('key', '1', undefined, { signal }).catch((reason: unknown) => reason);
    expect((error as { definite?: boolean }).definite).toBe(definite);
  });

  it.each([
    ['a connection of node-redis, which never sends again', { isPubSubActive: false }, true],
    ['a sentinel, which does', {}, undefined],
  ])('%s', async (_, more, definite) => {
    const client = { ...more, eval: () => Promise.reject(new Error('READONLY You are late')) } as RedisClient;
    const error = await redisStore(client)
      .write('key', '1', undefined, { signal })
      .catch((reason: unknown) => reason);
    expect((error as { definite?: boolean }).definite).toBe(definite);
  });
});

it.each([
  ['a connection of ioredis', new Redis({ lazyConnect: true }), true, true],
  ['a connection of node-redis', createClient(), true, true],
  ['a pool', createClientPool(), false, true],
  ['a sentinel', createSentinel({ name: 'x', sentinelRootNodes: [{ host: '127.0.0.1', port: 1 }] }), false, true],
  ['a cluster of ioredis', new Cluster([], { lazyConnect: true }), false, false],
  ['a cluster of node-redis', createCluster({ rootNodes: [] }), false, false],
])('what %s can', (_, client, watch, list) => {
  expect(redisStore(client as RedisClient).capabilities).toMatchObject({ watch, list });
});
