/// <reference lib="esnext.disposable" preserve="true" />
import { type Clock, checkText, escapedUnits, refuseRange, refuseType, systemClock } from '@chunks/base';
import type { LeaseDriver } from '../lease-driver.ts';
import { WakeHub } from '../wake-hub.ts';
import { listeningOf, type PostgresClient, queryOf } from './postgres/listening.ts';

export type { PostgresClient } from './postgres/listening.ts';

/** Where {@link postgresLeases} keeps its rows and how it hears of releases. */
export interface PostgresLeasesOptions {
  /**
   * A name, or schema.name: letters, digits and underscores. It is made on first use when it is not there (not its
   * schema). Lockers with different ones never meet.
   * @default 'chunks_locks'
   */
  table?: string | undefined;
  /**
   * What to LISTEN on. A pool lends one connection while somebody waits; behind a pooler that shares connections
   * between transactions nothing can be heard, so pass a client that goes past it, or `false`: waiters then ask now and then.
   * @default the client itself, when it is a Pool of two connections or more, a Client or PGlite
   */
  listener?: PostgresClient | false | undefined;
  /** For closing what nobody uses and for sweeping; leases are counted by the database's clock. @default systemClock */
  clock?: Clock | undefined;
}

// Never stale, in a form that an interval can hold.
const MAX_LEASE_MS = 1e13;
const SWEEP_EVERY_MS = 60 * 60 * 1000;
const UNDEFINED_TABLE = '42P01';
// What of two who make the table at once the second is told: the type's name, or the table's, is taken.
const MADE_BY_OTHERS: readonly unknown[] = ['23505', '42P07', '42710'];

// The mark that somebody waits, which waiters renew while they ask; what it was for may be long gone when it lapses.
const AWAITED = "clock_timestamp() + interval '30 s'";
const FRESH = "clock_timestamp() + interval '15 s'";
const LEFT_MS = 'extract(epoch FROM expires_at - clock_timestamp())::float8 * 1000';
const NOW_MS = 'floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint';
const until = (parameter: string): string => `clock_timestamp() + ${parameter}::float8 * interval '1 millisecond'`;

/** Each call is one statement, hence one transaction that ends by itself. */
interface Statements {
  readonly create: string;
  readonly acquire: string;
  readonly renew: string;
  readonly release: string;
  readonly inspect: string;
  readonly mark: string;
  readonly sweep: string;
}

/** @param table quoted @param channel as a literal */
function statementsOn(table: string, channel: string): Statements {
  const live = 'key = $1 AND holder = $2 AND token = $3::bigint AND expires_at > clock_timestamp()';
  return {
    // Half-filled pages: a lease is updated in place, and no index has to know.
    create: `CREATE TABLE IF NOT EXISTS ${table} (
      key text PRIMARY KEY,
      token bigint NOT NULL,
      holder text,
      expires_at timestamptz NOT NULL DEFAULT '-infinity',
      awaited_until timestamptz NOT NULL DEFAULT '-infinity'
    ) WITH (fillfactor = 50)`,
    // Who finds it busy by a mere look writes nothing, unless the mark that it is waited for has grown old. Whoever was
    // faster since that look is met by the condition of the conflict; then no row comes back at all.
    acquire: `WITH busy AS MATERIALIZED (
      SELECT holder, expires_at FROM ${table} WHERE key = $1 AND holder <> $2 AND expires_at > clock_timestamp()
    ), marked AS (
      UPDATE ${table} SET awaited_until = ${AWAITED}
      WHERE $4::boolean AND key = $1 AND EXISTS (SELECT FROM busy) AND awaited_until <= ${FRESH}
    ), taken AS (
      INSERT INTO ${table} AS lease (key, token, holder, expires_at)
      SELECT $1, ${NOW_MS}, $2, ${until('$3')} WHERE NOT EXISTS (SELECT FROM busy)
      ON CONFLICT (key) DO UPDATE SET holder = $2, expires_at = ${until('$3')},
        token = CASE WHEN lease.holder = $2 AND lease.expires_at > clock_timestamp() THEN lease.token
          ELSE greatest(lease.token + 1, ${NOW_MS}) END
      WHERE lease.holder = $2 OR lease.expires_at <= clock_timestamp()
      RETURNING token
    )
    SELECT token, NULL AS holder, NULL AS left_ms FROM taken
    UNION ALL
    SELECT NULL, holder, ${LEFT_MS} FROM busy`,
    renew: `UPDATE ${table} SET expires_at = ${until('$4')} WHERE ${live}
      RETURNING awaited_until > clock_timestamp() AS awaited`,
    // Transactions that notify are committed one by one in the whole database, so only where somebody waits. A notice
    // carries 8,000 bytes; those who wait for a longer key ask now and then.
    release: `UPDATE ${table} SET holder = NULL, expires_at = '-infinity' WHERE ${live}
      RETURNING CASE WHEN awaited_until > clock_timestamp() THEN pg_notify(${channel}, left(key, 1900)) END`,
    inspect: `SELECT holder, ${LEFT_MS} AS left_ms FROM ${table} WHERE key = $1 AND expires_at > clock_timestamp()`,
    mark: `INSERT INTO ${table} (key, token, awaited_until)
      SELECT $1, 0, ${AWAITED} WHERE NOT EXISTS (SELECT FROM ${table} WHERE key = $1 AND awaited_until > ${FRESH})
      ON CONFLICT (key) DO UPDATE SET awaited_until = EXCLUDED.awaited_until`,
    sweep: `DELETE FROM ${table} WHERE token < ${NOW_MS} - 86400000
      AND expires_at <= clock_timestamp() AND awaited_until <= clock_timestamp()`,
  };
}

