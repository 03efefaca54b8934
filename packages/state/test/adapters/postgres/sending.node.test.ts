import { FaultProxy } from '@chunks/base/testing';
import { createState } from '@chunks/state';
import { postgresStore } from '@chunks/state/postgres';
import pg from 'pg';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { describeWith } from '../../../../../.ci/testing/with-service.ts';
import { CONNECTION, ignore, openClient, type PostgresClient, poolOfTest, signal, tableOfTest } from './clients.ts';

const stateOn = (client: PostgresClient, table: string) =>
  createState({
    store: postgresStore(client, { table }),
    initial: () => ({ log: [] as string[] }),
    attemptTimeoutMs: 300,
  });

async function proxied(): Promise<FaultProxy> {
  const proxy = await FaultProxy.before(CONNECTION.port);
  onTestFinished(() => proxy.close());
  return proxy;
}

/** What a write is told when the statement fails so. */
async function toldOf(error: unknown): Promise<unknown> {
  const store = postgresStore({ query: () => Promise.reject(error) });
  return store.write('a', '1', undefined, { signal }).catch((told) => told);
}

const failed = (code: string | undefined): Error => Object.assign(new Error('told by the server'), { code });

describe('what an error says of a write', () => {
  it.each([
    '0A000',
    '22P05',
    '23514',
    '25006',
    '3F000',
    '42501',
    '42703',
    '53100',
    '53300',
    '54000',
    '55P03',
    '57P03',
    'P0001',
  ])('%s: nothing was written', async (code) =>
    expect(await toldOf(failed(code))).toMatchObject({ code, definite: true }),
  );

  it.each(['57014', '57P01', '57P02', '40003', '08006', '08P01', '58000', '58030', 'XX000', 'ECONNRESET', 'EPIPE', ''])(
    '%s: nobody knows',
    async (code) => expect(await toldOf(failed(code))).not.toHaveProperty('definite'),
  );

  it.each(['40001', '40P01'])('%s: another was faster', async (code) => {
    expect(await toldOf(failed(code))).toEqual({ conflict: true, current: undefined });
  });

  it.each([undefined, 'text', new Error('Connection terminated unexpectedly')])('%s: nobody knows', async (error) => {
    expect(await toldOf(error)).toBe(error);
  });
});

describe('a connection of a pool', () => {
  /** Whether it was closed instead of put back, once. */
  async function closedAfter(query: () => Promise<{ rows: unknown[] }>): Promise<unknown[]> {
    const closed: unknown[] = [];
    const lent = { query, on: ignore, off: ignore, release: (destroy?: boolean) => closed.push(destroy) };
    const pool = { ...lent, totalCount: 0, connect: async () => lent };
    await postgresStore(pool).read('a', { signal }).catch(ignore);
    return closed;
  }

  it.each([undefined, '57P01', '57014', '08006', 'ECONNRESET', 'XX000'])('is not lent again after %s', async (code) => {
    expect(await closedAfter(() => Promise.reject(failed(code)))).toEqual([true]);
  });

  it.each(['23514', '40001', '42501'])('is lent again after %s', async (code) => {
    expect(await closedAfter(() => Promise.reject(failed(code)))).toEqual([false]);
    expect(await closedAfter(async () => ({ rows: [] }))).toEqual([false]);
  });
});

