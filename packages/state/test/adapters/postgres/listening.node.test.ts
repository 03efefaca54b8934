import { FaultProxy } from '@chunks/base/testing';
import { createState, type VersionedStore } from '@chunks/state';
import { postgresStore } from '@chunks/state/postgres';
import { VirtualClock } from '@chunks/state/testing';
import pg from 'pg';
import { expect, it, onTestFinished, vi } from 'vitest';
import { runs } from '../../../../../.ci/testing/runs.ts';
import { describeWith } from '../../../../../.ci/testing/with-service.ts';
import { CONNECTION, poolOfTest, signal, tableOfTest } from './clients.ts';

const PATIENCE = { timeout: 30_000, interval: 10 };

/** A watch of its own signal. */
function watching(store: VersionedStore, key: string) {
  const stop = new AbortController();
  const ticks = (store as Required<VersionedStore>).watch(key, { signal: stop.signal })[Symbol.asyncIterator]();
  const tick = async (): Promise<void> => expect((await ticks.next()).done).toBe(false);
  return { stop, ticks, tick };
}

async function put(store: VersionedStore, key: string, value: string, expected?: string): Promise<string> {
  const reply = await store.write(key, value, expected, { signal });
  return 'revision' in reply ? reply.revision : '';
}

describeWith('postgres', 'watches of postgresStore', () => {
  // What the server knows of connections and locks under a name of the test's own.
  const named = (): { application_name: string; count(what: 'listening' | 'locks'): Promise<number> } => {
    const application_name = `chunks ${crypto.randomUUID().slice(0, 8)}`;
    const admin = poolOfTest({ max: 1 });
    return {
      application_name,
      async count(what) {
        const text =
          what === 'listening'
            ? `SELECT FROM pg_stat_activity WHERE application_name = $1 AND query ~ '^(LISTEN|SELECT pg_adv|SELECT$)'`
            : `SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = $1 AND locktype = 'advisory'`;
        return (await admin.query(text, [application_name])).rows.length;
      },
    };
  };

  it('fifty share one connection, which ends with the last of them, and leaves nothing behind', async () => {
    const { application_name, count } = named();
    const pool = poolOfTest({ max: 3, application_name });
    const store = postgresStore(pool, { table: tableOfTest() });
    await store.read('a', { signal });
    for (let round = 0; round < 2; round++) {
      const watches = Array.from({ length: 50 }, (_, i) => watching(store, `key ${i % 40}`));
      await Promise.all(watches.map(({ tick }) => tick()));
      expect(await count('listening')).toBe(1);
      expect(await count('locks')).toBeGreaterThan(0);
      const [first, ...others] = watches;
      for (const { stop } of others) stop.abort();
      expect(await count('listening')).toBe(1);
      await first?.ticks.return?.();
      await vi.waitFor(async () => expect([await count('listening'), await count('locks')]).toEqual([0, 0]), PATIENCE);
    }
    // The pool has all its places back.
    await Promise.all([1, 2, 3].map(() => pool.query('SELECT pg_sleep(0.01)')));
    expect([pool.totalCount, pool.idleCount]).toEqual([3, 3]);
  });

  it('closing the store ends its watches, and a later one listens anew', async () => {
    const { application_name, count } = named();
    const store = postgresStore(poolOfTest({ max: 3, application_name }), { table: tableOfTest() });
    const { ticks, tick } = watching(store, 'a');
    await tick();
    const closed = expect(ticks.next()).rejects.toThrow('the store was closed');
    await store.close?.();
    await closed;
    await vi.waitFor(async () => expect(await count('listening')).toBe(0), PATIENCE);
    const again = watching(store, 'a');
    await again.tick();
    again.stop.abort();
  });

  it('only what is watched is notified, whoever writes it', async () => {
    const table = tableOfTest();
    const raw = new pg.Client(CONNECTION);
    const notices: (string | undefined)[] = [];
    raw.on('notification', ({ payload }) => notices.push(payload));
    await raw.connect();
    onTestFinished(() => raw.end());
    await raw.query(`LISTEN "${table}"`);
    const pool = poolOfTest({ max: 1 });
    const [writer, watcher] = [postgresStore(pool, { table }), postgresStore(poolOfTest({ max: 2 }), { table })];
    const one = postgresStore(raw, { table });
    await put(writer, 'alone', '1');
    const { stop, tick } = watching(watcher, 'a');
    await tick();
    const first = await put(writer, 'a', '1');
    await tick();
    const second = await put(one, 'a', '2', first);
    await tick();
    expect(await put(writer, 'a', 'refused', first)).toBe('');
    expect(await writer.remove?.('a', second, { signal })).toBe(true);
    await tick();
    stop.abort();
    await vi.waitFor(async () => {
      const { rows } = await pool.query(
        `SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = (hashtext($1)::bigint & 4294967295)::oid`,
        [table],
      );
      expect(rows).toEqual([]);
    }, PATIENCE);
    await put(writer, 'a', '3');
    await pool.query('SELECT pg_notify($1, $2)', [table, 'end']);
    await vi.waitFor(() => expect(notices.at(-1)).toBe('end'), PATIENCE);
    expect(notices).toEqual(['a', 'a', 'a', 'end']);
  });

  it('a watch begins after the writes that did not see it', async () => {
    const table = tableOfTest();
    const pool = poolOfTest({ max: 3 });
    const store = postgresStore(pool, { table });
    // The store's own write, in a transaction that is not over yet.
    const slow = await pool.connect();
    const inside = postgresStore({ query: (text, values) => slow.query(text, values) }, { table });
    await store.read('a', { signal });
    await slow.query('BEGIN');
    await put(inside, 'a', '"new"');
    const { stop, tick } = watching(postgresStore(poolOfTest({ max: 2 }), { table }), 'a');
    const seen = tick().then(() => store.read('a', { signal }));
    await vi.waitFor(async () => {
      const { rows } = await pool.query(
        `SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = (hashtext($1)::bigint & 4294967295)::oid`,
        [table],
      );
      expect(rows).toHaveLength(1);
    }, PATIENCE);
    await slow.query('COMMIT');
    slow.release();
    expect((await seen)?.value).toBe('"new"');
    stop.abort();
  });

  it('no change is missed, whenever a watch begins', async () => {
    const table = tableOfTest();
    const options = '-c synchronous_commit=off';
    const writer = postgresStore(poolOfTest({ max: 2, options }), { table });
    const watcher = postgresStore(poolOfTest({ max: 3, options }), { table });
    await writer.read('a', { signal });
    for (let round = 0; round < runs(60); round++) {
      const key = `key ${round}`;
      const writing = (async () => {
        let revision = await put(writer, key, '0');
        for (let i = 1; i <= 3; i++) revision = await put(writer, key, String(i), revision);
      })();
      for (let i = 0; i < round % 7; i++) await new Promise((resolve) => setImmediate(resolve));
      const { stop, tick } = watching(watcher, key);
      // Ends only when a tick came after the last change.
      do await tick();
      while ((await watcher.read(key, { signal }))?.value !== '3');
      stop.abort();
      await writing;
    }
  });

  it('a connection that breaks is told, and a state that watches goes on', async () => {
    const { application_name, count } = named();
    const table = tableOfTest();
    const pool = poolOfTest({ max: 3, application_name });
    const store = postgresStore(pool, { table });
    const admin = poolOfTest({ max: 1 });
    const breakIt = (): Promise<unknown> =>
      admin.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND query ~ '^(LISTEN|SELECT pg_adv|SELECT$)'`,
        [application_name],
      );
    const { ticks, tick } = watching(store, 'a');
    await tick();
    const told = expect(ticks.next()).rejects.toThrow(/terminat|ended/);
    await breakIt();
    await told;
    const state = createState({ store, initial: () => ({ n: 0 }) });
    const other = createState({ store: postgresStore(admin, { table }), initial: () => ({ n: 0 }) });
    const seen: number[] = [];
    const controller = new AbortController();
    const looking = (async () => {
      for await (const record of state.watch('a', { signal: controller.signal })) seen.push(record?.state.n ?? 0);
    })().catch((error) => error);
    for (let n = 1; n <= 3; n++) {
      await other.update('a', (draft) => void (draft.n = n));
      await vi.waitFor(() => expect(seen.at(-1)).toBe(n), PATIENCE);
      await breakIt();
    }
    controller.abort();
    await looking;
    await vi.waitFor(async () => expect(await count('listening')).toBe(0), PATIENCE);
  });

  it('a connection that is dead without a word is noticed', async () => {
    const proxy = await FaultProxy.before(CONNECTION.port);
    onTestFinished(() => proxy.close());
    const clock = new VirtualClock();
    const pool = poolOfTest({ max: 3, port: proxy.port });
    let beats = 0;
    pool.on('connect', (client) => {
      const query = client.query.bind(client) as (text: string, values: unknown[]) => Promise<unknown>;
      const counted = (text: string, values: unknown[]): Promise<unknown> =>
        query(text, values).finally(() => {
          if (text === 'SELECT') beats++;
        });
      client.query = counted as typeof client.query;
    });
    const store = postgresStore(pool, { table: tableOfTest(), clock });
    const { ticks, tick } = watching(store, 'a');
    await tick();
    const next = ticks.next();
    next.catch(() => undefined);
    // A beat that is answered is no reason to end.
    for (let beat = 1; beat <= 3; beat++) {
      await vi.waitFor(() => expect(beats).toBe(beat), PATIENCE);
      if (beat < 3) await clock.advance(30_000);
    }
    proxy.halfOpen();
    await clock.advance(60_000);
    await expect(next).rejects.toThrow('does not answer');
    expect(clock.pending).toBe(0);
    const again = watching(store, 'a');
    await again.tick();
    again.stop.abort();
  });

  it('a watch that cannot get a connection throws, and one that is left meanwhile gives it back', async () => {
    const pool = poolOfTest({ max: 2 });
    const store = postgresStore(pool, { table: tableOfTest() });
    const lent = await Promise.all([pool.connect(), pool.connect()]);
    const { stop, ticks } = watching(store, 'a');
    const next = ticks.next();
    const reason = new Error('enough');
    stop.abort(reason);
    await expect(next).rejects.toBe(reason);
    for (const one of lent) one.release();
    await vi.waitFor(() => expect([pool.waitingCount, pool.idleCount]).toEqual([0, pool.totalCount]), PATIENCE);
    const unreachable = postgresStore(poolOfTest({ port: 1, max: 2 }), { table: 'any' });
    await expect(watching(unreachable, 'a').tick()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
