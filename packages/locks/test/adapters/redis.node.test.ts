import { readFileSync } from 'node:fs';
import type { LeaseDriver } from '@chunks/locks/lease';
import { type RedisClient, redisLeases } from '@chunks/locks/redis';
import { type LeaseAbilities, type LeaseBench, leaseDriverContract, VirtualClock } from '@chunks/locks/testing';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { createClient, createClientPool, createCluster } from 'redis';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { describeWith } from '../../../../.ci/with-service.ts';
import { CutProxy } from '../support/cut-proxy.ts';
import { OwnServer } from '../support/own-server.ts';

const PORT = 6379;
const LONG_MS = 60_000;
const pass = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const newPrefix = (): string => `chunks test ${crypto.randomUUID()}:`;
const ignore = (): void => undefined;

/** Says at once that nobody answers, instead of keeping calls for later. */
const IMPATIENT: RedisOptions = { maxRetriesPerRequest: 0, retryStrategy: () => 20 };

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

const openIoredisCluster: Open = (port) => {
  const client = new Cluster([{ host: '127.0.0.1', port }], {
    redisOptions: { maxRetriesPerRequest: 0 },
    clusterRetryStrategy: () => 20,
    enableOfflineQueue: true,
  });
  client.on('error', ignore);
  return { client, end: () => client.disconnect() };
};

const openNodeCluster: Open = async (port) => {
  const cluster = createCluster({ rootNodes: [{ socket: { host: '127.0.0.1', port } }] });
  cluster.on('error', ignore);
  await cluster.connect();
  return { client: cluster, end: () => cluster.destroy() };
};

const take = async (driver: LeaseDriver, key: string, holder: string, leaseMs = LONG_MS): Promise<number> => {
  const answer = await driver.acquire(key, holder, leaseMs, {
    mode: 'exclusive',
    signal: new AbortController().signal,
  });
  if (!('token' in answer)) throw new Error(`${key} is busy: ${JSON.stringify(answer)}`);
  return answer.token;
};
const ask = (driver: LeaseDriver, key: string, holder: string): ReturnType<LeaseDriver['acquire']> =>
  driver.acquire(key, holder, LONG_MS, { mode: 'exclusive', signal: new AbortController().signal });

async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (await isSo()) return;
    await pass(20);
  }
  throw new Error(`never came: ${what}`);
}

/** Removes what a suite wrote to the shared server. */
async function sweep(admin: Redis, prefix: string): Promise<void> {
  const keys = await admin.keys(`${prefix}*`);
  if (keys.length > 0) await admin.del(...keys);
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
function contractOn(port: () => number, open: Open, abilities: LeaseAbilities, hasSubscriber = false): void {
  const makeBench = async (): Promise<LeaseBench> => {
    const keyPrefix = newPrefix();
    const admin = new Redis(port());
    const opened: Opened[] = [];
    const keep = async (one: Promise<Opened> | Opened): Promise<RedisClient> => {
      opened.push(await one);
      return (await one).client;
    };
    const proxies: CutProxy[] = [];
    return {
      open: async () => {
        const client = await keep(open(port()));
        return redisLeases(client, { keyPrefix, subscriber: hasSubscriber ? await keep(open(port())) : undefined });
      },
      pass,
      async now() {
        const [seconds, micros] = await admin.time();
        return Number(seconds) * 1000 + Number(micros) / 1000;
      },
      async outage() {
        const proxy = await CutProxy.before(port());
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
  for (const { name, run } of leaseDriverContract(makeBench, abilities)) it.concurrent(name, run);
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
  describe('on a pool beside a subscriber, of node-redis', () => {
    const open: Open = openNodeRedis;
    contractOn(() => PORT, open, ABILITIES, true);
  });
  describe('with a subscriber of ioredis', () => {
    contractOn(() => PORT, openIoredis, ABILITIES, true);
  });
});
void [
  readFileSync,
  afterAll,
  afterEach,
  beforeAll,
  expect,
  vi,
  VirtualClock,
  OwnServer,
  openIoredisCluster,
  openNodeCluster,
  ask,
  until,
  take,
];
