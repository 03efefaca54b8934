import { readFileSync } from 'node:fs';
import { FaultProxy } from '@chunks/base/testing';
import { leaseLocker } from '@chunks/locks/lease';
import { type PostgresClient, type PostgresLeasesOptions, postgresLeases } from '@chunks/locks/postgres';
import {
  type LeaseAbilities,
  type LeaseBench,
  type LockerBench,
  leaseDriverContract,
  lockerContract,
  VirtualClock,
} from '@chunks/locks/testing';
import { PGlite } from '@electric-sql/pglite';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { OwnServer } from '../../../../.ci/testing/own-server.ts';
import { onRealTime } from '../../../../.ci/testing/runs.ts';
import { describeWith } from '../../../../.ci/testing/with-service.ts';
import { agreesWithTheModel, ask, LONG_MS, pass, take, takeInTheEnd, until, watching } from '../support/lease-steps.ts';
import {
  breakWatches,
  cutEarly,
  hearOnOneConnection,
  loseReplies,
  refuseAll,
  tellApart,
} from '../support/outage-steps.ts';

const CONNECTION = { host: '127.0.0.1', port: 5432, user: 'postgres', database: 'test' };
const DAY_MS = 86_400_000;
const ignore = (): void => undefined;
const newTable = (): string => `chunks_test_${crypto.randomUUID().replaceAll('-', '')}`;

interface Opened {
  readonly client: PostgresClient;
  end(): unknown;
}
type Open = (connection: pg.ClientConfig) => Promise<Opened> | Opened;

const openPool: Open = (connection) => {
  const pool = new pg.Pool({ ...connection, max: 2 });
  // An idle connection that breaks is the pool's affair.
  pool.on('error', ignore);
  return { client: pool, end: () => pool.end() };
};

const openSingle: Open = (connection) => {
  const pool = new pg.Pool({ ...connection, max: 1 });
  pool.on('error', ignore);
  return { client: pool, end: () => pool.end() };
};

/** A connection for each, which comes back after an outage only as a new one. */
const openClient: Open = async (connection) => {
  const client = new pg.Client(connection);
  client.on('error', ignore);
  await client.connect();
  return { client, end: () => client.end() };
};

const ABILITIES: LeaseAbilities = {
  shared: false,
  inspect: true,
  watch: true,
  line: false,
  clock: 'store',
  remote: true,
};

interface Store {
  /** A process. */
  open(): Promise<Opened> | Opened;
  /** One behind a proxy that the test cuts. */
  openBehind?(port: number): Promise<Opened> | Opened;
  admin(): PostgresClient;
  options?(): Promise<PostgresLeasesOptions> | PostgresLeasesOptions;
}

/** The contract through one kind of client. */
function contractOn({ open, openBehind, admin, options = () => ({}) }: Store, abilities: LeaseAbilities): void {
  const makeBench = async (): Promise<LeaseBench> => {
    const table = newTable();
    const opened: Opened[] = [];
    const keep = async (one: Promise<Opened> | Opened): Promise<PostgresClient> => {
      opened.push(await one);
      return (await one).client;
    };
    const proxies: FaultProxy[] = [];
    return {
      open: async () => postgresLeases(await keep(open()), { ...(await options()), table }),
      pass,
      async now() {
        const { rows } = await admin().query('SELECT extract(epoch FROM clock_timestamp()) * 1000 AS now', []);
        return Number((rows[0] as { now: unknown }).now);
      },
      ...(openBehind && {
        async outage() {
          const proxy = await FaultProxy.before(CONNECTION.port);
          proxies.push(proxy);
          const driver = postgresLeases(await keep(openBehind(proxy.port)), { ...(await options()), table });
          await driver.inspect?.('key');
          proxy.down();
          return { driver, end: () => proxy.up() };
        },
      }),
      async close() {
        for (const { end } of opened) await end();
        for (const proxy of proxies) await proxy.close();
        await admin().query(`DROP TABLE IF EXISTS ${table}`, []);
      },
    };
  };
  for (const { name, run } of leaseDriverContract(makeBench, abilities)) it.concurrent(name, onRealTime, run);
}

