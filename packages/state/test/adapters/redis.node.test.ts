import { FaultProxy } from '@chunks/base/testing';
import { createState, type VersionedStore } from '@chunks/state';
import { type RedisClient, redisStore } from '@chunks/state/redis';
import {
  historyCases,
  type StoreAbilities,
  type StoreBench,
  stateContract,
  versionedStoreContract,
} from '@chunks/state/testing';
import { Redis } from 'ioredis';
import { createClient, createClientPool } from 'redis';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { OwnServer } from '../../../../.ci/testing/own-server.ts';
import { isSoak } from '../../../../.ci/testing/runs.ts';
import { describeWith } from '../../../../.ci/testing/with-service.ts';
import { forgettingIsReported, killSoak, type MortalBench } from '../support/kill-soak.ts';
import { losesNothing, plainLoopDoubles, throughProxy } from '../support/lost-replies.ts';
import { QUICK_FAULTS } from '../support/stores.ts';
import {
  both,
  newPrefix,
  type Open,
  type Opened,
  openIoredis,
  openIoredisCluster,
  openIoredisOld,
  openNodeCluster,
  openNodeRedis,
  openNodeRedisOld,
  openPool,
  sweep,
} from './redis/clients.ts';

const PORT = 6379;
const { signal } = new AbortController();
const ABILITIES: StoreAbilities = { watch: true, list: true, remove: true, durable: 'async' };

async function listed(store: VersionedStore, prefix = ''): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of store.list?.(prefix, { signal }) ?? []) keys.push(key);
  return keys;
}

/** Through one kind of client. @param openSubscriber beside it */
function benchOn(port: () => number, open: Open, openSubscriber?: Open): () => Promise<StoreBench> {
  return async () => {
    const prefix = newPrefix();
    const opened: Opened[] = [];
    const keep = async (one: Opened | Promise<Opened>): Promise<RedisClient> => {
      opened.push(await one);
      return (await one).client;
    };
    return {
      open: async () => {
        const subscriber = openSubscriber && (await keep(openSubscriber(port())));
        return redisStore(await keep(open(port())), { prefix, subscriber });
      },
      async close() {
        for (const { end } of opened) await end();
        const admin = new Redis(port());
        await sweep(admin, prefix);
        admin.disconnect();
      },
    };
  };
}

describeWith('redis', 'redisStore keeps the contract of stores', () => {
  // Both clients speak RESP3 unless told otherwise.
  describe.each([
    ['ioredis', openIoredis],
    ['ioredis in RESP2', openIoredisOld],
    ['node-redis', openNodeRedis],
    ['node-redis in RESP2', openNodeRedisOld],
  ])('on a connection of %s', (_, open) => {
    const cases = versionedStoreContract(
      benchOn(() => PORT, open),
      ABILITIES,
    );
    for (const { name, run } of cases) it.concurrent(name, run);
  });
  describe('on a pool, which cannot subscribe', () => {
    const bench = benchOn(() => PORT, openPool);
    for (const { name, run } of versionedStoreContract(bench, { ...ABILITIES, watch: false })) it.concurrent(name, run);
  });
  describe('on a pool beside a subscriber', () => {
    const bench = benchOn(() => PORT, openPool, openIoredis);
    for (const { name, run } of versionedStoreContract(bench, ABILITIES)) it.concurrent(name, run);
  });
});

describeWith('redis', 'createState over redisStore keeps its contract', () => {
  describe.each(both)('with %s', (_, open) => {
    const cases = stateContract(
      benchOn(() => PORT, open),
      ABILITIES,
    );
    for (const { name, run } of cases) it.concurrent(name, run);
  });
});

describeWith('redis', 'histories of redisStore have an order', () => {
  const operations = isSoak ? 2_000 : 200;
  describe.each(both)('with %s, when every 7th reply is lost', (_, open) => {
    let proxy: FaultProxy;
    beforeAll(async () => {
      proxy = await FaultProxy.before(PORT);
      // It stands once in each read and each write.
      proxy.cutEvery(7, 'reply', "'HMGET'");
    });
    afterAll(() => proxy.close());
    const bench = benchOn(() => proxy.port, open);
    // Each loss takes the time of a new connection.
    const o = { mayResend: true, operations: operations / 2 };
    for (const { name, run } of historyCases(bench, o)) it.concurrent(name, run);
    it('and replies were lost', () => expect(proxy.cuts).toBeGreaterThan(20));
  });
  describe('when calls fare in every way that calls can', () => {
    const bench = benchOn(() => PORT, openIoredis);
    for (const { name, run } of historyCases(bench, { faults: QUICK_FAULTS, operations })) it.concurrent(name, run);
  });
});

