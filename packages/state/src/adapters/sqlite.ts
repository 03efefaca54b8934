/// <reference lib="esnext.disposable" preserve="true" />
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { checkInteger, checkText } from '@chunks/base';
import type { VersionedStore } from '../store.ts';

/** How {@link sqliteStore} waits for others. */
export interface SqliteStoreOptions {
  /**
   * How long one call may wait, in ms, for another process to let go of the database file. It blocks this process's
   * event loop meanwhile, so keep it short: a call that waited in vain is tried again with a backoff anyway.
   * @default 1_000
   */
  busyTimeoutMs?: number | undefined;
}

interface Connection {
  readonly database: DatabaseSync;
  readonly read: StatementSync;
  readonly create: StatementSync;
  readonly replace: StatementSync;
}

type Row = { value: string; revision: string };

// The schema's `key` is the text of the key with everything escaped that SQLite's UTF-8 cannot hold apart: lone
// surrogates would all become U+FFFD, and a NUL would end the key in many tools.
const columnOf = (key: string): string => JSON.stringify(key).slice(1, -1);

// SQLITE_BUSY, LOCKED, READONLY, FULL, CANTOPEN: SQLite has rolled back or never begun.
const NOTHING_WRITTEN = new Set([5, 6, 8, 13, 14]);

function marked(error: unknown): unknown {
  const code = (error as { errcode?: unknown } | undefined)?.errcode;
  // The low byte is the primary code, what is above it the particular kind.
  if (typeof code === 'number' && NOTHING_WRITTEN.has(code & 0xff)) Object.assign(error as object, { definite: true });
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
    };
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * Records in a SQLite file through `node:sqlite`; several processes of one machine may share it. Opened on first
 * use. An acknowledged write is on disk (WAL, `synchronous = FULL`). The table is `chunks_state`.
 *
 * @throws TypeError | RangeError when the path is no non-empty string or the timeout no integer ≥ 0.
 * @example
 * const state = createState({ store: sqliteStore('state.sqlite'), initial: () => ({ count: 0 }) });
 */
export function sqliteStore(path: string, options: SqliteStoreOptions = {}): VersionedStore {
  checkText('path', path);
  const busyTimeoutMs = checkInteger('busyTimeoutMs', options.busyTimeoutMs ?? 1_000, 0, 2 ** 31 - 1);
  let opened: Promise<Connection> | undefined;

  async function use<T>(work: (connection: Connection) => T): Promise<T> {
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
  }

  const lookUp = (connection: Connection, column: string): Row | undefined => {
    const row = connection.read.get(column);
    return row && { value: row['value'] as string, revision: row['revision'] as string };
  };

  return {
    name: 'sqlite',
    capabilities: { watch: false, list: false, remove: false, durable: 'sync' },
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
    close: async () => {
      const closing = opened;
      opened = undefined;
      // A connection that never came about has nothing to close.
      (await closing?.catch(() => undefined))?.database.close();
    },
  };
}
