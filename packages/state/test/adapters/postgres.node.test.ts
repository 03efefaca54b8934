import type { VersionedStore } from '@chunks/state';
import { postgresStore } from '@chunks/state/postgres';
import {
  historyCases,
  STORE_FAULTS,
  type StoreAbilities,
  type StoreBench,
  stateContract,
  versionedStoreContract,
} from '@chunks/state/testing';
import { PGlite } from '@electric-sql/pglite';
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runs } from '../../../../.ci/testing/runs.ts';
import { describeWith } from '../../../../.ci/testing/with-service.ts';
import {
  benchOn,
  ignore,
  type Open,
  openClient,
  openPool,
  openPooler,
  poolOf,
  poolOfTest,
  signal,
  tableOfTest,
} from './postgres/clients.ts';

const ABILITIES: StoreAbilities = {
  watch: true,
  list: true,
  remove: true,
  durable: 'sync',
  maxKeyBytes: 1_300,
  maxValueBytes: 2 ** 28,
};
const DEAF: StoreAbilities = { ...ABILITIES, watch: false };

function contractsOn(open: Open, drop: (table: string) => Promise<unknown>, abilities: StoreAbilities): void {
  const bench = benchOn(open, drop);
  for (const { name, run } of versionedStoreContract(bench, abilities)) it.concurrent(name, run);
  for (const { name, run } of stateContract(bench, abilities)) it.concurrent(name, run);
}

/** Random programs in which calls hang, get lost, come late and come twice. */
function historiesOn(bench: () => StoreBench): void {
  const faults = STORE_FAULTS.filter((fault) => fault !== 'none');
  const o = { operations: runs(200), attemptTimeoutMs: 100 };
  for (const { name, run } of historyCases(bench, o)) it.concurrent(name, run);
  for (const { name, run } of historyCases(bench, { ...o, faults })) it.concurrent(`${name}, with faults`, run);
}

/** The same without waiting for the disk. */
const quick =
  (open: Open, config: pg.PoolConfig = {}): Open =>
  () =>
    open({ ...config, options: `-c synchronous_commit=off ${config.options ?? ''}` });

describeWith('postgres', 'postgresStore keeps the contracts', () => {
  const shared = poolOf({ max: 2 });
  afterAll(() => shared.end());
  const drop = (table: string): Promise<unknown> => shared.query(`DROP TABLE IF EXISTS ${table}`);

  describe('on a pool', () => {
    contractsOn(openPool, drop, ABILITIES);
    historiesOn(benchOn(openPool, drop));
  });
  describe('on a pool of one connection, which cannot listen', () =>
    contractsOn(quick(openPool, { max: 1 }), drop, DEAF));
  describe('on a connection', () => contractsOn(quick(openClient), drop, DEAF));
  describe('behind a pooler that shares connections between transactions', () =>
    contractsOn(quick(openPooler), drop, DEAF));
  const isolated = (level: string): Open => quick(openPool, { options: `-c default_transaction_isolation=${level}` });
  describe('where transactions are repeatable read', () => contractsOn(isolated('repeatable\\ read'), drop, ABILITIES));
  // There even writes of different keys can be undone for each other's sake: what tries again does not mind.
  describe('where transactions are serializable', () => {
    const bench = benchOn(isolated('serializable'), drop);
    for (const { name, run } of stateContract(bench, ABILITIES)) it.concurrent(name, run);
  });
});

describe('postgresStore keeps the contracts on PGlite', () => {
  let client: PGlite;
  beforeAll(async () => {
    client = await PGlite.create();
  });
  afterAll(() => client.close());
  const open: Open = () => ({ client, end: ignore });
  const drop = (table: string): Promise<unknown> => client.query(`DROP TABLE IF EXISTS ${table}`);
  contractsOn(open, drop, ABILITIES);
  historiesOn(benchOn(open, drop));
});

