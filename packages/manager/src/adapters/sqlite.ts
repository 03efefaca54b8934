/// <reference lib="esnext.disposable" preserve="true" />
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { checkInteger, checkText } from '@chunks/base';
import type { ChunkRepository, FileRow } from '../types.ts';

/** How {@link sqliteRepository} keeps the file. */
export interface SqliteRepositoryOptions {
  /**
   * How long one call may wait, in ms, for somebody else to let go of the database file, such as a backup. It blocks
   * this process's event loop meanwhile.
   * @default 1_000
   */
  busyTimeoutMs?: number | undefined;
}

/** So many marks are kept as rows before they go into the image: a mark costs one small row, a start few of them. */
const FOLD_AFTER = 1024;

// cache_files.bits is the image: one bit a chunk. A row of cache_chunks is newer than the image, and counts instead of
// its bit: marked with a size, unmarked without one.
const SCHEMA = `
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS cache_files (
  file_id TEXT PRIMARY KEY, generation TEXT NOT NULL, total_bytes INTEGER NOT NULL,
  chunk_size_bytes INTEGER NOT NULL, last_access INTEGER NOT NULL, bits BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS cache_files_by_access ON cache_files (last_access);
CREATE TABLE IF NOT EXISTS cache_chunks (
  file_id TEXT NOT NULL, chunk INTEGER NOT NULL, size INTEGER, PRIMARY KEY (file_id, chunk)) WITHOUT ROWID;`;

const NEXT_ACCESS = '(SELECT coalesce(max(last_access), 0) + 1 FROM cache_files)';

// Lone surrogates would all become the same character in UTF-8, and a NUL would end the text in many tools.
const columnOf = (text: string): string => JSON.stringify(text).slice(1, -1);
const textOf = (column: unknown): string => JSON.parse(`"${column as string}"`) as string;

/** The open database and what is asked of it; every method is synchronous and all or nothing. */
class Connection {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  /** Rows newer than the image, by file, as far as this process wrote them. */
  readonly #newer = new Map<string, number>();

  constructor(database: DatabaseSync) {
    this.#database = database;
    database.exec(SCHEMA);
  }

  load(id: string): FileRow | undefined {
    return this.#atomically(() => {
      const column = columnOf(id);
      const row = this.#get('SELECT * FROM cache_files WHERE file_id = ?', column);
      if (row === undefined) return undefined;
      const coverage = this.#fold(column);
      this.#run(`UPDATE cache_files SET last_access = ${NEXT_ACCESS} WHERE file_id = ?`, column);
      return {
        id,
        generation: textOf(row['generation']),
        totalBytes: row['total_bytes'] as number,
        chunkSizeBytes: row['chunk_size_bytes'] as number,
        coverage,
      };
    });
  }

  upsert(row: FileRow): void {
    this.#atomically(() => {
      this.#run(
        `INSERT OR REPLACE INTO cache_files (file_id, generation, total_bytes, chunk_size_bytes, last_access, bits)
         VALUES (?, ?, ?, ?, ${NEXT_ACCESS}, ?)`,
        columnOf(row.id),
        columnOf(row.generation),
        row.totalBytes,
        row.chunkSizeBytes,
        row.coverage,
      );
      this.#forgetRows(columnOf(row.id));
    });
  }

  remove(id: string): boolean {
    return this.#atomically(() => {
      this.#forgetRows(columnOf(id));
      return this.#run('DELETE FROM cache_files WHERE file_id = ?', columnOf(id)) === 1;
    });
  }

  /** A size marks, null unmarks. */
  mark(id: string, generation: string, chunks: Iterable<readonly [chunk: number, size: number | null]>): void {
    const column = columnOf(id);
    this.#atomically(() => {
      let newer = this.#newer.get(column) ?? 0;
      for (const [chunk, size] of chunks) {
        newer += this.#run(
          `INSERT INTO cache_chunks (file_id, chunk, size)
           SELECT file_id, ?, ? FROM cache_files WHERE file_id = ? AND generation = ?
           ON CONFLICT (file_id, chunk) DO UPDATE SET size = excluded.size`,
          chunk,
          size,
          column,
          columnOf(generation),
        );
      }
      this.#newer.set(column, newer);
      if (newer >= FOLD_AFTER) this.#fold(column);
    });
  }

  list(): string[] {
    return this.#statement('SELECT file_id FROM cache_files ORDER BY last_access')
      .all()
      .map((row) => textOf(row['file_id']));
  }

  close(): void {
    this.#database.close();
  }

  /** Replays the newer rows over the image, which then needs them no longer. @returns the image */
  #fold(column: string): Uint8Array {
    const bits = this.#get('SELECT bits FROM cache_files WHERE file_id = ?', column)?.['bits'] as Uint8Array;
    const rows = this.#statement('SELECT chunk, size FROM cache_chunks WHERE file_id = ?').all(column);
    for (const { chunk, size } of rows as { chunk: number; size: number | null }[]) {
      const byte = Math.floor(chunk / 8);
      const bit = 1 << (chunk % 8);
      bits[byte] = size === null ? (bits[byte] as number) & ~bit : (bits[byte] as number) | bit;
    }
    if (rows.length > 0) {
      this.#run('UPDATE cache_files SET bits = ? WHERE file_id = ?', bits, column);
      this.#forgetRows(column);
    }
    return bits;
  }

  #forgetRows(column: string): void {
    this.#run('DELETE FROM cache_chunks WHERE file_id = ?', column);
    this.#newer.delete(column);
  }

  #atomically<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      // SQLite has rolled back by itself after some errors, such as a full disk.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, (statement = this.#database.prepare(sql)));
    return statement;
  }

  #get(sql: string, ...values: (string | number)[]): Record<string, unknown> | undefined {
    return this.#statement(sql).get(...values);
  }

  #run(sql: string, ...values: (string | number | null | Uint8Array)[]): number {
    return Number(this.#statement(sql).run(...values).changes);
  }
}

