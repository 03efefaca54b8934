/// <reference lib="esnext.disposable" preserve="true" />
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type Clock, checkInteger, checkText, systemClock, withoutHalf } from '@chunks/base';
import type { VersionedStore } from '../store.ts';

/** How {@link sqliteStore} waits for others. */
export interface SqliteStoreOptions {
  /**
   * How long one call may wait, in ms, for another process to let go of the database file. It blocks this process's
   * event loop meanwhile, so keep it short: a call that waited in vain is tried again with a backoff anyway.
   * @default 1_000
   */
  busyTimeoutMs?: number | undefined;
  /** How often a `watch` looks whether its record has changed, in ms; a look takes some microseconds. @default 100 */
  watchEveryMs?: number | undefined;
  /** For the waits between those looks. @default the host's timers */
  clock?: Clock | undefined;
}

interface Connection {
  readonly database: DatabaseSync;
  readonly read: StatementSync;
  readonly create: StatementSync;
  readonly replace: StatementSync;
  readonly remove: StatementSync;
  readonly list: StatementSync;
  readonly look: StatementSync;
}

type Row = { value: string; revision: string };

// The schema's `key` is the text of the key with everything escaped that SQLite's UTF-8 cannot hold apart: lone
// surrogates would all become U+FFFD, and a NUL would end the key in many tools.
const columnOf = (key: string): string => JSON.stringify(key).slice(1, -1);
const keyOf = (column: string): string => JSON.parse(`"${column}"`);

const LIST_PAGE = 500;

// SQLITE_BUSY, LOCKED, READONLY, FULL, CANTOPEN, TOOBIG: SQLite has rolled back or never begun.
const NOTHING_WRITTEN = new Set([5, 6, 8, 13, 14, 18]);
const TOO_BIG = 18;

function marked(error: unknown): unknown {
  const errcode = (error as { errcode?: unknown } | undefined)?.errcode;
  if (typeof errcode !== 'number') return error;
  // The low byte is the primary code, what is above it the particular kind.
  const primary = errcode & 0xff;
  if (NOTHING_WRITTEN.has(primary)) Object.assign(error as object, { definite: true });
  if (primary === TOO_BIG) Object.assign(error as object, { code: 'VALUE_TOO_LARGE' });
  return error;
}

async function connect(path: string, busyTimeoutMs: number): Promise<Connection> {
  // Here and not at the top: Node 22 prints a warning on import, which only its users should see.
  const { DatabaseSync } = await import('node:sqlite');
  const database = new DatabaseSync(path);
  try {
    // As a pragma, because the constructor's `timeout` is not known to every Node that has `node:sqlite`.
    database.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;`);
    database.exec(
      'CREATE TABLE IF NOT EXISTS chunks_state (key TEXT PRIMARY KEY, revision TEXT NOT NULL, value TEXT NOT NULL) WITHOUT ROWID',
    );
    return {
      database,
      read: database.prepare('SELECT value, revision FROM chunks_state WHERE key = ?'),
      create: database.prepare(
        'INSERT INTO chunks_state (key, revision, value) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING',
      ),
      replace: database.prepare('UPDATE chunks_state SET revision = ?, value = ? WHERE key = ? AND revision = ?'),
      remove: database.prepare('DELETE FROM chunks_state WHERE key = ? AND revision = ?'),
      list: database.prepare(`SELECT key FROM chunks_state WHERE key >= ? ORDER BY key LIMIT ${LIST_PAGE}`),
      look: database.prepare('SELECT revision FROM chunks_state WHERE key = ?'),
    };
  } catch (error) {
    database.close();
    throw error;
  }
}

type Use = <T>(work: (connection: Connection) => T) => Promise<T>;

/** Page by page, as a statement that stays open would keep the log from being taken over into the file. */
async function* listed(use: Use, prefix: string, signal: AbortSignal): AsyncGenerator<string> {
  // A prefix may end in the middle of a letter, which is escaped only as long as its other half is missing.
  const begin = columnOf(withoutHalf(prefix));
  for (let from = begin; ; ) {
    signal.throwIfAborted();
    const page = await use(({ list }) => list.all(from).map((row) => row['key'] as string));
    for (const column of page) {
      signal.throwIfAborted();
      if (!column.startsWith(begin)) return;
      const key = keyOf(column);
      if (key.startsWith(prefix)) yield key;
    }
    if (page.length < LIST_PAGE) return;
    // The very next text, in the order of UTF-8.
    from = `${page.at(-1)}\0`;
  }
}

/**
 * Records in a SQLite file through `node:sqlite`; several processes of one machine may share it. Opened on first
 * use. An acknowledged write is on disk (WAL, `synchronous = FULL`). The table is `chunks_state`. Where SQLite finds a
 * value too long (a billion bytes, unless built otherwise), it is VALUE_TOO_LARGE. `watch` looks now and then: it works
 * across processes and wherever SQLite does, and does not see a key that came and went between two looks.
 *
 * @throws TypeError | RangeError when the path is no non-empty string, the timeout no integer ≥ 0 or the interval none ≥ 1.
 * @example
 * const state = createState({ store: sqliteStore('state.sqlite'), initial: () => ({ count: 0 }) });
 */
export function sqliteStore(path: string, options: SqliteStoreOptions = {}): VersionedStore {
  checkText('path', path);
  const busyTimeoutMs = checkInteger('busyTimeoutMs', options.busyTimeoutMs ?? 1_000, 0, 2 ** 31 - 1);
  const watchEveryMs = checkInteger('watchEveryMs', options.watchEveryMs ?? 100, 1);
  const clock = options.clock ?? systemClock;
  let opened: Promise<Connection> | undefined;

  const use: Use = async (work) => {
    opened ??= connect(path, busyTimeoutMs);
    let connection: Connection;
    try {
      connection = await opened;
    } catch (error) {
      opened = undefined;
      // Nothing can have been written through a door that did not open.
      throw error instanceof Error ? Object.assign(error, { definite: true }) : error;
    }
    try {
      return work(connection);
    } catch (error) {
      throw marked(error);
    }
  };

  const lookUp = (connection: Connection, column: string): Row | undefined => {
    const row = connection.read.get(column);
    return row && { value: row['value'] as string, revision: row['revision'] as string };
  };

  return {
    name: 'sqlite',
    capabilities: { watch: true, list: true, remove: true, durable: 'sync' },
    read: (key) => use((connection) => lookUp(connection, columnOf(key))),
    write: (key, value, expected) =>
      use((connection) => {
        const column = columnOf(key);
        // Random and not counted up: a restored backup must not make an old revision fit again.
        const revision = crypto.randomUUID();
        const { changes } =
          expected === undefined
            ? connection.create.run(column, revision, value)
            : connection.replace.run(revision, value, column, expected);
        return Number(changes) === 1 ? { revision } : { conflict: true, current: lookUp(connection, column) };
      }),
    remove: (key, expected) => use(({ remove }) => Number(remove.run(columnOf(key), expected).changes) === 1),
    list: (prefix, { signal }) => listed(use, prefix, signal),
    async *watch(key, { signal }) {
      signal.throwIfAborted();
      for (let last: unknown = null; ; ) {
        const revision = await use(({ look }) => look.get(columnOf(key))?.['revision']);
        signal.throwIfAborted();
        if (revision === last) {
          await clock.sleep(watchEveryMs, signal);
        } else {
          last = revision;
          yield;
        }
      }
    },
    close: async () => {
      const closing = opened;
      opened = undefined;
      // A connection that never came about has nothing to close.
      (await closing?.catch(() => undefined))?.database.close();
    },
  };
}