describeWith('postgres', 'postgresLeases keeps the contract', () => {
  const shared = new pg.Pool({ ...CONNECTION, max: 25 });
  afterAll(() => shared.end());
  const admin = (): PostgresClient => shared;
  const behind = (open: Open) => (port: number) => open({ ...CONNECTION, port });

  describe('on a pool', () => {
    contractOn({ open: () => openPool(CONNECTION), openBehind: behind(openPool), admin }, ABILITIES);
  });
  describe('on a pool of one connection, which cannot listen', () => {
    const abilities = { ...ABILITIES, watch: false };
    contractOn({ open: () => openSingle(CONNECTION), openBehind: behind(openSingle), admin }, abilities);
  });
  describe('on a pool of one connection beside a listener', () => {
    const options = (): PostgresLeasesOptions => ({ listener: shared });
    contractOn({ open: () => openSingle(CONNECTION), openBehind: behind(openSingle), admin, options }, ABILITIES);
  });
  describe('on a connection', () => {
    // It does not reconnect: what it says of an outage is shown below.
    const cut: Store = { open: () => openClient(CONNECTION), openBehind: behind(reconnecting), admin };
    contractOn(cut, ABILITIES);
  });
});

/** What a user of a single connection does when it breaks: takes another. */
async function reconnecting(connection: pg.ClientConfig): Promise<Opened> {
  let current = await openClient(connection);
  const client: PostgresClient = {
    async query(text, values) {
      try {
        return await current.client.query(text, values);
      } catch (error) {
        if (!/ended|queryable|terminated/.test(String(error))) throw error;
        current = await openClient(connection);
        return current.client.query(text, values);
      }
    },
  };
  return { client: Object.assign(client, { on: ignore, off: ignore }), end: () => current.end() };
}

describe('postgresLeases keeps the contract on PGlite', () => {
  let client: PGlite;
  beforeAll(async () => {
    client = await PGlite.create();
  });
  afterAll(() => client.close());
  contractOn({ open: () => ({ client, end: ignore }), admin: () => client }, { ...ABILITIES, remote: false });

  it('random programs end as in the model', async () => {
    await agreesWithTheModel([postgresLeases(client), postgresLeases(client)], '');
  });
});

describeWith('postgres', 'leaseLocker over postgresLeases keeps the contract of all lockers', () => {
  const pool = new pg.Pool({ ...CONNECTION, max: 25 });
  afterAll(() => pool.end());
  const makeBench = (): LockerBench => {
    const table = newTable();
    const ends: (() => unknown)[] = [];
    return {
      open(options) {
        const driver = postgresLeases(pool, { table });
        ends.push(() => driver.close?.());
        return leaseLocker(driver, options);
      },
      pass,
      async close() {
        for (const end of ends) await end();
        await pool.query(`DROP TABLE IF EXISTS ${table}`);
      },
    };
  };
  for (const { name, run } of lockerContract(makeBench, { shared: false })) it.concurrent(name, onRealTime, run);
});

