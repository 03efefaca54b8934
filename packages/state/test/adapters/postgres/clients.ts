import { type PostgresStoreOptions, postgresStore } from '@chunks/state/postgres';
import type { StoreBench } from '@chunks/state/testing';
import pg from 'pg';
import { onTestFinished } from 'vitest';

/** The way to a client, as the one who tests has it. */
export type PostgresClient = Parameters<typeof postgresStore>[0];

export const CONNECTION = { host: '127.0.0.1', port: 5432, user: 'postgres', database: 'test' };
export const ignore = (): void => undefined;
export const newTable = (): string => `chunks_test_${crypto.randomUUID().replaceAll('-', '')}`;
export const signal: AbortSignal = new AbortController().signal;

/** A client, and how it is let go of. */
export interface Opened {
  readonly client: PostgresClient;
  end(): unknown;
}
export type Open = (config?: pg.PoolConfig) => Promise<Opened> | Opened;

/** A pool that may break: what idle connections say then is its own affair. */
export function poolOf(config: pg.PoolConfig = {}): pg.Pool {
  return new pg.Pool({ ...CONNECTION, ...config }).on('error', ignore);
}

export const openPool: Open = (config) => {
  const pool = poolOf({ max: 4, ...config });
  return { client: pool, end: () => pool.end() };
};

export const openClient: Open = async (config) => {
  const client = new pg.Client({ ...CONNECTION, ...config });
  client.on('error', ignore);
  await client.connect();
  return { client, end: () => client.end() };
};

/**
 * Behind a pooler that shares connections between transactions: each statement may come to another connection, and
 * finds there nothing of what an earlier one left.
 */
export const openPooler: Open = (config) => {
  const pool = poolOf({ max: 3, ...config });
  const client: PostgresClient = {
    async query(text, values) {
      const lent = await pool.connect();
      try {
        return await lent.query(text, values);
      } finally {
        await lent.query('DISCARD ALL').finally(() => lent.release());
      }
    },
  };
  return { client, end: () => pool.end() };
};

const admin = (): pg.Pool => poolOf({ max: 1, allowExitOnIdle: true });

/** A table for one test, taken away after it. */
export function tableOfTest(): string {
  const table = newTable();
  onTestFinished(async () => {
    const pool = admin();
    await pool.query(`DROP TABLE IF EXISTS ${table}`);
    await pool.end();
  });
  return table;
}

/** A pool for one test, ended after it. */
export function poolOfTest(config: pg.PoolConfig = {}): pg.Pool {
  const pool = poolOf(config);
  onTestFinished(() => (pool.ended ? undefined : pool.end()));
  return pool;
}

/** Stores on a table of their own, each with a client of its own. @param shared what is there to take the table away */
export const benchOn =
  (open: Open, drop: (table: string) => Promise<unknown>, options: PostgresStoreOptions = {}) =>
  (): StoreBench => {
    const table = newTable();
    const opened: Opened[] = [];
    return {
      async open() {
        const one = await open();
        opened.push(one);
        return postgresStore(one.client, { table, ...options });
      },
      async close() {
        for (const { end } of opened) await end();
        await drop(table);
      },
    };
  };