describeWith('redis', 'redisStore on a cluster', () => {
  let server: OwnServer;
  beforeAll(async () => {
    server = await OwnServer.redis('--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1');
    const admin = new Redis(server.port);
    await admin.cluster('ADDSLOTSRANGE', 0, 16_383);
    await vi.waitFor(async () => expect(await admin.cluster('INFO')).toContain('cluster_state:ok'), 20_000);
    admin.disconnect();
  });
  afterAll(() => server.close());
  const abilities = { ...ABILITIES, watch: false, list: false };
  describe.each([
    ['ioredis', openIoredisCluster, openNodeRedis],
    ['node-redis', openNodeCluster, openIoredis],
  ])('of %s', (_, open, openSubscriber) => {
    const port = (): number => server.port;
    for (const { name, run } of versionedStoreContract(benchOn(port, open), abilities)) it.concurrent(name, run);
    for (const { name, run } of stateContract(benchOn(port, open), abilities)) it.concurrent(name, run);
    describe('beside a subscriber', () => {
      const cases = versionedStoreContract(benchOn(port, open, openSubscriber), { ...abilities, watch: true });
      for (const { name, run } of cases) it.concurrent(name, run);
    });
  });
});

describeWith('redis', 'what redisStore keeps', () => {
  const admin = new Redis(PORT, { lazyConnect: true });
  const prefix = newPrefix();
  const store = redisStore(admin, { prefix });
  afterAll(async () => {
    await store.close?.();
    await sweep(admin, prefix);
    admin.disconnect();
  });

  it('a record is a hash that other tools can read', async () => {
    const state = createState({ store, initial: () => ({ n: 0 }) });
    await state.update('read', (draft) => void (draft.n = 7));
    const { v = '', r, ...rest } = await admin.hgetall(`${prefix}read`);
    expect(JSON.parse(v).state).toEqual({ n: 7 });
    expect([r, rest]).toEqual([(await store.read('read', { signal }))?.revision, {}]);
  });

  it('what is at the key and is not ours is an error, and stays as it is', async () => {
    await admin.set(`${prefix}text`, 'a text');
    await admin.hset(`${prefix}hash`, 'name', 'of somebody else');
    const state = createState({ store, initial: () => ({}), retry: { maxMs: 2 } });
    for (const key of ['text', 'hash']) {
      await expect(store.write(key, '1', undefined, { signal })).rejects.toMatchObject({ definite: true });
      await expect(state.update(key, () => 1, { maxAttempts: 2 })).rejects.toMatchObject({
        code: 'STORE_UNAVAILABLE',
        cause: { message: expect.stringContaining('WRONGTYPE') },
      });
    }
    expect(await admin.get(`${prefix}text`)).toBe('a text');
    expect(await admin.hgetall(`${prefix}hash`)).toEqual({ name: 'of somebody else' });
  });

  it('a write that falls into an open MULTI of the same connection is not taken for done', async () => {
    const client = new Redis(PORT);
    const own = redisStore(client, { prefix });
    await client.multi({ pipeline: false });
    await expect(own.write('multi', '1', undefined, { signal })).rejects.toThrow('QUEUED');
    await expect(own.read('multi', { signal })).rejects.toThrow('QUEUED');
    await expect(own.remove?.('multi', 'x', { signal })).rejects.toThrow('QUEUED');
    // Open: it may be carried out yet.
    await expect(own.write('multi', '1', undefined, { signal })).rejects.not.toHaveProperty('definite');
    await client.discard();
    expect(await own.read('multi', { signal })).toBeUndefined();
    client.disconnect();
  });

  it('stores of different prefixes never meet; a prefix may be empty', async () => {
    const [one, other] = [redisStore(admin, { prefix: `${prefix}*1:` }), redisStore(admin, { prefix: '' })];
    await one.write('key', '1', undefined, { signal });
    await other.write(`${prefix}x1:key`, '2', undefined, { signal });
    expect(await listed(one)).toEqual(['key']);
    expect((await other.read(`${prefix}*1:key`, { signal }))?.value).toBe('1');
  });

  it.each([
    ['ioredis', () => new Redis(PORT, { keyPrefix: prefix }), (client: unknown) => (client as Redis).disconnect()],
    [
      'node-redis',
      () => createClient({ socket: { port: PORT }, keyPrefix: prefix } as object).connect(),
      (client: unknown) => (client as { destroy(): void }).destroy(),
    ],
  ])(
    'a client of %s that puts a prefix of its own before keys lists and watches all the same',
    async (name, open, end) => {
      const client = (await open()) as RedisClient;
      const own = redisStore(client, { prefix: `${name} own:` });
      const leave = new AbortController();
      const ticks = own.watch?.('key', { signal: leave.signal })[Symbol.asyncIterator]();
      await ticks?.next();
      const next = ticks?.next();
      await own.write('key', '1', undefined, { signal });
      expect(await next).toEqual({ done: false, value: undefined });
      expect(await admin.exists(`${prefix}${name} own:key`)).toBe(1);
      expect(await listed(own)).toEqual(['key']);
      await own.close?.();
      end(client);
    },
  );
});

