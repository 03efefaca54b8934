import type { RedisClient } from '@chunks/state/redis';
import { Cluster, Redis } from 'ioredis';
import { createClient, createClientPool, createCluster } from 'redis';

const ignore = (): void => undefined;

export interface Opened {
  readonly client: RedisClient;
  end(): unknown;
}
export type Open = (port: number) => Promise<Opened> | Opened;

const ioredisWith =
  (options: { protocol?: 2 }): Open =>
  (port) => {
    const client = new Redis(port, options);
    client.on('error', ignore);
    return { client, end: () => client.disconnect() };
  };

const nodeRedisWith =
  (options: object): Open =>
  async (port) => {
    const client = await createClient({ socket: { port }, ...options })
      .on('error', ignore)
      .connect();
    return { client, end: () => client.destroy() };
  };

// As everybody opens them: with all their defaults.
export const openIoredis: Open = ioredisWith({});
export const openNodeRedis: Open = nodeRedisWith({});
/** Both, for tests of what depends on the kind of client. */
export const both: readonly (readonly [string, Open])[] = [
  ['ioredis', openIoredis],
  ['node-redis', openNodeRedis],
];

export const openIoredisOld: Open = ioredisWith({ protocol: 2 });
export const openNodeRedisOld: Open = nodeRedisWith({ RESP: 2 });

export const openPool: Open = async (port) => {
  const pool = createClientPool({ socket: { port } }, { minimum: 2 });
  pool.on('error', ignore);
  await pool.connect();
  return { client: pool, end: () => pool.destroy() };
};

export const openIoredisCluster: Open = async (port) => {
  const client = new Cluster([{ host: '127.0.0.1', port }], { lazyConnect: true });
  client.on('error', ignore);
  await client.connect();
  return { client, end: () => client.disconnect() };
};

export const openNodeCluster: Open = async (port) => {
  const cluster = createCluster({ rootNodes: [{ socket: { host: '127.0.0.1', port } }] });
  cluster.on('error', ignore);
  await cluster.connect();
  return { client: cluster, end: () => cluster.destroy() };
};

export const newPrefix = (): string => `chunks test ${crypto.randomUUID()}:`;

/** Removes what a suite wrote to the shared server. */
export async function sweep(admin: Redis, prefix: string): Promise<void> {
  const keys = await admin.keys(`${prefix}*`);
  // One by one: in a cluster they are of different slots.
  await Promise.all(keys.map((key) => admin.del(key)));
}