describeWith('postgres', 'what postgresLeases says and keeps', () => {
  const table = newTable();
  const pool = new pg.Pool({ ...CONNECTION, max: 6 });
  const statements: string[] = [];
  /** The same pool, and what it was asked. */
  const counted: PostgresClient = {
    query(text, values) {
      statements.push(text.trim().split(/\s/)[0] ?? '');
      return pool.query(text, values);
    },
  };
  const connect = (options: PostgresLeasesOptions = {}, client: PostgresClient = pool) => {
    const driver = postgresLeases(client, { table, ...options });
    drivers.push(driver);
    return driver;
  };
  const drivers: { close?(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const driver of drivers.splice(0)) await driver.close?.();
  });
  afterAll(async () => {
    await pool.query(`DROP TABLE IF EXISTS ${table}`);
    await pool.end();
  });
  const rowOf = async (key: string): Promise<Record<string, unknown> | undefined> =>
    (await pool.query(`SELECT *, awaited_until > clock_timestamp() AS awaited FROM ${table} WHERE key = $1`, [key]))
      .rows[0];

  it('random programs end as in the model', async () => {
    await agreesWithTheModel([connect(), connect()], 'model ');
  });

  it('acquire and release are one statement each', async () => {
    const driver = connect({}, counted);
    // The first call of a driver sweeps, and may make the table.
    await driver.release('warm', 'a', await take(driver, 'warm', 'a'));
    statements.length = 0;
    const token = await take(driver, 'counted', 'a');
    expect(await driver.release('counted', 'a', token)).toBe(true);
    expect(statements).toEqual(['WITH', 'UPDATE']);
  });

  it('a busy answer writes nothing, so that waiting costs the database next to nothing', async () => {
    const driver = connect();
    await take(driver, 'quiet', 'a');
    const writes = async (): Promise<unknown> =>
      (await pool.query(`SELECT xmin, xmax, ctid FROM ${table} WHERE key = 'quiet'`)).rows;
    const before = await writes();
    for (let i = 0; i < 5; i++) await ask(driver, 'quiet', 'b');
    expect(await writes()).toEqual(before);
  });

  it('a release notifies only where somebody has watched in the last half minute', async () => {
    const listener = new pg.Client(CONNECTION);
    const notices: string[] = [];
    listener.on('notification', ({ payload }) => notices.push(payload ?? ''));
    await listener.connect();
    await listener.query(`LISTEN "${table}"`);
    const driver = connect();
    await driver.release('alone', 'a', await take(driver, 'alone', 'a'));
    await watching(driver, 'watched');
    await driver.release('watched', 'a', await take(driver, 'watched', 'a'));
    await until(() => notices.length > 0, 'the notice');
    await pool.query(`UPDATE ${table} SET awaited_until = clock_timestamp() WHERE key = 'watched'`);
    await driver.release('watched', 'a', await take(driver, 'watched', 'a'));
    await pool.query('SELECT pg_notify($1, $2)', [table, 'end']);
    await until(() => notices.includes('end'), 'the end');
    expect(notices).toEqual(['watched', 'end']);
    await listener.end();
  });

  it('who watches and asks keeps its mark fresh; who only asks makes none', async () => {
    const driver = connect();
    const token = await take(driver, 'marked', 'a');
    await ask(driver, 'marked', 'b');
    expect(await rowOf('marked')).toMatchObject({ awaited: false });
    expect(await driver.renew('marked', 'a', token, LONG_MS)).toBe(true);
    const heard = await watching(driver, 'marked');
    expect(await driver.renew('marked', 'a', token, LONG_MS)).toEqual({ contended: true });
    await pool.query(`UPDATE ${table} SET awaited_until = clock_timestamp() WHERE key = 'marked'`);
    await ask(driver, 'marked', 'b');
    expect(await rowOf('marked')).toMatchObject({ awaited: true });
    expect(await driver.release('marked', 'a', token)).toBe(true);
    await until(() => heard.wakes === 1, 'the wake');
  });

  it('a lease may last for ever, or a fraction of a ms', async () => {
    const driver = connect();
    const token = await take(driver, 'endless', 'a', Number.POSITIVE_INFINITY);
    const answer = await ask(driver, 'endless', 'b');
    expect('busy' in answer && answer.retryAfterMs).toBeGreaterThan(1e12);
    expect(await driver.renew('endless', 'a', token, Number.POSITIVE_INFINITY)).toBe(true);
    expect(await driver.release('endless', 'a', token)).toBe(true);
    await take(driver, 'endless', 'b', 60_000.25);
  });

  it('keys that UTF-8 confuses are different ones, NUL is one, and a backslash is no escape', async () => {
    const driver = connect();
    const keys = ['\ud800', '\ud801', '\\ud800', '\ufffd', '\0', '\\u0000', ''];
    for (const [i, key] of keys.entries()) await take(driver, `k${key}`, `holder ${i}`);
  });

  it('a key too long for a notice can be locked, watched and released all the same', async () => {
    const driver = connect();
    const key = '\u00e9'.repeat(9_000);
    await watching(driver, key);
    expect(await driver.release(key, 'a', await take(driver, key, 'a'))).toBe(true);
  });

  it('the generation outlives the lease, whatever the clock says', async () => {
    const driver = connect();
    const token = await take(driver, 'ahead', 'a');
    await driver.release('ahead', 'a', token);
    // As when the clock was set back by an hour.
    await pool.query(`UPDATE ${table} SET token = token + 3600000 WHERE key = 'ahead'`);
    expect(await take(driver, 'ahead', 'b')).toBe(token + 3_600_001);
    await driver.release('ahead', 'b', token + 3_600_001);
    // As when the row came from a backup.
    await pool.query(`UPDATE ${table} SET token = 5 WHERE key = 'ahead'`);
    expect(await take(driver, 'ahead', 'c')).toBeGreaterThanOrEqual(token);
  });

  it('rows go a day after their token, and stay while they are held or watched', async () => {
    const clock = new VirtualClock();
    const driver = connect({ clock });
    const older = (key: string, byMs: number): Promise<unknown> =>
      pool.query(`UPDATE ${table} SET token = token - ${byMs} WHERE key = $1`, [key]);
    for (const key of ['old', 'young', 'held', 'heard']) {
      const token = await take(driver, key, 'a');
      if (key !== 'held') await driver.release(key, 'a', token);
      await older(key, key === 'young' ? DAY_MS - 60_000 : DAY_MS + 1_000);
    }
    await watching(driver, 'heard');
    const left = async (): Promise<unknown[]> => {
      const { rows } = await pool.query(
        `SELECT key FROM ${table} WHERE key IN ('old', 'young', 'held', 'heard') ORDER BY key`,
      );
      return rows.map(({ key }) => key);
    };
    // An hour after the first sweep, with the next acquire; not before.
    await clock.advance(3_599_999);
    await take(driver, 'any 1', 'a');
    await pass(50);
    expect((await left()).length).toBe(4);
    await clock.advance(1);
    await take(driver, 'any 2', 'a');
    await until(async () => (await left()).length === 3, 'the sweep');
    expect(await left()).toEqual(['heard', 'held', 'young']);
  });

  it('a sweep that fails is nobody’s trouble', async () => {
    const failing: PostgresClient = {
      query: (text, values) =>
        text.startsWith('DELETE') ? Promise.reject(new Error('no permission')) : pool.query(text, values),
    };
    expect(await take(connect({}, failing), 'unswept', 'a')).toBeGreaterThan(0);
  });

  it('two on one connection hear until each of them stops', async () => {
    const client = new pg.Client(CONNECTION);
    await client.connect();
    const [one, other] = [connect({}, client), connect({}, client)];
    const [gone, heard] = [await watching(one, 'both'), await watching(other, 'both')];
    await one.close?.();
    await other.release('both', 'a', await take(other, 'both', 'a'));
    await until(() => heard.wakes === 1, 'the wake');
    expect(gone.wakes).toBe(0);
    await other.close?.();
    await client.end();
  });

  it('the fenced write of the docs refuses an older token, and nothing else', async () => {
    const source = readFileSync(new URL('../../src/adapters/postgres.ts', import.meta.url), 'utf8');
    const statement = /```sql\n \* (.*)\n/.exec(source)?.[1] ?? '';
    const client = new pg.Client(CONNECTION);
    await client.connect();
    await client.query('CREATE TEMPORARY TABLE chunks (id int PRIMARY KEY, body text, token bigint NOT NULL)');
    await client.query("INSERT INTO chunks VALUES (7, 'none', 0)");
    const write = async (body: string, token: number) => (await client.query(statement, [7, body, token])).rows.length;
    expect([await write('first', 7), await write('same holder again', 7), await write('next', 8)]).toEqual([1, 1, 1]);
    expect(await write('late', 7)).toBe(0);
    expect((await client.query('SELECT body, token FROM chunks')).rows).toEqual([{ body: 'next', token: '8' }]);
    await client.end();
  });

  describe('the table', () => {
    const made: string[] = [];
    afterAll(async () => {
      for (const name of made) await pool.query(`DROP TABLE IF EXISTS ${name}`);
    });

    it('is made by whoever comes first, though many come at once', async () => {
      const name = newTable();
      made.push(name);
      const pools = Array.from({ length: 8 }, () => new pg.Pool({ ...CONNECTION, max: 2 }));
      const grants = pools.flatMap((one, process) => {
        const driver = postgresLeases(one, { table: name });
        return [take(driver, `${process} x`, 'a'), take(driver, `${process} y`, 'a')];
      });
      expect((await Promise.all(grants)).every((token) => token > 0)).toBe(true);
      for (const one of pools) await one.end();
    });

    it('is made again when somebody drops it, and by the next call when making it failed', async () => {
      const name = newTable();
      made.push(name);
      let failures = 1;
      const flaky: PostgresClient = {
        query: (text, values) =>
          text.startsWith('CREATE') && failures-- > 0 ? Promise.reject(new Error('not now')) : pool.query(text, values),
      };
      const driver = connect({ table: name }, flaky);
      await expect(take(driver, 'key', 'a')).rejects.toThrow('not now');
      const token = await take(driver, 'key', 'a');
      await pool.query(`DROP TABLE ${name}`);
      expect(await driver.renew('key', 'a', token, LONG_MS)).toBe(false);
      expect(await take(driver, 'key', 'b')).toBeGreaterThan(token);
    });

    it('may have a schema, capitals, and the longest of names', async () => {
      const schema = `${newTable()}_S`;
      const longest = `T${'x'.repeat(62)}`;
      await pool.query(`CREATE SCHEMA "${schema}"`);
      const driver = connect({ table: `${schema}.${longest}` });
      const heard = await watching(driver, 'key');
      await driver.release('key', 'a', await take(driver, 'key', 'a'));
      await until(() => heard.wakes === 1, 'the wake');
      expect((await pool.query(`SELECT key FROM "${schema}"."${longest}"`)).rows).toEqual([{ key: 'key' }]);
      await pool.query(`DROP SCHEMA "${schema}" CASCADE`);
      await expect(take(connect({ table: `${schema}.gone` }), 'key', 'a')).rejects.toThrow('does not exist');
    });
  });
});

describeWith('postgres', 'postgresLeases on a server of its own', () => {
  let server: OwnServer;
  let proxy: FaultProxy;
  const ends: (() => unknown)[] = [];
  const at = (port: number): pg.ClientConfig => ({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  const connect = async (port = server.port, options: PostgresLeasesOptions = {}, open: Open = openPool) => {
    const { client, end } = await open(at(port));
    const driver = postgresLeases(client, options);
    ends.push(end, () => driver.close?.());
    return driver;
  };
  const query = async (text: string): Promise<Record<string, unknown>[]> => {
    const client = new pg.Client(at(server.port));
    await client.connect();
    try {
      return (await client.query(text)).rows;
    } finally {
      await client.end();
    }
  };
  const listeners = async (): Promise<number> =>
    (await query("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")).length;

  beforeAll(async () => {
    server = await OwnServer.postgres();
    proxy = await FaultProxy.before(server.port);
  });
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
    proxy.up();
  });
  afterAll(async () => {
    await proxy.close();
    await server.close();
  });

  it('a cut before the acquire arrives is an error, and the key is free', async () => {
    await cutEarly(await connect(proxy.port), await connect(), proxy, 'cut early');
  });

  it('a lost reply is an error; asked again, the holder gets the same token', async () => {
    await loseReplies([await connect(proxy.port), await connect()], proxy, 'lost reply', true);
  });

  it('down, lost and busy are three things, and leases outlive a server that dies', async () => {
    const [driver, other] = [await connect(), await connect()];
    const mine = await take(driver, 'mine', 'a');
    const brief = await take(driver, 'brief', 'a', 1);
    const theirs = await take(other, 'theirs', 'b');
    await server.kill();
    await refuseAll(driver, mine);
    await server.start();
    await until(
      () =>
        driver.inspect?.('mine').then(
          () => true,
          () => false,
        ) ?? false,
      'an answer',
    );
    expect(await ask(driver, 'theirs', 'a')).toMatchObject({ busy: true, holder: 'b' });
    expect(await driver.renew('mine', 'a', mine, LONG_MS)).toBe(true);
    expect(await driver.renew('brief', 'a', brief, LONG_MS)).toBe(false);
    expect(await take(driver, 'brief', 'c')).toBeGreaterThan(brief);
    expect(await takeInTheEnd(other, 'theirs', 'b')).toBe(theirs);
  });

  it('through the locker they are LOCK_TIMEOUT, LOCK_LOST and LOCK_UNAVAILABLE', async () => {
    await tellApart([await connect(), await connect()], server, () => query('TRUNCATE chunks_locks'));
  });

  it('a table that was emptied means lost, and tokens still rise', async () => {
    const driver = await connect();
    const token = await take(driver, 'emptied', 'a');
    await query('TRUNCATE chunks_locks');
    expect(await driver.renew('emptied', 'a', token, LONG_MS)).toBe(false);
    expect(await driver.release('emptied', 'a', token)).toBe(false);
    expect(await take(driver, 'emptied', 'b')).toBeGreaterThan(token);
  });

  it('one connection hears of all keys, and goes a second after the last watcher', async () => {
    const clock = new VirtualClock();
    await hearOnOneConnection(await connect(server.port, { clock }), clock, listeners);
  });

  it('a broken connection wakes everybody once and heals with the next busy answer', async () => {
    await breakWatches([await connect(proxy.port), await connect()], proxy, listeners);
  });

  it('watch rejects when nobody answers, and works when somebody does', async () => {
    const driver = await connect(proxy.port);
    proxy.down();
    await expect(watching(driver, 'unheard')).rejects.toThrow(Error);
    proxy.up();
    const heard = await watching(driver, 'unheard');
    await driver.release('unheard', 'a', await takeInTheEnd(driver, 'unheard', 'a'));
    await until(() => heard.wakes > 0, 'the wake');
  });

  it('no transaction is ever left open, whatever was asked', async () => {
    const driver = await connect();
    const seen: unknown[] = [];
    let isOver = false;
    const looking = (async () => {
      while (!isOver) seen.push(...(await query("SELECT query FROM pg_stat_activity WHERE state LIKE 'idle in%'")));
    })();
    const heard = await watching(driver, 'idle 0');
    for (let i = 0; i < 50; i++) {
      const token = await take(driver, `idle ${i % 5}`, 'a');
      await ask(driver, `idle ${i % 5}`, 'b');
      await driver.renew(`idle ${i % 5}`, 'a', token, LONG_MS);
      await driver.inspect?.(`idle ${i % 5}`);
      await driver.release(`idle ${i % 5}`, 'a', token);
    }
    heard.stop();
    isOver = true;
    await looking;
    expect(seen).toEqual([]);
  });

  it('listener: false opens nothing, and there is no watch', async () => {
    expect((await connect(server.port, { listener: false })).watch).toBeUndefined();
  });
});

const client: PostgresClient = { query: async () => ({ rows: [] }) };
it.each<[() => unknown, string]>([
  [() => postgresLeases({} as PostgresClient), 'client must be a client of Postgres with query, but is an object of'],
  [() => postgresLeases(client, { table: 7 as unknown as string }), 'table must be a string, but is 7'],
  [() => postgresLeases(client, { table: '' }), 'table must be a non-empty string, but is ""'],
  ...['a b', 'a"b', '7a', 'a.b.c', '.a', 'a.', "a'; DROP", 'x'.repeat(64), 'é'].map(
    (table): [() => unknown, string] => [
      () => postgresLeases(client, { table }),
      'table must be name or schema.name, of letters, digits and underscores, at most 63 each, but is',
    ],
  ),
  [
    () => postgresLeases(client, { listener: client }),
    'listener must be a client that can listen, or false, but is an',
  ],
])('bad options are refused at once: %#', (make, message) => {
  expect(make).toThrow(message);
});