describeWith('redis', 'redisStore on a server of its own', () => {
  let server: OwnServer;
  let proxy: FaultProxy;
  let admin: Redis;
  const ends: (() => unknown)[] = [];
  const connect = async (open: Open = openIoredis, port = server.port) => {
    const { client, end } = await open(port);
    const store = redisStore(client);
    ends.push(end, () => store.close?.());
    return store;
  };
  beforeAll(async () => {
    server = await OwnServer.redis();
    proxy = await FaultProxy.before(server.port);
    admin = new Redis(server.port);
    admin.on('error', () => undefined);
  });
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
    proxy.heal();
    proxy.up();
    await admin.flushall();
  });
  afterAll(async () => {
    admin.disconnect();
    await proxy.close();
    await server.close();
  });

  it.each(both)('a read, a write, a conflict and a removal are one request each, with %s', async (_, open) => {
    const store = await connect(open);
    const state = createState({ store, initial: () => ({ n: 0 }) });
    const [watcher, other] = [new Redis(server.port), await connect()];
    await watcher.ping();
    const monitor = await watcher.monitor();
    ends.push(() => [monitor, watcher].forEach((one) => void one.disconnect()));
    const commands: string[] = [];
    monitor.on('monitor', (_time: string, [name]: string[], source: string) => {
      // What a script itself does is no round trip.
      if (source !== 'lua') commands.push(name?.toLowerCase() ?? '');
    });
    const counted = async (): Promise<string[]> => {
      await admin.echo('end');
      await vi.waitFor(() => expect(commands.at(-1)).toBe('echo'));
      return commands.splice(0).slice(0, -1);
    };
    await state.update('key', (draft) => ++draft.n);
    expect(await counted()).toEqual(['eval', 'eval']);
    await Promise.all(Array.from({ length: 50 }, () => state.update('key', (draft) => ++draft.n)));
    expect(await counted()).toEqual(['eval', 'eval']);
    const found = await other.read('key', { signal });
    expect(await store.write('key', '1', undefined, { signal })).toEqual({ conflict: true, current: found });
    expect(await counted()).toEqual(['eval', 'eval']);
    expect(await store.remove?.('key', found?.revision ?? '', { signal })).toBe(true);
    expect(await counted()).toEqual(['eval']);
    await admin.hset('chunks:state:b', 'v', 'null', 'r', 'x');
    await counted();
    expect(await listed(store)).toEqual(['b']);
    expect(await counted()).toEqual(['eval']);
  });

  it.each(both)('every 7th reply lost: nothing is lost, nothing doubled, nothing fails, with %s', async (_, open) => {
    await losesNothing(throughProxy(proxy, () => connect(open, proxy.port)));
  });

  it.each(both)('the plain loop doubles there, with %s', async (_, open) => {
    await plainLoopDoubles(
      throughProxy(proxy, () => connect(open, proxy.port)),
      { updates: 210 },
    );
  });

  it.each(both)('a server that is away is STORE_UNAVAILABLE with its cause, with %s', async (_, open) => {
    const state = createState({
      store: await connect(open, proxy.port),
      initial: () => ({ n: 0 }),
      attemptTimeoutMs: 50,
    });
    await state.update('key', (draft) => ++draft.n);
    proxy.down();
    // Of another key: an update that follows at once is sent without a look, so nobody could tell what became of it.
    await expect(state.update('other', (draft) => ++draft.n, { maxAttempts: 3 })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      attempts: 3,
      cause: expect.any(Error),
    });
    proxy.up();
    await vi.waitFor(async () => expect((await state.get('key'))?.version).toBe(1), 20_000);
    expect((await state.update('key', (draft) => ++draft.n)).result).toBe(2);
    await state.close();
  });

  it.each(both)(
    'a connection that died without a word is cut, and the update is done once, with %s',
    async (_, open) => {
      const store = await connect(open, proxy.port);
      const state = createState({ store, initial: () => ({ log: [] as string[] }), attemptTimeoutMs: 100 });
      await state.update('key', (draft) => void draft.log.push('one'));
      proxy.halfOpen('reply');
      const update = state.update('key', (draft) => void draft.log.push('two'));
      await vi.waitFor(() => expect(state.stats().updates).toBe(2));
      // It has been sent, perhaps more than once, and is known to the server alone.
      await new Promise((resolve) => setTimeout(resolve, 250));
      proxy.breakAll();
      expect(await update).toMatchObject({ version: 2, state: { log: ['one', 'two'] } });
      expect((await (await connect()).read('key', { signal }))?.value).toContain('{"log":["one","two"]}');
      await state.close();
    },
  );

  it('FLUSHALL and a restart without persistence are reported, by get and by update', async () => {
    const state = createState({ store: await connect(), initial: () => ({ n: 0 }) });
    for (let i = 0; i < 5; i++) await state.update('key', (draft) => ++draft.n);
    const before = await admin.hget('chunks:state:key', 'r');
    await admin.flushall();
    const regressed = { code: 'STORE_REGRESSED', lastVersion: 5, version: 0 };
    await expect(state.get('key')).rejects.toMatchObject(regressed);
    await expect(state.update('key', (draft) => ++draft.n)).rejects.toMatchObject(regressed);
    const fresh = createState({ store: await connect(), initial: () => ({ n: 0 }) });
    expect((await fresh.update('key', (draft) => ++draft.n)).version).toBe(1);
    expect(await admin.hget('chunks:state:key', 'r')).not.toBe(before);
  });

  describe.each(both)('forgetting, with %s', (_, open) => {
    it('is reported by who has seen what was there', async () => {
      const bench: MortalBench = {
        server,
        async open() {
          const { client, end } = await open(server.port);
          return { store: redisStore(client), end };
        },
      };
      await forgettingIsReported(bench);
    });
  });
});

