import { readFileSync } from 'node:fs';
import { FaultProxy } from '@chunks/base/testing';
import { leaseLocker } from '@chunks/locks/lease';
import { type RedisClient, type RedisLeasesOptions, redisLeases } from '@chunks/locks/redis';
import {
  type LeaseAbilities,
  type LeaseBench,
  type LockerBench,
  leaseDriverContract,
  lockerContract,
  VirtualClock,
} from '@chunks/locks/testing';
import { Cluster, Redis } from 'ioredis';
import { createClient, createClientPool, createCluster } from 'redis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { OwnServer } from '../../../../.ci/testing/own-server.ts';
import { onRealTime } from '../../../../.ci/testing/runs.ts';
import { describeWith } from '../../../../.ci/testing/with-service.ts';
import { agreesWithTheModel, ask, LONG_MS, pass, take, takeInTheEnd, until, watching } from '../support/lease-steps.ts';
import {
  breakWatches,
  cutEarly,
  hearOnOneConnection,
  loseReplies,
  refuseAll,
  tellApart,
} from '../support/outage-steps.ts';

const PORT = 6379;
const newPrefix = (): string => `chunks test ${crypto.randomUUID()}:`;
const ignore = (): void => undefined;

/** Says at once that nobody answers, instead of keeping calls for later. */
const IMPATIENT = { maxRetriesPerRequest: 0, retryStrategy: () => 20 };

interface Opened {
  readonly client: RedisClient;
  end(): unknown;
}
type Open = (port: number) => Promise<Opened> | Opened;

const openIoredis: Open = (port) => {
  const client = new Redis(port, IMPATIENT);
  client.on('error', ignore);
  return { client, end: () => client.disconnect() };
};

const openNodeRedis: Open = async (port) => {
  const socket = { port, reconnectStrategy: () => 20 };
  const client = await createClient({ socket, disableOfflineQueue: true }).on('error', ignore).connect();
  return { client, end: () => client.destroy() };
};

const openPool: Open = async (port) => {
  const socket = { port, reconnectStrategy: () => 20 };
  const pool = createClientPool({ socket, disableOfflineQueue: true }, { minimum: 2 });
  pool.on('error', ignore);
  await pool.connect();
  return { client: pool, end: () => pool.destroy() };
};

// Clusters tell their clients where the nodes are; behind a proxy, that is where the proxy is.
const openIoredisCluster: Open = async (port) => {
  const client = new Cluster([{ host: '127.0.0.1', port }], {
    natMap: () => ({ host: '127.0.0.1', port }),
    redisOptions: { maxRetriesPerRequest: 0 },
    clusterRetryStrategy: () => 20,
    enableOfflineQueue: false,
    lazyConnect: true,
  });
  client.on('error', ignore);
  await client.connect();
  return { client, end: () => client.disconnect() };
};

const openNodeCluster: Open = async (port) => {
  const socket = { host: '127.0.0.1', port };
  const cluster = createCluster({
    rootNodes: [{ socket }],
    nodeAddressMap: () => socket,
    defaults: { disableOfflineQueue: true, socket: { reconnectStrategy: () => 20 } },
  });
  cluster.on('error', ignore);
  await cluster.connect();
  return { client: cluster, end: () => cluster.destroy() };
};

/** Removes what a suite wrote to the shared server. */
async function sweep(admin: Redis, prefix: string): Promise<void> {
  const keys = await admin.keys(`${prefix}*`);
  // One by one: in a cluster they are of different slots.
  await Promise.all(keys.map((key) => admin.del(key)));
}

const ABILITIES: LeaseAbilities = {
  shared: false,
  inspect: true,
  watch: true,
  line: false,
  clock: 'store',
  remote: true,
};