/** @returns the name, quoted part by part. */
function quoted(table: string): string {
  if (!/^([a-z_]\w{0,62}\.)?[a-z_]\w{0,62}$/i.test(checkText('table', table))) {
    refuseRange('table', 'name or schema.name, of letters, digits and underscores, at most 63 each', table);
  }
  return table.replace(/\w+/g, '"$&"');
}

// Postgres has no NUL in text, and UTF-8 turns every lone surrogate into the same sign.
const textOf = (key: string): string => escapedUnits(key, /[\0\\\p{Surrogate}]/gu);

const codeOf = (error: unknown): unknown => (error as { code?: unknown } | undefined)?.code;

type Row = Record<string, unknown>;
type Run = (text: string, ...values: unknown[]) => Promise<Row[]>;

const leftMs = (row: Row): number => Math.max(0, Math.ceil(Number(row['left_ms'])));

/** Runs statements on the table, which is made when it turns out not to be there. */
function runnerOf(send: PostgresClient['query'], create: string): Run {
  const query = async (text: string, values: unknown[]): Promise<Row[]> => (await send(text, values)).rows as Row[];
  const make = (): Promise<unknown> =>
    query(create, []).catch((error: unknown) => {
      if (!MADE_BY_OTHERS.includes(codeOf(error))) throw error;
    });
  let making: Promise<unknown> | undefined;
  return async (text, ...values) => {
    try {
      return await query(text, values);
    } catch (error) {
      if (codeOf(error) !== UNDEFINED_TABLE) throw error;
      making ??= make().finally(() => {
        making = undefined;
      });
      await making;
      return query(text, values);
    }
  };
}

/**
 * Leases in a table of Postgres 12 or later, each call one statement in a transaction of its own: nothing is ever left
 * open, and it works behind poolers that share connections between transactions, where advisory locks get lost.
 * Leases are counted by the database's clock, and so are tokens. Waiters hear of a release by LISTEN/NOTIFY.
 *
 * Give it a pool of three connections or more: calls side by side take one each, and listening takes one; a Client
 * takes calls one by one, and does not come back when its connection breaks. Renewals wait for a connection as everything
 * else does: where the tasks under the locks can use up the pool, give the locks one of their own. It needs the isolation `read committed`,
 * which is the default. A lock is one row, which goes a day after its last lease. Waiters stand in no line: a released
 * key goes to whoever asks first. The client stays yours; `close` gives back the connection that listened, and nothing else.
 *
 * A holder that lost its lease may write late: keep the token with what you write, and let the write check it. No row
 * comes back when somebody newer has written:
 *
 * ```sql
 * UPDATE chunks SET body = $2, token = $3 WHERE id = $1 AND token <= $3 RETURNING id
 * ```
 *
 * @throws TypeError | RangeError when an option is of the wrong kind, the table no name, or `listener` cannot listen.
 * @example
 * const locker = leaseLocker(postgresLeases(new Pool()));
 * await locker.run('chunk 7', (lock) => pool.query(FENCED_WRITE, [7, body, lock.token]));
 */
export function postgresLeases(client: PostgresClient, options: PostgresLeasesOptions = {}): LeaseDriver {
  const { table = 'chunks_locks', listener = client, clock = systemClock } = options;
  if (typeof Object(client).query !== 'function') refuseType('client', 'a client of Postgres with query', client);
  const name = quoted(table);
  // A channel has a name, too, and it has to be as short.
  const channel = table.slice(-63);
  const sql = statementsOn(name, `'${channel}'`);
  const send = queryOf(client);
  const run = runnerOf(send, sql.create);
  const listen = listener === false ? undefined : listeningOf(listener);
  if (options.listener && listen === undefined) refuseType('listener', 'a client that can listen, or false', listener);
  const hub =
    listen &&
    new WakeHub(async (events) => {
      const stop = await listen(channel, events);
      return { listen: (key) => run(sql.mark, key), unlisten: () => undefined, close: stop };
    }, clock);
  let sweptAtMs = Number.NEGATIVE_INFINITY;
  const sweep = (): void => {
    if (clock.now() - sweptAtMs < SWEEP_EVERY_MS) return;
    sweptAtMs = clock.now();
    // Nobody waits for it, and the next one does what this one leaves.
    void send(sql.sweep, []).catch(() => undefined);
  };
  const lasting = (leaseMs: number): number => Math.min(leaseMs, MAX_LEASE_MS);

  return {
    name: 'postgres',
    modes: ['exclusive'],
    async acquire(key, holder, leaseMs) {
      const column = textOf(key);
      const [row] = await run(sql.acquire, column, holder, lasting(leaseMs), hub?.isWatched(column) ?? false);
      sweep();
      if (row && row['token'] !== null) return { token: Number(row['token']) };
      hub?.heal();
      if (row === undefined) return { busy: true };
      return { busy: true, holder: String(row['holder']), retryAfterMs: leftMs(row) };
    },
    async renew(key, holder, token, leaseMs) {
      const [row] = await run(sql.renew, textOf(key), holder, token, lasting(leaseMs));
      return row?.['awaited'] ? { contended: true } : row !== undefined;
    },
    async release(key, holder, token) {
      return (await run(sql.release, textOf(key), holder, token)).length > 0;
    },
    async inspect(key) {
      const [row] = await run(sql.inspect, textOf(key));
      return row && { holder: String(row['holder']), mode: 'exclusive', expiresInMs: leftMs(row) };
    },
    ...(hub && { watch: (key: string, wake: () => void) => hub.watch(textOf(key), wake) }),
    close: async () => hub?.close(),
  };
}
