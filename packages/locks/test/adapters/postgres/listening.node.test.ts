import { PGlite } from '@electric-sql/pglite';
import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import { describeWith } from '../../../../../.ci/testing/with-service.ts';
import { listeningOf, type PostgresClient, queryOf } from '../../../src/adapters/postgres/listening.ts';
import { until } from '../../support/lease-steps.ts';

const CONNECTION = { host: '127.0.0.1', port: 5432, user: 'postgres', database: 'test' };
const channel = `chunks_test_${crypto.randomUUID()}.with dot`;
const events = () => {
  const told: string[] = [];
  return {
    told,
    wake: (payload: string) => void told.push(payload),
    lost: (reason: unknown) => void told.push(String(reason)),
  };
};
const notify = (client: PostgresClient, payload: string, to: string = channel): Promise<unknown> =>
  client.query('SELECT pg_notify($1, $2)', [to, payload]);

it('whoever can only run statements cannot listen, nor can a pool of one', () => {
  const pool = new pg.Pool({ max: 1 });
  expect(listeningOf({ query: async () => ({ rows: [] }) })).toBeUndefined();
  expect(listeningOf(pool)).toBeUndefined();
});

it('PGlite listens in this process', async () => {
  const client = await PGlite.create();
  const { told, ...rest } = events();
  const stop = await listeningOf(client)?.(channel, rest);
  await notify(client, 'other', 'another');
  await notify(client, 'key');
  await until(() => told.length > 0, 'the notice');
  await stop?.();
  await notify(client, 'late');
  expect(told).toEqual(['key']);
  await client.close();
}, 60_000);

describeWith('postgres', 'listening', () => {
  const admin = new pg.Client(CONNECTION);
  const connected = admin.connect();
  afterAll(() => admin.end());
  const listenersOf = (client: pg.Client): number =>
    ['notification', 'error', 'end'].reduce((sum, event) => sum + client.listenerCount(event), 0);

  it('a client hears its channel alone, and is as before when it stops', async () => {
    await connected;
    const client = new pg.Client(CONNECTION);
    await client.connect();
    const before = listenersOf(client);
    const { told, ...rest } = events();
    const stop = await listeningOf(client)?.(channel, rest);
    await client.query('LISTEN another', []);
    await notify(admin, 'other', 'another');
    await notify(admin, 'key');
    await until(() => told.length > 0, 'the notice');
    expect(told).toEqual(['key']);
    await stop?.();
    expect(listenersOf(client)).toBe(before);
    const { rows } = await client.query('SELECT pg_listening_channels() AS channel', []);
    expect(rows).toEqual([{ channel: 'another' }]);
    await client.end();
  });

  it('a client that ends, or is cut off, says so', async () => {
    await connected;
    for (const end of [
      (client: pg.Client) => client.end(),
      async (client: pg.Client) => {
        const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        await admin.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
      },
    ]) {
      const client = new pg.Client(CONNECTION);
      await client.connect();
      const { told, ...rest } = events();
      await listeningOf(client)?.(channel, rest);
      await end(client);
      await until(() => told.length > 0, 'the loss');
      expect(told[0]).toMatch(/ended|terminat/);
    }
  });

  it('a connection is given one statement at a time, by all who share it, and goes on after one that failed', async () => {
    const client = new pg.Client(CONNECTION);
    await client.connect();
    let running = 0;
    const watched = Object.create(client, {
      query: {
        async value(text: string, values: unknown[]) {
          expect(++running).toBe(1);
          return client.query(text, values).finally(() => running--);
        },
      },
    }) as PostgresClient;
    const answers = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) => queryOf(watched)(i === 4 ? 'nonsense' : `SELECT ${i} AS i`, [])),
    );
    const seen = answers.map((answer) => (answer.status === 'fulfilled' ? answer.value.rows[0] : 'failed'));
    expect(seen).toEqual(Array.from({ length: 10 }, (_, i) => (i === 4 ? 'failed' : { i })));
    await client.end();
  });

  describe('a pool', () => {
    it('lends one connection, which is closed at the end', async () => {
      await connected;
      const pool = new pg.Pool({ ...CONNECTION, max: 2 });
      const { told, ...rest } = events();
      const stop = await listeningOf(pool)?.(channel, rest);
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 0]);
      await notify(pool, 'key');
      await until(() => told.length > 0, 'the notice');
      await stop?.();
      // The one that ran the statement is left.
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
      expect((await pool.query('SELECT pg_listening_channels()')).rows).toEqual([]);
      expect(told).toEqual(['key']);
      await pool.end();
    });

    it('says when that connection breaks, and no error goes unheard', async () => {
      await connected;
      const pool = new pg.Pool({ ...CONNECTION, max: 2, application_name: channel.slice(0, 40) });
      const { told, ...rest } = events();
      const stop = await listeningOf(pool)?.(channel, rest);
      await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', [
        channel.slice(0, 40),
      ]);
      await until(() => told.length > 0, 'the loss');
      await stop?.();
      expect(pool.totalCount).toBe(0);
      await pool.end();
    });

    it('gets it back at once when it cannot listen', async () => {
      const pool = new pg.Pool({ ...CONNECTION, max: 2 });
      const { told, ...rest } = events();
      await expect(listeningOf(pool)?.('x'.repeat(64).concat('"'), rest)).rejects.toThrow(/syntax|unterminated/);
      expect([pool.totalCount, told]).toEqual([0, []]);
      await pool.end();
    });
  });
});