/** The contract on a server, through one kind of client. */
function contractOn(port: () => number, open: Open, abilities: LeaseAbilities, openSubscriber?: Open): void {
  const makeBench = async (): Promise<LeaseBench> => {
    const keyPrefix = newPrefix();
    const admin = new Redis(port());
    const opened: Opened[] = [];
    const keep = async (one: Promise<Opened> | Opened): Promise<RedisClient> => {
      opened.push(await one);
      return (await one).client;
    };
    const proxies: FaultProxy[] = [];
    return {
      open: async () => {
        const client = await keep(open(port()));
        return redisLeases(client, { keyPrefix, subscriber: openSubscriber && (await keep(openSubscriber(port()))) });
      },
      pass,
      async now() {
        const [seconds, micros] = await admin.time();
        return Number(seconds) * 1000 + Number(micros) / 1000;
      },
      async outage() {
        const proxy = await FaultProxy.before(port());
        proxies.push(proxy);
        const client = await keep(open(proxy.port));
        const driver = redisLeases(client, { keyPrefix });
        await driver.inspect?.('key');
        proxy.down();
        return { driver, end: () => proxy.up() };
      },
      async close() {
        for (const { end } of opened) await end();
        for (const proxy of proxies) await proxy.close();
        await sweep(admin, keyPrefix);
        admin.disconnect();
      },
    };
  };
  for (const { name, run } of leaseDriverContract(makeBench, abilities)) it.concurrent(name, onRealTime, run);
}

describeWith('redis', 'redisLeases', () => {
  describe('keeps the contract, on a connection of ioredis', () => {
    contractOn(() => PORT, openIoredis, ABILITIES);
  });
  describe('on one of node-redis', () => {
    contractOn(() => PORT, openNodeRedis, ABILITIES);
  });
  describe('on a pool, which cannot subscribe', () => {
    contractOn(() => PORT, openPool, { ...ABILITIES, watch: false });
  });
  describe('on a pool beside a subscriber of node-redis', () => {
    contractOn(() => PORT, openPool, ABILITIES, openNodeRedis);
  });
  describe('on a pool beside a subscriber of ioredis', () => {
    contractOn(() => PORT, openPool, ABILITIES, openIoredis);
  });
});

describeWith('redis', 'leaseLocker over redisLeases keeps the contract of all lockers', () => {
  const makeBench = async (): Promise<LockerBench> => {
    const keyPrefix = newPrefix();
    const ends: (() => unknown)[] = [];
    return {
      async open(options) {
        const { client, end } = await openIoredis(PORT);
        const driver = redisLeases(client, { keyPrefix });
        ends.push(end, () => driver.close?.());
        return leaseLocker(driver, options);
      },
      pass,
      async close() {
        for (const end of ends.reverse()) await end();
        const admin = new Redis(PORT);
        await sweep(admin, keyPrefix);
        admin.disconnect();
      },
    };
  };
  for (const { name, run } of lockerContract(makeBench, { shared: false })) it.concurrent(name, onRealTime, run);
});