describeWith('redis', 'redisStore on a server that syncs each write', () => {
  it.each(both)('kill −9: nothing lost, nothing doubled, all told, with %s', { timeout: 600_000 }, async (_, open) => {
    const server = await OwnServer.redis('--appendonly', 'yes', '--appendfsync', 'always');
    const bench: MortalBench = {
      server,
      async open() {
        const { client, end } = await open(server.port);
        return { store: redisStore(client, { durable: 'sync' }), end };
      },
    };
    const report = await killSoak(bench, { kills: isSoak ? 25 : 2 });
    console.log(JSON.stringify(report));
    expect(report.acknowledged).toBeGreaterThan(40);
    await server.close();
  });
});

it('a key that the server tells twice is listed once, and only if it begins with the prefix to the letter', async () => {
  const pages = [
    ['7', ['a', 'ab', 'b']],
    ['0', ['ab', 'a\\ud83d', 'a😀']],
  ];
  const client = { eval: async () => pages.shift() } as unknown as RedisClient;
  expect(await listed(redisStore(client), 'a')).toEqual(['a', 'ab', 'a\ud83d', 'a😀']);
  pages.push(['0', ['ab', 'a\\ud83d', 'a😀', 'a😂', 'a😀']]);
  expect(await listed(redisStore(client), 'a\ud83d')).toEqual(['a\ud83d', 'a😀', 'a😂']);
});

it('says what it was told of the server', () => {
  const client = new Redis({ lazyConnect: true });
  for (const durable of ['memory', 'async', 'sync'] as const) {
    expect(redisStore(client, { durable }).capabilities.durable).toBe(durable);
  }
  expect(redisStore(client).capabilities).toEqual(ABILITIES);
});

it.each<[() => unknown, string]>([
  [() => redisStore({} as RedisClient), 'client must be a client of Redis with eval, but is an object of Object'],
  [
    () => redisStore(undefined as unknown as RedisClient),
    'client must be a client of Redis with eval, but is undefined',
  ],
  [() => redisStore(createClient(), { prefix: 7 as unknown as string }), 'prefix must be a string, but is 7'],
  [() => redisStore(createClient(), { durable: 'disk' as 'sync' }), 'durable must be one of "memory", "async", "sync"'],
  [
    () => redisStore(createClient(), { subscriber: createClientPool() }),
    'subscriber must be a plain connection, but is an object of',
  ],
])('bad options are refused at once: %#', (make, message) => {
  expect(make).toThrow(message);
});