describeWith('postgres', 'a pool under postgresStore', () => {
  it.each([
    { way: 'both', max: 1 },
    { way: 'reply', max: 1 },
    { way: 'request', max: 2 },
    { way: 'reply', max: 2 },
  ] as const)('half-open connections ($way) of a pool of $max are closed and replaced', async ({ way, max }) => {
    const proxy = await proxied();
    const pool = poolOfTest({ port: proxy.port, max });
    const state = stateOn(pool, tableOfTest());
    for (let round = 0; round < 3; round++) {
      await Promise.all(['a', 'b'].map((key) => state.update(key, (draft) => void draft.log.push(`${round}`))));
      proxy.halfOpen(way);
    }
    expect((await state.update('a', (draft) => void draft.log.push('last'))).state.log).toEqual([
      '0',
      '1',
      '2',
      'last',
    ]);
    expect((await state.get('b'))?.state.log).toEqual(['0', '1', '2']);
    // All that the pool lends is whole, and all of it is there.
    expect(pool.totalCount).toBeLessThanOrEqual(max);
    expect(pool.waitingCount).toBe(0);
    const answers = await Promise.all(Array.from({ length: 4 }, (_, i) => pool.query('SELECT $1::int AS i', [i])));
    expect(answers.map(({ rows }) => rows[0].i)).toEqual([0, 1, 2, 3]);
    expect(pool.idleCount).toBe(pool.totalCount);
    await state.close();
  });

  it('a connection that broke is not lent again; one that carried a refusal is', async () => {
    const proxy = await proxied();
    const pool = poolOfTest({ port: proxy.port, max: 1 });
    const made: pg.PoolClient[] = [];
    pool.on('connect', (client) => made.push(client));
    const store = postgresStore(pool, { table: tableOfTest() });
    const written = await store.write('a', '1', undefined, { signal });
    await pool.query('SET default_transaction_read_only = on');
    await expect(store.write('b', '1', undefined, { signal })).rejects.toMatchObject({ code: '25006', definite: true });
    expect([made.length, pool.idleCount]).toEqual([1, 1]);
    await pool.query('SET default_transaction_read_only = off');
    proxy.cutNext('reply', 'lost value');
    const revision = 'revision' in written ? written.revision : '';
    const told = await store.write('a', 'lost value', revision, { signal }).catch((error) => error);
    expect(told).toBeInstanceOf(Error);
    expect(told).not.toHaveProperty('definite');
    expect(pool.totalCount).toBe(0);
    expect((await store.read('a', { signal }))?.value).toBe('lost value');
    expect([made.length, pool.idleCount]).toEqual([2, 1]);
    // Only the pool's own listener is left.
    expect(made[1]?.listenerCount('error')).toBe(1);
  });

  it('what could not be sent is known not to be written', async () => {
    const proxy = await proxied();
    proxy.down();
    const store = postgresStore(poolOfTest({ port: proxy.port }), { table: tableOfTest() });
    await expect(store.write('a', '1', undefined, { signal })).rejects.toMatchObject({ definite: true });
    proxy.up();
    expect(await store.write('a', '1', undefined, { signal })).toHaveProperty('revision');
  });

  it('what waits for a connection when it is cut is never sent', async () => {
    const pool = poolOfTest({ max: 1 });
    const store = postgresStore(pool, { table: tableOfTest() });
    await store.read('a', { signal });
    const lent = await pool.connect();
    const controller = new AbortController();
    const writing = store.write('a', '1', undefined, { signal: controller.signal });
    const reason = new Error('enough');
    controller.abort(reason);
    lent.release();
    await expect(writing).rejects.toBe(reason);
    expect(reason).not.toHaveProperty('definite');
    expect(await store.read('a', { signal })).toBeUndefined();
    expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
  });

  it('a table that is being made by one who is cut is made by the next', async () => {
    const proxy = await proxied();
    const pool = poolOfTest({ port: proxy.port, max: 2 });
    const store = postgresStore(pool, { table: tableOfTest() });
    await pool.query('SELECT');
    proxy.cutNext('request', 'CREATE TABLE');
    await expect(store.write('a', '1', undefined, { signal })).rejects.toMatchObject({ definite: true });
    proxy.cutNext('reply', 'CREATE TABLE');
    await expect(store.write('a', '1', undefined, { signal })).rejects.toMatchObject({ definite: true });
    expect(await store.write('a', '1', undefined, { signal })).toHaveProperty('revision');
  });

  it('a server that takes no writes is unavailable, and not a riddle', async () => {
    const table = tableOfTest();
    await stateOn(poolOfTest(), table).update('a', (draft) => void draft.log.push('1'));
    const state = stateOn(poolOfTest({ options: '-c default_transaction_read_only=on' }), table);
    expect((await state.get('a'))?.state.log).toEqual(['1']);
    const update = state.update('a', (draft) => void draft.log.push('2'), { maxAttempts: 3 });
    await expect(update).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', attempts: 3, cause: { code: '25006' } });
  });

  it('a backend that is ended while it writes leaves the outcome open, and the state finds it out', async () => {
    const [pool, admin, table] = [
      poolOfTest({ max: 1, application_name: 'chunks ended' }),
      poolOfTest({ max: 2 }),
      tableOfTest(),
    ];
    const state = stateOn(pool, table);
    await state.update('a', (draft) => void draft.log.push('1'));
    const lent = await admin.connect();
    await lent.query(`BEGIN; SELECT FROM ${table} FOR UPDATE`);
    const update = state.update('a', (draft) => void draft.log.push('2'));
    await vi.waitFor(async () => {
      const { rows } = await admin.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'chunks ended' AND wait_event_type = 'Lock'`,
      );
      expect(rows).toHaveLength(1);
    });
    await lent.query('ROLLBACK');
    lent.release();
    expect((await update).state.log).toEqual(['1', '2']);
  });
});

describeWith('postgres', 'a connection under postgresStore', () => {
  it('is asked one thing at a time, by all its stores', async () => {
    const client = new pg.Client(CONNECTION);
    await client.connect();
    onTestFinished(() => client.end());
    const warned: unknown[] = [];
    const warn = (warning: Error): void => void warned.push(warning.message);
    process.on('warning', warn);
    const table = tableOfTest();
    const stores = [1, 2].map(() => postgresStore(client, { table }));
    await Promise.all(
      stores.flatMap((store, i) => [1, 2, 3].map((j) => store.write(`${i}${j}`, '1', undefined, { signal }))),
    );
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', warn);
    expect(warned).toEqual([]);
  });

  it('what waits for its turn when it is cut is never sent, also on one that hangs', async () => {
    let answer = (_: { rows: unknown[] }): void => undefined;
    const asked: unknown[] = [];
    const client = {
      on: ignore,
      query(_: string, values: unknown[]) {
        asked.push(values[0]);
        return new Promise<{ rows: unknown[] }>((resolve) => {
          answer = resolve;
        });
      },
    };
    const store = postgresStore(client);
    const first = store.read('first', { signal });
    const controller = new AbortController();
    const second = store.write('second', '1', undefined, { signal: controller.signal }).catch((error) => error);
    const third = store.read('third', { signal });
    const reason = new Error('enough');
    controller.abort(reason);
    await Promise.resolve();
    answer({ rows: [] });
    expect(await first).toBeUndefined();
    expect(await second).toBe(reason);
    await vi.waitFor(() => expect(asked).toEqual(['first', 'third']));
    answer({ rows: [] });
    expect(await third).toBeUndefined();
  });

  it('one that has ended fails, and what is asked of it is not written', async () => {
    const { client, end } = await openClient();
    const table = tableOfTest();
    const state = stateOn(client, table);
    await state.update('a', (draft) => void draft.log.push('1'));
    await end();
    await expect(state.update('a', (draft) => void draft.log.push('2'), { maxAttempts: 2 })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
    expect((await stateOn(poolOfTest(), table).get('a'))?.state.log).toEqual(['1']);
  });
});