/** What a pool's connections are asked. */
function statementsOf(pool: pg.Pool): string[] {
  const statements: string[] = [];
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as (...all: unknown[]) => unknown;
    client.query = ((...all: unknown[]) => {
      statements.push(typeof all[0] === 'string' ? all[0] : 'not a plain statement');
      return query(...all);
    }) as typeof client.query;
  });
  return statements;
}

async function put(store: VersionedStore, key: string, value: string, expected?: string): Promise<string> {
  const reply = await store.write(key, value, expected, { signal });
  if ('conflict' in reply) throw new Error('unexpected conflict');
  return reply.revision;
}

describeWith('postgres', 'what postgresStore asks and answers', () => {
  it('a read, a write and a removal are one statement each, a conflict too, and it makes its table once', async () => {
    const pool = poolOfTest({ max: 3 });
    const statements = statementsOf(pool);
    const store = postgresStore(pool, { table: tableOfTest() });
    expect([pool.totalCount, statements]).toEqual([0, []]);
    await Promise.all(['a', 'b', 'c'].map((key) => put(store, key, '1')));
    expect(statements.filter((text) => text.startsWith('CREATE TABLE'))).toHaveLength(1);
    statements.length = 0;
    const first = (await store.read('a', { signal }))?.revision as string;
    const second = await put(store, 'a', '2', first);
    const current = { value: '2', revision: second };
    expect(await store.write('a', '3', first, { signal })).toEqual({ conflict: true, current });
    expect(await store.write('a', '3', undefined, { signal })).toEqual({ conflict: true, current });
    expect(await store.remove?.('a', second, { signal })).toBe(true);
    expect(statements.map((text) => text.split(/\s/)[0])).toEqual(['SELECT', 'WITH', 'WITH', 'WITH', 'DELETE']);
  });

  it('a list asks once for each thousand keys, and for no more than its own', async () => {
    const pool = poolOfTest({ max: 1 });
    const statements = statementsOf(pool);
    const table = tableOfTest();
    const store = postgresStore(pool, { table });
    await put(store, 'n', '1');
    await pool.query(
      `INSERT INTO ${table} SELECT prefix || i, '', '' FROM generate_series(1, 1500) AS i, unnest('{l/,m/}'::text[]) AS prefix`,
    );
    statements.length = 0;
    const keys: string[] = [];
    for await (const key of store.list?.('l/', { signal }) ?? []) keys.push(key);
    expect([keys.length, statements.length]).toEqual([1_500, 2]);
  });

  // Whoever waits for a row sees the table as it was before the wait.
  const MEANWHILE: [string, string, boolean][] = [
    ['replaced by another', `UPDATE t SET value = '2', revision = 'other' WHERE key = 'a'`, false],
    ['taken away', `DELETE FROM t WHERE key = 'a'`, false],
    ['left alone after all', `UPDATE t SET value = '2', revision = 'other' WHERE key = 'a'; ROLLBACK; BEGIN`, true],
  ];
  it.each(MEANWHILE)('what is %s while a write waits is not told as current', async (_, statement, fits) => {
    const [pool, other] = [poolOfTest({ max: 2 }), poolOfTest({ max: 1 })];
    const table = tableOfTest();
    const store = postgresStore(pool, { table });
    const first = await put(store, 'a', '1');
    const [meanwhile, rollback] = statement.replace(' t ', ` ${table} `).split('; ROLLBACK');
    const lent = await other.connect();
    await lent.query('BEGIN');
    await lent.query(meanwhile as string);
    const writing = store.write('a', '3', first, { signal });
    await blocked(pool, table);
    await lent.query(rollback === undefined ? 'COMMIT' : 'ROLLBACK');
    lent.release();
    expect(await writing).toEqual(fits ? { revision: expect.any(String) } : { conflict: true, current: undefined });
  });

  it('a create that waits for another create is a conflict, and one that waits for a removal succeeds', async () => {
    const [pool, other] = [poolOfTest({ max: 2 }), poolOfTest({ max: 1 })];
    const table = tableOfTest();
    const store = postgresStore(pool, { table });
    await put(store, 'gone', '1');
    const lent = await other.connect();
    for (const [key, statement] of [
      ['new', `INSERT INTO ${table} VALUES ('new', 'other', '1')`],
      ['gone', `DELETE FROM ${table}`],
    ] as const) {
      await lent.query('BEGIN');
      await lent.query(statement);
      const writing = store.write(key, '2', undefined, { signal });
      await blocked(pool, table);
      await lent.query('COMMIT');
      expect(await writing).toEqual(
        key === 'new' ? { conflict: true, current: undefined } : { revision: expect.any(String) },
      );
    }
    lent.release();
  });

  it('what a conflict tells is newer than what was expected, however many race', async () => {
    const table = tableOfTest();
    const stores = [1, 2, 3, 4].map(() => postgresStore(poolOfTest({ max: 2 }), { table }));
    let base = { value: '0', revision: await put(stores[0] as VersionedStore, 'a', '0') };
    const told: number[] = [];
    for (let round = 1; round <= 60; round++) {
      const replies = await Promise.all(
        stores.flatMap((store) => [1, 2].map(() => store.write('a', String(round), base.revision, { signal }))),
      );
      const [winner] = replies.flatMap((reply) => ('revision' in reply ? [reply] : []));
      for (const reply of replies) {
        if (!('conflict' in reply) || reply.current === undefined) continue;
        told.push(round);
        expect(reply.current).toEqual({ value: String(round), ...winner });
      }
      base = { value: String(round), revision: winner?.revision as string };
    }
    // Some came late enough to see it.
    expect(told.length).toBeGreaterThan(0);
  });

  it('a table that is made by many at once is made', async () => {
    for (let round = 0; round < 5; round++) {
      const table = tableOfTest();
      const stores = Array.from({ length: 8 }, () => postgresStore(poolOfTest({ max: 2 }), { table }));
      await Promise.all(stores.map((store) => store.read('warm', { signal: AbortSignal.abort() }).catch(ignore)));
      const written = stores.flatMap((store, i) => [put(store, `a${i}`, '1'), store.read(`b${i}`, { signal })]);
      expect((await Promise.allSettled(written)).filter(({ status }) => status === 'rejected')).toEqual([]);
    }
  });

  it('a table that somebody drops is made again', async () => {
    const [pool, table] = [poolOfTest({ max: 1 }), tableOfTest()];
    const store = postgresStore(pool, { table });
    await put(store, 'a', '1');
    await pool.query(`DROP TABLE ${table}`);
    expect(await store.read('a', { signal })).toBeUndefined();
  });

  it('the record can be read, and read into, by anything that speaks SQL', async () => {
    const [pool, table] = [poolOfTest({ max: 1 }), tableOfTest()];
    await put(postgresStore(pool, { table }), 'batch/ü', '{"state":{"n":7}}');
    const { rows } = await pool.query(`SELECT key, value::jsonb #>> '{state,n}' AS n FROM ${table}`);
    expect(rows).toEqual([{ key: 'batch/ü', n: '7' }]);
  });
});