describeWith('redis', 'what redisLeases says and keeps', () => {
  const keyPrefix = newPrefix();
  const admin = new Redis(PORT, { lazyConnect: true });
  const opened: Opened[] = [];
  const connect = async (open: Open = openIoredis, options: Omit<RedisLeasesOptions, 'keyPrefix'> = {}) => {
    const one = await open(PORT);
    opened.push(one);
    const driver = redisLeases(one.client, { keyPrefix, ...options });
    opened.push({ client: one.client, end: () => driver.close?.() });
    return driver;
  };
  afterAll(async () => {
    for (const { end } of opened.reverse()) await end();
    await sweep(admin, keyPrefix);
    admin.disconnect();
  });

  it('random programs end as in the model', async () => {
    await agreesWithTheModel([await connect(openIoredis), await connect(openNodeRedis)], 'model ');
  });

  it.each([
    ['ioredis', openIoredis, (client: RedisClient) => ({ call: ignore, eval: client.eval.bind(client) })],
    ['node-redis', openNodeRedis, (client: RedisClient) => ({ eval: client.eval.bind(client) })],
  ])('a client of the kind of %s that has eval alone is enough, and its waiters ask', async (name, open, bare) => {
    const one = await open(PORT);
    opened.push(one);
    const driver = redisLeases(bare(one.client) as RedisClient, { keyPrefix });
    const token = await take(driver, name, 'a');
    expect(await ask(driver, name, 'b')).toMatchObject({ busy: true, holder: 'a' });
    expect(await driver.renew(name, 'a', token, LONG_MS)).toEqual({ contended: true });
    expect(await driver.release(name, 'a', token)).toBe(true);
    expect(driver.watch).toBeUndefined();
  });

  it('a renewal says when somebody was refused, until the next lease', async () => {
    const driver = await connect();
    const token = await take(driver, 'crowded', 'a');
    expect(await driver.renew('crowded', 'a', token, LONG_MS)).toBe(true);
    await ask(driver, 'crowded', 'b');
    await ask(driver, 'crowded', 'c');
    expect(await take(driver, 'crowded', 'a')).toBe(token);
    for (let i = 0; i < 2; i++) {
      expect(await driver.renew('crowded', 'a', token, LONG_MS)).toEqual({ contended: true });
    }
    expect(await driver.release('crowded', 'a', token)).toBe(true);
    const next = await take(driver, 'crowded', 'b');
    await ask(driver, 'crowded', 'c');
    // Its end passes by.
    const record = (await admin.getBuffer(`${keyPrefix}crowded`)) as Buffer;
    record.writeDoubleBE(1, 9);
    await admin.set(`${keyPrefix}crowded`, record);
    expect(await driver.renew('crowded', 'b', next, LONG_MS)).toBe(false);
    const last = await take(driver, 'crowded', 'c');
    expect(await driver.renew('crowded', 'c', last, LONG_MS)).toBe(true);
  });

  it('a record goes a day after its lease, and no sooner than its token is a day old', async () => {
    const driver = await connect();
    const name = `${keyPrefix}kept`;
    const dayMs = 86_400_000;
    const leftMs = async (): Promise<number> => Math.round((await admin.pttl(name)) / 60_000) * 60_000;
    const token = await take(driver, 'kept', 'a', 600_000);
    expect(await leftMs()).toBe(dayMs + 600_000);
    await driver.renew('kept', 'a', token, 1_200_000);
    expect(await leftMs()).toBe(dayMs + 1_200_000);
    await driver.release('kept', 'a', token);
    expect(await leftMs()).toBe(dayMs);
    // As when the clock was set back by an hour, or a key was granted more often than once a ms for that long.
    const record = await admin.getBuffer(name);
    record?.writeDoubleBE(token + 3_600_000, 1);
    await admin.set(name, record as Buffer);
    expect(await take(driver, 'kept', 'b', 600_000)).toBe(token + 3_600_001);
    await driver.release('kept', 'b', token + 3_600_001);
    expect(await leftMs()).toBe(dayMs + 3_600_000);
  });

  it('a lease may last for ever, or a fraction of a ms', async () => {
    const driver = await connect();
    const token = await take(driver, 'endless', 'a', Number.POSITIVE_INFINITY);
    const answer = await ask(driver, 'endless', 'b');
    expect('busy' in answer && answer.retryAfterMs).toBeGreaterThan(1e12);
    expect(await driver.renew('endless', 'a', token, Number.POSITIVE_INFINITY)).toEqual({ contended: true });
    expect(await driver.release('endless', 'a', token)).toBe(true);
    await take(driver, 'endless', 'b', 60_000.25);
  });

  it('keys that UTF-8 confuses are different ones, and a backslash is no escape', async () => {
    const driver = await connect();
    const keys = ['\ud800', '\ud801', '\\ud800', '\ufffd', '\\\\ud800'];
    for (const [i, key] of keys.entries()) await take(driver, key, `holder ${i}`);
  });

  it('what is at the key and is not ours is an error, never a free key', async () => {
    const driver = await connect();
    await admin.set(`${keyPrefix}foreign`, 'a text of somebody else, longer than the record');
    await admin.set(`${keyPrefix}short`, 'short');
    await admin.rpush(`${keyPrefix}list`, 'a');
    for (const key of ['foreign', 'short', 'list']) {
      await expect(take(driver, key, 'a')).rejects.toThrow();
      await expect(driver.inspect?.(key)).rejects.toThrow();
    }
  });

  it('lockers of different prefixes never meet; a prefix may be empty', async () => {
    const [client, prefix] = [await openIoredis(PORT), newPrefix()];
    opened.push(client);
    const one = redisLeases(client.client, { keyPrefix: `${keyPrefix}1:` });
    const other = redisLeases(client.client, { keyPrefix: '' });
    await take(one, 'key', 'a');
    const token = await take(other, `${prefix}key`, 'b');
    expect(await admin.exists(`${prefix}key`)).toBe(1);
    expect(await other.release(`${prefix}key`, 'b', token)).toBe(true);
    await sweep(admin, prefix);
  });

  it('a client that puts a prefix of its own before keys hears of releases all the same', async () => {
    const client = new Redis(PORT, { keyPrefix });
    const driver = redisLeases(client, { keyPrefix: '' });
    const heard = await watching(driver, 'prefixed');
    await driver.release('prefixed', 'a', await take(driver, 'prefixed', 'a'));
    await until(() => heard.wakes === 1, 'the wake');
    expect(await admin.exists(`${keyPrefix}prefixed`)).toBe(1);
    await driver.close?.();
    client.disconnect();
  });

  it('a client that connects late, and keeps no calls for later, can be listened on too', async () => {
    const client = new Redis(PORT, { lazyConnect: true, enableOfflineQueue: false });
    await client.connect();
    const driver = redisLeases(client, { keyPrefix });
    const heard = await watching(driver, 'late');
    await driver.release('late', 'a', await take(driver, 'late', 'a'));
    await until(() => heard.wakes === 1, 'the wake');
    await driver.close?.();
    client.disconnect();
  });

  it('the fenced write of the docs refuses an older token, and nothing else', async () => {
    const source = readFileSync(new URL('../../src/adapters/redis.ts', import.meta.url), 'utf8');
    const script = /```lua\n \* (.*)\n/.exec(source)?.[1] ?? '';
    const write = (value: string, token: number) => admin.eval(script, 1, `${keyPrefix}fenced`, value, `${token}`);
    expect(await write('first', 7)).toBe(1);
    expect(await write('same holder again', 7)).toBe(1);
    expect(await write('next holder', 8)).toBe(1);
    expect(await write('late', 7)).toBe(0);
    expect(await admin.hgetall(`${keyPrefix}fenced`)).toEqual({ value: 'next holder', token: '8' });
  });
});

describeWith('redis', 'redisLeases on a server of its own', () => {
  let server: OwnServer;
  let proxy: FaultProxy;
  const ends: (() => unknown)[] = [];
  const opened = async (open: Open, port: number): Promise<RedisClient> => {
    const { client, end } = await open(port);
    ends.push(end);
    return client;
  };
  const connect = async (open: Open = openIoredis, port = server.port, options: RedisLeasesOptions = {}) => {
    const driver = redisLeases(await opened(open, port), options);
    ends.push(() => driver.close?.());
    return driver;
  };
  const both = [
    ['ioredis', openIoredis],
    ['node-redis', openNodeRedis],
  ] as const;
  const forgetAll = async (): Promise<void> => {
    const admin = new Redis(server.port);
    await admin.flushall();
    admin.disconnect();
  };
  /** How many connections listen. */
  const subscribers = async (): Promise<number> => {
    const admin = new Redis(server.port);
    const list = await admin.client('LIST', 'TYPE', 'PUBSUB');
    admin.disconnect();
    return String(list).split('\n').filter(Boolean).length;
  };

  beforeAll(async () => {
    server = await OwnServer.redis();
    proxy = await FaultProxy.before(server.port);
  });
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
    proxy.up();
    await forgetAll();
  });
  afterAll(async () => {
    await proxy.close();
    await server.close();
  });

  it.each(both)('acquire and release are one command each, with %s', async (_, open) => {
    const driver = await connect(open);
    // The first time the server learns the scripts.
    await driver.release('warm', 'a', await take(driver, 'warm', 'a'));
    const watcher = new Redis(server.port);
    await watcher.ping();
    const monitor = await watcher.monitor();
    ends.push(() => [monitor, watcher].forEach((one) => void one.disconnect()));
    const commands: string[] = [];
    monitor.on('monitor', (_time: string, [name]: string[], source: string) => {
      // What a script itself does is no round trip.
      if (source !== 'lua') commands.push(name ?? '');
    });
    const token = await take(driver, 'counted', 'a');
    expect(await driver.release('counted', 'a', token)).toBe(true);
    await watcher.echo('end');
    await until(() => commands.at(-1) === 'echo', 'the monitor');
    expect(commands.map((name) => name.toLowerCase())).toEqual(['evalsha', 'evalsha', 'echo']);
  });

  it.each(both)('a server that has forgotten the scripts learns them again, with %s', async (_, open) => {
    const driver = await connect(open);
    const admin = new Redis(server.port);
    const token = await take(driver, 'forgotten', 'a');
    await admin.script('FLUSH');
    expect(await take(driver, 'forgotten', 'a')).toBe(token);
    await admin.script('FLUSH');
    expect(await driver.renew('forgotten', 'a', token, LONG_MS)).toBe(true);
    await admin.script('FLUSH');
    expect(await driver.release('forgotten', 'a', token)).toBe(true);
    admin.disconnect();
  });

  it.each(both)('a cut before the acquire arrives is an error, and the key is free, with %s', async (name, open) => {
    await cutEarly(await connect(open, proxy.port), await connect(), proxy, `cut early ${name}`);
  });

  it.each(both)(
    'a lost reply is an error; asked again, the holder gets the same token, with %s',
    async (name, open) => {
      await loseReplies([await connect(open, proxy.port), await connect()], proxy, `lost ${name}`, { contended: true });
    },
  );

  it('a client that sends again by itself is given one lease, and one token', async () => {
    const client = new Redis(proxy.port);
    client.on('error', ignore);
    ends.push(() => client.disconnect());
    const [driver, other] = [redisLeases(client), await connect()];
    await take(driver, 'resent before', 'a');
    proxy.cutNext('reply', 'resent');
    const token = await take(driver, 'resent', 'a');
    expect([proxy.hasCut, await take(other, 'resent', 'a')]).toEqual([true, token]);
  });

  it.each(both)('down, lost and busy are three things, with %s', async (_, open) => {
    const [driver, other] = [await connect(open), await connect()];
    const [mine, theirs] = [await take(driver, 'mine', 'a'), await take(other, 'theirs', 'b')];
    await server.kill();
    await refuseAll(driver, mine);
    await server.start();
    // It has forgotten everything: the leases are lost, and tokens go up all the same, by the clock.
    const next = await takeInTheEnd(driver, 'theirs', 'a');
    expect(next).toBeGreaterThan(theirs);
    expect(await driver.renew('mine', 'a', mine, LONG_MS)).toBe(false);
    expect(await driver.release('mine', 'a', mine)).toBe(false);
    expect(await takeInTheEnd(driver, 'mine', 'a')).toBeGreaterThan(mine);
    await until(
      () =>
        ask(other, 'theirs', 'b').then(
          (answer) => 'busy' in answer && answer.holder === 'a',
          () => false,
        ),
      'a busy answer',
    );
  });

  it.each(both)(
    'through the locker they are LOCK_TIMEOUT, LOCK_LOST and LOCK_UNAVAILABLE, with %s',
    async (_, open) => {
      await tellApart([await connect(open), await connect()], server, forgetAll);
    },
  );

  it('after FLUSHALL no lease is left, and tokens still rise', async () => {
    const driver = await connect();
    const token = await take(driver, 'flushed', 'a');
    await forgetAll();
    expect(await driver.renew('flushed', 'a', token, LONG_MS)).toBe(false);
    expect(await driver.release('flushed', 'a', token)).toBe(false);
    await until(async () => (await take(driver, 'probe', 'a')) > token, 'the next ms');
    expect(await take(driver, 'flushed', 'b')).toBeGreaterThan(token);
  });

  it.each(both)(
    'one connection hears of all keys, and goes a second after the last watcher, with %s',
    async (_, open) => {
      const clock = new VirtualClock();
      await hearOnOneConnection(await connect(open, server.port, { clock }), clock, subscribers);
    },
  );

  it.each(both)(
    'a broken subscription wakes everybody once and heals with the next busy answer, with %s',
    async (_, open) => {
      const drivers = [await connect(open, proxy.port), await connect()] as const;
      await breakWatches(drivers, proxy, subscribers, async () => expect(await subscribers()).toBe(0));
    },
  );

  it.each(both)('watch rejects when nobody answers, and works when somebody does, with %s', async (_, open) => {
    const driver = await connect(open, proxy.port);
    proxy.down();
    await expect(watching(driver, 'unheard')).rejects.toThrow(Error);
    proxy.up();
    const heard = await watching(driver, 'unheard');
    await until(
      () =>
        take(driver, 'unheard', 'a').then(
          (token) => driver.release('unheard', 'a', token),
          () => false,
        ),
      'a release',
    );
    await until(() => heard.wakes > 0, 'the wake');
  });

  it.each(both)('a subscriber that was given stays open, and is left as it was, with %s', async (_, open) => {
    const subscriber = await opened(open, server.port);
    const emitter = subscriber as unknown as { listenerCount(event: string): number };
    const listeners = (): number[] => ['error', 'message', 'close', 'end'].map((event) => emitter.listenerCount(event));
    const before = listeners();
    const driver = await connect(openPool, server.port, { subscriber });
    const heard = await watching(driver, 'given');
    await driver.release('given', 'a', await take(driver, 'given', 'a'));
    await until(() => heard.wakes === 1, 'the wake');
    await driver.close?.();
    await until(async () => (await subscribers()) === 0, 'the end of the subscription');
    expect(listeners()).toEqual(before);
    expect(await take(redisLeases(subscriber), 'given', 'b')).toBeGreaterThan(0);
  });

  it('a subscriber that breaks and comes back is listened on again', async () => {
    const subscriber = await opened((port) => {
      const client = new Redis(port, { retryStrategy: () => 20 });
      client.on('error', ignore);
      return { client, end: () => client.disconnect() };
    }, proxy.port);
    const driver = await connect(openPool, server.port, { subscriber });
    const heard = await watching(driver, 'back');
    proxy.breakAll();
    await until(() => heard.wakes === 1, 'the wake of the break');
    const token = await take(driver, 'back', 'a');
    await ask(driver, 'back', 'b');
    await until(() => heard.wakes === 2, 'the wake of the return');
    await driver.release('back', 'a', token);
    await until(() => heard.wakes === 3, 'the wake');
  });

  it.each(both)('two on one subscriber hear until each of them stops, with %s', async (_, open) => {
    const subscriber = await opened(open, server.port);
    const [one, other] = [
      await connect(openPool, server.port, { subscriber }),
      await connect(openPool, server.port, { subscriber }),
    ];
    const [gone, heard] = [await watching(one, 'both'), await watching(other, 'both')];
    await one.close?.();
    await other.release('both', 'a', await take(other, 'both', 'a'));
    await until(() => heard.wakes === 1, 'the wake');
    expect(gone.wakes).toBe(0);
    await other.close?.();
    await until(async () => (await subscribers()) === 0, 'the end of the subscription');
  });

  it('subscriber: false opens nothing, and there is no watch', async () => {
    expect((await connect(openIoredis, server.port, { subscriber: false })).watch).toBeUndefined();
  });
});

describeWith('redis', 'redisLeases on a cluster', () => {
  let server: OwnServer;
  beforeAll(async () => {
    server = await OwnServer.redis('--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1');
    const admin = new Redis(server.port);
    await admin.cluster('ADDSLOTSRANGE', 0, 16_383);
    await until(async () => String(await admin.cluster('INFO')).includes('cluster_state:ok'), 'the cluster');
    admin.disconnect();
  });
  afterAll(() => server.close());
  describe('of ioredis', () => {
    contractOn(() => server.port, openIoredisCluster, ABILITIES);
  });
  describe('of node-redis', () => {
    contractOn(() => server.port, openNodeCluster, ABILITIES);
  });
});

it.each<[() => unknown, string]>([
  [() => redisLeases({} as RedisClient), 'client must be a client of Redis with eval, but is an object of Object'],
  [
    () => redisLeases(undefined as unknown as RedisClient),
    'client must be a client of Redis with eval, but is undefined',
  ],
  [() => redisLeases(createClient(), { keyPrefix: 7 as unknown as string }), 'keyPrefix must be a string, but is 7'],
  [
    () => redisLeases(createClient(), { subscriber: createClientPool() }),
    'subscriber must be a client that can subscribe, or false, but is an object of',
  ],
])('bad options are refused at once: %#', (make, message) => {
  expect(make).toThrow(TypeError);
  expect(make).toThrow(message);
});
