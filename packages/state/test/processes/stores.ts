import type { VersionedStore } from '@chunks/state';

/** Where a store is: the port of its server, its file or folder, or its address. */
export interface StoreAddress {
  readonly kind: 'redis' | 'postgres' | 'nats' | 'sqlite' | 'fs' | 's3' | 'deno-kv';
  readonly at: string;
  /** The prefix, table or bucket of this run alone. */
  readonly name: string;
}

/** A store in this process, with what it stands on. */
export interface OpenStore {
  readonly store: VersionedStore;
  /** Closes the client, which is not the store's. */
  close(): unknown;
  /** Takes away what this run has left on a server. */
  wipe(): unknown;
}

const nothing = (): void => undefined;

// Each process loads the client of its own store alone.
const openers: Record<StoreAddress['kind'], (at: string, name: string) => Promise<OpenStore>> = {
  async redis(port, name) {
    const [{ Redis }, { redisStore }] = await Promise.all([import('ioredis'), import('@chunks/state/redis')]);
    const client = new Redis(Number(port));
    return {
      store: redisStore(client, { prefix: name }),
      close: () => client.disconnect(),
      wipe: async () => {
        for await (const keys of client.scanStream({ match: `${name}*` })) if (keys.length > 0) await client.del(keys);
      },
    };
  },
  async postgres(port, table) {
    const [{ default: pg }, { postgresStore }] = await Promise.all([import('pg'), import('@chunks/state/postgres')]);
    const pool = new pg.Pool({ host: '127.0.0.1', port: Number(port), user: 'postgres', database: 'test' });
    return {
      store: postgresStore(pool, { table }),
      close: () => pool.end(),
      wipe: () => pool.query(`DROP TABLE IF EXISTS ${table}`),
    };
  },
  async nats(port, name) {
    const [{ connect }, { Kvm }, { natsStore }] = await Promise.all([
      import('@nats-io/transport-node'),
      import('@nats-io/kv'),
      import('@chunks/state/nats'),
    ]);
    const connection = await connect({ port: Number(port) });
    const bucket = await new Kvm(connection).create(name);
    return { store: natsStore(bucket), close: () => connection.close(), wipe: () => bucket.destroy() };
  },
  async sqlite(file) {
    const { sqliteStore } = await import('@chunks/state/sqlite');
    return { store: sqliteStore(file), close: nothing, wipe: nothing };
  },
  async fs(folder) {
    const { fsStore } = await import('@chunks/state/fs');
    return { store: fsStore(folder), close: nothing, wipe: nothing };
  },
  async s3(url) {
    const { s3Store } = await import('@chunks/state/s3');
    return { store: s3Store({ url, fetch }), close: nothing, wipe: nothing };
  },
  async 'deno-kv'(file) {
    const [{ openKv }, { denoKvStore }] = await Promise.all([import('@deno/kv'), import('@chunks/state/deno-kv')]);
    const kv = await openKv(file);
    return { store: denoKvStore(kv), close: () => kv.close(), wipe: nothing };
  },
};

/** This process's own store and client. */
export function openStore({ kind, at, name }: StoreAddress): Promise<OpenStore> {
  return openers[kind](at, name);
}
