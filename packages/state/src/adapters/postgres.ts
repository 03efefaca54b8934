/// <reference lib="esnext.disposable" preserve="true" />
import { type Clock, checkText, onAbort, refuseRange, refuseType, systemClock, withoutHalf } from '@chunks/base';
import type { VersionedStore } from '../store.ts';
import { Ticks, type Watching, watchingOn } from './postgres/listening.ts';
import {
  codeOf,
  definite,
  isInProcess,
  LOST_AGAINST_OTHERS,
  type PostgresClient,
  type Row,
  type Send,
  sendThrough,
} from './postgres/sending.ts';

export type { PostgresClient } from './postgres/sending.ts';

/** Where {@link postgresStore} keeps its records. */
export interface PostgresStoreOptions {
  /**
   * A name, or schema.name: letters, digits and underscores. It is made on first use when it is not there (not its
   * schema). For a role that may not: `key text COLLATE "C" PRIMARY KEY, revision text NOT NULL, value text NOT NULL`,
   * and the rights to SELECT, INSERT, UPDATE and DELETE. Stores with different tables never meet.
   * @default 'chunks_state'
   */
  table?: string | undefined;
  /** For noticing that the connection that listens is dead. @default systemClock */
  clock?: Clock | undefined;
}

const UNDEFINED_TABLE = '42P01';
// What of two who make the table at once the second is told: the type's name, or the table's, is taken.
const MADE_BY_OTHERS: readonly unknown[] = ['23505', '42P07', '42710'];
const PAGE = 1_000;
// An index takes 2,704 bytes a row, and a key may become twice as long.
const MAX_KEY_BYTES = 1_300;
// A row could be four times as large; but it is copied a few times on its way, and has to fit into a line of a dump.
const MAX_VALUE_BYTES = 2 ** 28;
// Sorts after everything else that a key can hold, and so ends a range of keys.
const LAST = '\u{10ffff}';

/** Each call is one statement, hence one transaction that ends by itself. */
interface Statements {
  readonly make: string;
  readonly read: string;
  readonly create: string;
  readonly replace: string;
  readonly remove: string;
  readonly list: string;
}

/**
 * @param table quoted
 * @param tell what tells those who watch of a change of `key`
 */
function statementsOn(table: string, tell: string): Statements {
  // What comes back of a write is its own revision; else, in the same round trip, what stands there. That is as old as
  // the statement: a row that changed while the write waited for its lock would be what was expected, and is left out.
  const answered = (write: string, isOther: string): string =>
    `WITH written AS (${write} RETURNING key, revision)
    SELECT revision, (${tell})::text AS value FROM written
    UNION ALL
    SELECT revision, value FROM ${table} WHERE key = $1 AND ${isOther}`;
  return {
    // By their bytes, whatever the database takes for equal letters.
    make: `CREATE TABLE IF NOT EXISTS ${table} (
      key text COLLATE "C" PRIMARY KEY,
      revision text NOT NULL,
      value text NOT NULL
    )`,
    read: `SELECT revision, value FROM ${table} WHERE key = $1`,
    create: answered(
      `INSERT INTO ${table} (key, value, revision) VALUES ($1, $2, $3) ON CONFLICT (key) DO NOTHING`,
      'true',
    ),
    replace: answered(
      `UPDATE ${table} SET value = $2, revision = $3 WHERE key = $1 AND revision = $4`,
      'revision <> $4',
    ),
    remove: `DELETE FROM ${table} WHERE key = $1 AND revision = $2 RETURNING ${tell}`,
    list: `SELECT key FROM ${table} WHERE key >= $1 AND key < $2 ORDER BY key LIMIT ${PAGE}`,
  };
}

/** @returns the name, quoted part by part. */
function quoted(table: string): string {
  if (!/^([a-z_]\w{0,62}\.)?[a-z_]\w{0,62}$/i.test(checkText('table', table))) {
    refuseRange('table', 'name or schema.name, of letters, digits and underscores, at most 63 each', table);
  }
  return table.replace(/\w+/g, '"$&"');
}

// Postgres has no NUL in text, and UTF-8 turns every lone surrogate into the same sign. No sign takes more than twice
// its bytes.
const columnOf = (key: string): string =>
  key.replace(/[\0\\\p{Surrogate}\u{10ffff}]/gu, (sign) =>
    sign === '\\' ? '\\\\' : `\\${sign.codePointAt(0)?.toString(16)}`,
  );

const keyOf = (column: string): string =>
  column.replace(/\\(\\|0|10ffff|d...)/g, (_, code: string) =>
    code === '\\' ? code : String.fromCodePoint(Number.parseInt(code, 16)),
  );

/** Runs statements on the table, which is made when it turns out not to be there. */
function makingTable(send: Send, make: string): Send {
  let making: Promise<unknown> | undefined;
  return async (text, values, signal) => {
    try {
      return await send(text, values, signal);
    } catch (error) {
      if (codeOf(error) !== UNDEFINED_TABLE) throw error;
    }
    making ??= send(make, [], signal)
      .catch((error) => {
        if (!MADE_BY_OTHERS.includes(codeOf(error))) throw new Error('the table cannot be made', { cause: error });
      })
      .finally(() => {
        making = undefined;
      });
    await making.catch((error) => Promise.reject(definite(error)));
    signal.throwIfAborted();
    return send(text, values, signal);
  };
}

