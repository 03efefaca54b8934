// Locks over Redis, each used in the way its own documentation shows, all with the same client library. Loaded by name
// and described structurally, as in contenders.ts.

export interface Redis {
  set(...args: (string | number)[]): Promise<unknown>;
  del(key: string): Promise<unknown>;
  info(section: string): Promise<string>;
  quit(): Promise<unknown>;
  monitor(): Promise<Monitor>;
}

/** A connection that hears every command the server carries out; those inside scripts have the source `lua`. */
export interface Monitor {
  on(event: 'monitor', heard: (time: string, args: string[], source: string) => void): unknown;
  disconnect(): void;
}

/** A lock of one process: what `enter` gives leaves again. */
export interface RedisContender {
  readonly name: string;
  enter(key: string): Promise<() => Promise<unknown>>;
  close(): Promise<unknown>;
}

export const LEASE_MS = 30_000;

interface Locker {
  acquire(key: string, options: { timeoutMs: number }): Promise<{ release(): Promise<unknown> }>;
  close(): Promise<void>;
}
interface LeaseModule {
  leaseLocker(driver: unknown, options: { leaseMs: number }): Locker;
}
interface RedisModule {
  redisLeases(client: Redis): unknown;
}
interface SemaphoreModule {
  Mutex: new (
    client: Redis,
    key: string,
    options: { lockTimeout: number; acquireTimeout: number },
  ) => { acquire(): Promise<void>; release(): Promise<void> };
}
interface RedlockModule {
  IoredisAdapter: new (client: Redis) => unknown;
  createLock(options: { adapter: unknown; key: string; ttl: number; retryAttempts: number }): {
    acquire(): Promise<unknown>;
    release(handle: unknown): Promise<unknown>;
  };
}

const load = async <T>(name: string): Promise<T> => (await import(name)) as T;

export async function connect(): Promise<Redis> {
  const { Redis } = await load<{ Redis: new (options: object) => Redis }>('ioredis');
  return new Redis({ host: '127.0.0.1', port: 6379 });
}

/** No lock at all: the two commands that the simplest one takes. */
export async function raw(): Promise<RedisContender> {
  const client = await connect();
  return {
    name: 'SET NX + DEL',
    enter: async (key) => {
      await client.set(key, 'me', 'PX', LEASE_MS, 'NX');
      return () => client.del(key);
    },
    close: () => client.quit(),
  };
}

export async function chunks(): Promise<RedisContender> {
  const client = await connect();
  const { leaseLocker } = await load<LeaseModule>('@chunks/locks/lease');
  const { redisLeases } = await load<RedisModule>('@chunks/locks/redis');
  const locks = leaseLocker(redisLeases(client), { leaseMs: LEASE_MS });
  return {
    name: '@chunks/locks',
    enter: async (key) => {
      const lock = await locks.acquire(key, { timeoutMs: 60_000 });
      return () => lock.release();
    },
    close: async () => {
      await locks.close();
      await client.quit();
    },
  };
}

export async function redisSemaphore(): Promise<RedisContender> {
  const client = await connect();
  const { Mutex } = await load<SemaphoreModule>('redis-semaphore');
  return {
    name: 'redis-semaphore',
    enter: async (key) => {
      const mutex = new Mutex(client, key, { lockTimeout: LEASE_MS, acquireTimeout: 60_000 });
      await mutex.acquire();
      return () => mutex.release();
    },
    close: () => client.quit(),
  };
}

export async function redlockUniversal(): Promise<RedisContender> {
  const client = await connect();
  const { IoredisAdapter, createLock } = await load<RedlockModule>('redlock-universal');
  const adapter = new IoredisAdapter(client);
  return {
    name: 'redlock-universal',
    enter: async (key) => {
      const lock = createLock({ adapter, key, ttl: LEASE_MS, retryAttempts: 1_000 });
      const handle = await lock.acquire();
      return () => lock.release(handle);
    },
    close: () => client.quit(),
  };
}