async function connect(path: string, busyTimeoutMs: number): Promise<Connection> {
  // Here and not at the top: Node 22 prints a warning on import, which only its users should see.
  const { DatabaseSync } = await import('node:sqlite');
  const database = new DatabaseSync(path, { timeout: busyTimeoutMs });
  try {
    return new Connection(database);
  } catch (error) {
    database.close();
    throw error;
  }
}

function* unmarks(firstChunk: number, endChunk: number): Generator<readonly [number, null]> {
  for (let chunk = firstChunk; chunk < endChunk; chunk++) yield [chunk, null];
}

/**
 * Remembers what is stored in a SQLite file through `node:sqlite`, opened on first use; one process at a time.
 * A file's chunks are one bitmap plus the few rows that are newer, so that a start reads a million chunks at once.
 * WAL with `synchronous = NORMAL`: a power cut may lose the latest marks, and then those chunks are fetched again; it
 * never invents one. Tables: `cache_files`, `cache_chunks`.
 *
 * @throws TypeError | RangeError when the path is no non-empty string or the timeout no integer ≥ 0
 * @example
 * const manager = new ChunkManager({
 *   fetchChunk,
 *   store: fileChunkStore('cache'),
 *   repository: sqliteRepository('cache/index.sqlite'),
 * });
 */
export function sqliteRepository(path: string, options: SqliteRepositoryOptions = {}): ChunkRepository {
  checkText('path', path);
  const busyTimeoutMs = checkInteger('busyTimeoutMs', options.busyTimeoutMs ?? 1_000, 0, 2 ** 31 - 1);
  let opened: Promise<Connection> | undefined;

  const use = async <T>(work: (connection: Connection) => T): Promise<T> => {
    opened ??= connect(path, busyTimeoutMs);
    const opening = opened;
    try {
      await opening;
    } catch (error) {
      // The next call tries again: the folder may be there by then.
      if (opened === opening) opened = undefined;
      throw error;
    }
    return work(await opening);
  };

  return {
    loadFile: (id) => use((connection) => connection.load(id)),
    upsertFile: (row) => use((connection) => connection.upsert(row)),
    removeFile: (id) => use((connection) => connection.remove(id)),
    markChunks: (fileId, generation, chunks) => {
      const sizes = chunks.map(({ chunk, size }) => [chunk, size] as const);
      return use((connection) => connection.mark(fileId, generation, sizes));
    },
    unmarkChunks: (fileId, generation, { firstChunk, endChunk }) =>
      use((connection) => connection.mark(fileId, generation, unmarks(firstChunk, endChunk))),
    listFiles: () => use((connection) => connection.list()),
    close: async () => {
      const closing = opened;
      opened = undefined;
      // A connection that never came about has nothing to close.
      (await closing?.catch(() => undefined))?.close();
    },
  };
}