/** Keys in their order, page by page. */
async function* list(run: Send, text: string, prefix: string, signal: AbortSignal): AsyncGenerator<string, void> {
  // Half a pair at the end is no sign of its own where the pair is whole.
  let from = columnOf(withoutHalf(prefix));
  const end = from + LAST;
  for (let isMore = true; isMore; ) {
    signal.throwIfAborted();
    const rows = await run(text, [from, end], signal);
    for (const row of rows) {
      const key = keyOf(row['key'] as string);
      if (key.startsWith(prefix)) yield key;
    }
    isMore = rows.length === PAGE;
    // Right after the last one.
    from = `${rows.at(-1)?.['key']}\u0001`;
  }
}

async function* watch(watching: Watching, key: string, signal: AbortSignal): AsyncGenerator<void, void> {
  signal.throwIfAborted();
  const ticks = new Ticks();
  const leave = watching.join(columnOf(key), ticks);
  const off = onAbort(signal, () => {
    ticks.fail(signal.reason);
    // Here and not only below: perhaps nobody asks for another tick.
    leave();
  });
  try {
    for (;;) {
      await ticks.next();
      yield;
    }
  } finally {
    off();
    leave();
  }
}

/**
 * Records in a table of Postgres 12 or later, each call one statement in a transaction of its own: nothing is ever left
 * open, whatever isolation the connection has by default, and it works behind poolers that share connections between
 * transactions. Connections and the table are taken and made on first use; the client stays yours, and has to point at
 * the primary: a replica would answer with what is old. The database's encoding has to be UTF-8. Where transactions are
 * serializable by default, a write may be told of a conflict that was one with the write of another key.
 *
 * An acknowledged write survives a crash and a power cut with `synchronous_commit = on`, which is the default, on a
 * server with `fsync`; with `off` a crash takes the last acknowledged writes along, and whoever saw them says
 * STORE_REGRESSED. A failover keeps what the replica has: `synchronous_standby_names` is for that.
 *
 * Give it a pool: a connection that hangs is closed and replaced. `connectionTimeoutMillis` of the pool, which by default
 * is endless, bounds the making of one. A Client takes calls one by one, cannot be cut, and does not come back when its
 * connection breaks. What falls into a transaction that somebody left open on a connection is not taken for done;
 * older versions of pg (without `getTransactionStatus`) do not tell.
 *
 * `watch` needs a pool of two connections or more, one of which it borrows while somebody watches, or PGlite; else it is
 * absent. Behind a pooler that shares connections nothing can be heard: pass a pool that goes past it. Writers notify only
 * where somebody watches, because transactions that notify are committed one by one in the whole database; they see
 * it by an advisory lock, one of 256 a table.
 *
 * @throws TypeError | RangeError when the client has no `query`, or the table is no name.
 * @example
 * const state = createState({ store: postgresStore(new Pool()), initial: () => ({ count: 0 }) });
 */
export function postgresStore(client: PostgresClient, options: PostgresStoreOptions = {}): VersionedStore {
  const { table = 'chunks_state', clock = systemClock } = options;
  if (typeof Object(client).query !== 'function') refuseType('client', 'a client of Postgres with query', client);
  const name = quoted(table);
  // A channel has a name, too, and it has to be as short.
  const channel = table.slice(-63);
  const lockOf = (key: string): string => `hashtext('${channel}'), hashtext(${key}) & 255`;
  // Who watches holds the lock together with others. Who gets it alone has it until its commit, and who comes to watch
  // waits for that: in between nothing is missed.
  const isWatched = isInProcess(client) ? 'true' : `NOT pg_try_advisory_xact_lock(${lockOf('key')})`;
  const sql = statementsOn(name, `CASE WHEN ${isWatched} THEN pg_notify('${channel}', key) END`);
  const run = makingTable(sendThrough(client), sql.make);
  const watching = watchingOn(client, { channel, lock: lockOf('$1'), clock });

  /** @returns no rows when another transaction was faster */
  const change = (text: string, values: readonly unknown[], signal: AbortSignal): Promise<Row[]> =>
    run(text, values, signal).catch((error) => {
      if (LOST_AGAINST_OTHERS.test(String(codeOf(error)))) return [];
      throw error;
    });

  return {
    name: 'postgres',
    capabilities: {
      watch: watching !== undefined,
      list: true,
      remove: true,
      durable: 'sync',
      maxKeyBytes: MAX_KEY_BYTES,
      maxValueBytes: MAX_VALUE_BYTES,
    },
    async read(key, { signal }) {
      const [row] = await run(sql.read, [columnOf(key)], signal);
      return row && recordOf(row);
    },
    async write(key, value, expected, { signal }) {
      // Made here and random: no backup that is restored brings one back.
      const revision = crypto.randomUUID();
      const rows = await (expected === undefined
        ? change(sql.create, [columnOf(key), value, revision], signal)
        : change(sql.replace, [columnOf(key), value, revision, expected], signal));
      if (rows.some((row) => row['revision'] === revision)) return { revision };
      return { conflict: true, current: rows[0] && recordOf(rows[0]) };
    },
    async remove(key, expected, { signal }) {
      return (await change(sql.remove, [columnOf(key), expected], signal)).length > 0;
    },
    list: (prefix, { signal }) => list(run, sql.list, prefix, signal),
    ...(watching && { watch: (key: string, { signal }: { signal: AbortSignal }) => watch(watching, key, signal) }),
    close: async () => watching?.close(),
  };
}

const recordOf = (row: Row): { value: string; revision: string } => ({
  value: row['value'] as string,
  revision: row['revision'] as string,
});
