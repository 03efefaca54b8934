import type { LeaseDriver } from '../../src/lease-driver.ts';

/** Where a store is: the port of its server, or its file. */
export interface StoreAddress {
  readonly kind: 'redis' | 'postgres' | 'nats' | 'sqlite';
  readonly at: string;
}

interface OpenStore {
  readonly driver: LeaseDriver;
  /** Closes the client, which is not the driver's. */
  close(): unknown;
}

// The servers of these tests are killed: what a client thinks of that is no news.
const ignore = (): void => undefined;

// Each process loads the client of its own store alone.
const openers: Record<StoreAddress['kind'], (at: string) => Promise<OpenStore>> = {
  async redis(port) {
    const [{ Redis }, { redisLeases }] = await Promise.all([import('ioredis'), import('@chunks/locks/redis')]);
    const client = new Redis(Number(port), { maxRetriesPerRequest: 0, retryStrategy: () => 50 });
    client.on('error', ignore);
    return { driver: redisLeases(client), close: () => client.disconnect() };
  },
  async postgres(port) {
    const [{ default: pg }, { postgresLeases }] = await Promise.all([import('pg'), import('@chunks/locks/postgres')]);
    const pool = new pg.Pool({ host: '127.0.0.1', port: Number(port), user: 'postgres', database: 'postgres' });
    pool.on('error', ignore);
    return { driver: postgresLeases(pool), close: () => pool.end() };
  },
  async nats(port) {
    const [{ connect }, { Kvm }, { natsLeases }] = await Promise.all([
      import('@nats-io/transport-node'),
      import('@nats-io/kv'),
      import('@chunks/locks/nats'),
    ]);
    const connection = await connect({ port: Number(port), maxReconnectAttempts: -1, reconnectTimeWait: 50 });
    const bucket = await new Kvm(connection).create('locks').catch(async (error) => {
      await connection.close();
      throw error;
    });
    return { driver: natsLeases(bucket, { skewMs: 0 }), close: () => connection.close() };
  },
  async sqlite(file) {
    const { sqliteLeases } = await import('@chunks/locks/sqlite');
    return { driver: sqliteLeases(file), close: ignore };
  },
};

/** This process's own driver and client. */
export function openStore({ kind, at }: StoreAddress): Promise<OpenStore> {
  return openers[kind](at);
}