/** Until a statement on that table waits for somebody. */
const blocked = (pool: pg.Pool, table: string): Promise<void> =>
  vi.waitFor(
    async () => {
      const { rows } = await pool.query(
        `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%' AND pid <> pg_backend_pid()`,
        [table],
      );
      expect(rows).toHaveLength(1);
    },
    { timeout: 30_000, interval: 10 },
  );

describeWith('postgres', 'the table and the keys of postgresStore', () => {
  it('any keys stay apart, and a prefix is taken to the letter', async () => {
    const pool = poolOfTest({ max: 2, options: '-c synchronous_commit=off' });
    const table = tableOfTest();
    const store = postgresStore(pool, { table });
    await store.read('', { signal });
    const unit = fc.oneof(
      fc.constantFrom(
        '\0',
        '\\',
        '\\0',
        '\ud83d',
        '\ude00',
        '😀',
        '\u{10ffff}',
        '\udbff',
        '\uffff',
        '%',
        '_',
        'a',
        'A',
        'd800',
        '0',
      ),
      fc.string({ unit: 'binary', maxLength: 3 }),
    );
    const text = fc.array(unit, { maxLength: 5 }).map((parts) => parts.join(''));
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(text, { minLength: 1, maxLength: 12 }), text, async (keys, prefix) => {
        await Promise.all(keys.map((key) => put(store, key, JSON.stringify(key))));
        for (const key of keys) expect((await store.read(key, { signal }))?.value).toBe(JSON.stringify(key));
        for (const start of [prefix, ...keys.map((key) => key.slice(0, key.length / 2))]) {
          const found: string[] = [];
          for await (const key of store.list?.(start, { signal }) ?? []) found.push(key);
          expect(found.sort()).toEqual(keys.filter((key) => key.startsWith(start)).sort());
        }
        await pool.query(`DELETE FROM ${table}`);
      }),
      { numRuns: runs(40) },
    );
  });

  it('keys are told apart by their bytes, whatever the database takes for equal or ordered', async () => {
    const [pool, table] = [poolOfTest({ max: 1 }), tableOfTest()];
    await postgresStore(pool, { table }).read('a', { signal });
    const { rows } = await pool.query(
      `SELECT collname FROM pg_attribute JOIN pg_collation ON pg_collation.oid = attcollation
      WHERE attrelid = $1::regclass AND attname = 'key'`,
      [table],
    );
    expect(rows).toEqual([{ collname: 'C' }]);
  });

  it('every key that is not too long fits', async () => {
    const store = postgresStore(poolOfTest({ max: 1 }), { table: tableOfTest() });
    const random = Array.from({ length: 1_300 }, () => String.fromCharCode(33 + Math.floor(Math.random() * 90))).join(
      '',
    );
    const half = Array.from({ length: 1_300 }, () => (Math.random() < 0.5 ? '\0' : '\\')).join('');
    const lone = Array.from({ length: 433 }, () =>
      String.fromCharCode(0xd800 + Math.floor(Math.random() * 1_024)),
    ).join('');
    for (const key of [random, half, lone, '\u{10ffff}'.repeat(325)]) {
      await put(store, key, '1');
      expect((await store.read(key, { signal }))?.value).toBe('1');
    }
  });

  it.each(['user', 'Records', 'public.chunks_of', '_', 'x'.repeat(50)])('table %s', async (start) => {
    const pool = poolOfTest({ max: 2 });
    const table = `${start}_${crypto.randomUUID().slice(0, 8)}`;
    const store = postgresStore(pool, { table });
    const revision = await put(store, 'a', '1');
    const ticks = store.watch?.('a', { signal })[Symbol.asyncIterator]();
    await ticks?.next();
    await put(store, 'a', '2', revision);
    expect((await ticks?.next())?.done).toBe(false);
    await ticks?.return?.();
    await pool.query(`DROP TABLE "${table.replace('.', '"."')}"`);
  });

  it.each([
    '',
    'a b',
    'a"b',
    "a'b",
    'a;DROP TABLE x',
    'a.b.c',
    'a.',
    '.a',
    '1a',
    'ä',
    'a\0',
    'a\n',
    '"a"',
    'x'.repeat(64),
    7,
    null,
    {},
  ])('table %j is refused', (table) => {
    const client = { query: () => Promise.reject(new Error('never asked')) };
    expect(() => postgresStore(client, { table: table as string })).toThrow(/table must be/);
  });

  it('what is no client is refused, and a schema that is not there is a failure that says so', async () => {
    for (const client of [undefined, null, {}, 'postgres://']) {
      expect(() => postgresStore(client as never)).toThrow('client must be a client of Postgres with query');
    }
    const store = postgresStore(poolOfTest({ max: 1 }), { table: 'chunks_nowhere.records' });
    await expect(store.write('a', '1', undefined, { signal })).rejects.toMatchObject({
      definite: true,
      cause: { code: '3F000' },
    });
  });
});
