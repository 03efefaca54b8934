import { postgresStore } from '@chunks/state/postgres';
import { expect, it, onTestFinished } from 'vitest';
import { describeWith } from '../../../../../.ci/testing/with-service.ts';
import { openClient, poolOfTest, signal, tableOfTest } from './clients.ts';

describeWith('postgres', 'a transaction that somebody left open', () => {
  it('on a connection: what falls into it is not taken for done', async () => {
    const { client, end } = await openClient();
    onTestFinished(async () => void (await end()));
    const table = tableOfTest();
    const [store, other] = [postgresStore(client, { table }), postgresStore(poolOfTest(), { table })];
    expect(await store.read('a', { signal })).toBeUndefined();
    await client.query('BEGIN', []);
    const error: unknown = await store.write('a', '1', undefined, { signal }).catch((told) => told);
    expect(error).toMatchObject({ message: expect.stringContaining('transaction') });
    // It would have been written with a COMMIT.
    expect(error).not.toHaveProperty('definite');
    await expect(store.read('a', { signal })).rejects.toThrow('transaction');
    await client.query('ROLLBACK', []);
    expect(await other.read('a', { signal })).toBeUndefined();
  });

  it('on a connection of a pool: that is not lent again, and nothing listens on it', async () => {
    const pool = poolOfTest({ max: 2 });
    const table = tableOfTest();
    const [store, other] = [postgresStore(pool, { table }), postgresStore(poolOfTest(), { table })];
    expect(await store.read('a', { signal })).toBeUndefined();
    const forget = async (): Promise<void> => {
      const lent = await pool.connect();
      await lent.query('BEGIN');
      lent.release();
    };
    await forget();
    await expect(store.write('a', '1', undefined, { signal })).rejects.toThrow('transaction');
    await expect(store.write('a', '2', undefined, { signal })).resolves.toHaveProperty('revision');
    expect((await other.read('a', { signal }))?.value).toBe('2');
    await forget();
    const ticks = store.watch?.('a', { signal })[Symbol.asyncIterator]();
    await expect(ticks?.next()).rejects.toThrow('transaction');
    expect(pool.totalCount).toBe(0);
  });
});
