import { type BigIntStats, statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { type Backoff, type Clock, exponentialBackoff } from '@chunks/base';
import { LeaseTable } from './lease-table.ts';

/** How {@link Transactions} waits. */
export interface TransactionsOptions {
  readonly path: string;
  readonly busyTimeoutMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  /** Called after the commit, for each key that was freed or handed on in it. */
  readonly onFreed: (key: string, nowMs: number) => void;
}

/** One transaction takes so many calls at most, so that other processes get their turn between two of them. */
const MAX_TOGETHER = 64;

// Never near zero, so that the number of tries is bounded by the time.
const backoff: Backoff = exponentialBackoff({ baseMs: 1, maxMs: 20, jitter: 'decorrelated' });

interface Call {
  readonly work: (table: LeaseTable, nowMs: number) => void;
  readonly settle: () => void;
  readonly reject: (error: unknown) => void;
  waitedMs: number;
}

interface Connection {
  readonly database: DatabaseSync;
  readonly table: LeaseTable;
  readonly file: string;
  readonly opened: BigIntStats;
}

/** SQLITE_BUSY and SQLITE_LOCKED, of whatever kind: somebody else has the file just now. */
function isBusy(error: unknown): boolean {
  const code = (error as { errcode?: unknown } | undefined)?.errcode;
  return typeof code === 'number' && ((code & 0xff) === 5 || (code & 0xff) === 6);
}

async function connect(path: string): Promise<Connection> {
  // Here and not at the top: Node 22 prints a warning on import, which only its users should see.
  const { DatabaseSync } = await import('node:sqlite');
  const database = new DatabaseSync(path);
  try {
    // No busy_timeout: SQLite would wait inside the call, and the event loop with it. FULL: a token that was told must
    // not be given again after a power cut.
    database.exec('PRAGMA busy_timeout = 0; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    const table = new LeaseTable(database);
    const file = database.prepare('PRAGMA database_list').get()?.['file'] as string;
    return { database, table, file, opened: statSync(file, { bigint: true }) };
  } catch (error) {
    database.close();
    throw error;
  }
}

/** SQLite goes on writing to a file that has no name any more, while others begin a new one under the old name. */
function checkInPlace({ file, opened }: Connection): void {
  const found = statSync(file, { bigint: true, throwIfNoEntry: false });
  if (found?.ino !== opened.ino || found.dev !== opened.dev) {
    throw new Error(`${file} was removed or replaced while it was open; the next call opens it anew`);
  }
}

/**
 * Runs calls in write transactions of one file, several in one where they come together: they then share the wait for
 * other processes and the write to the disk. In order; all or nothing.
 */
export class Transactions {
  readonly #o: TransactionsOptions;
  readonly #calls: Call[] = [];
  #connection: Connection | undefined;
  #running: Promise<void> | undefined;

  constructor(options: TransactionsOptions) {
    this.#o = options;
  }

  /** @throws SQLite's own error, when the file cannot be used or somebody else had it for longer than `busyTimeoutMs`. */
  run<T>(work: (table: LeaseTable, nowMs: number) => T, signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let settle: () => void;
      this.#calls.push({
        work: (table, nowMs) => {
          // Nobody would come for the result; the other calls of the transaction go on.
          if (signal?.aborted) settle = () => reject(signal.reason);
          else settle = resolve.bind(undefined, work(table, nowMs));
        },
        settle: () => settle(),
        reject,
        waitedMs: 0,
      });
      this.#running ??= this.#drain();
    });
  }

  /** Closes the file when the calls so far are done; a later call opens it again. */
  async close(): Promise<void> {
    await this.#running;
    this.#drop();
  }

  async #drain(): Promise<void> {
    // Calls of this tick come together.
    await Promise.resolve();
    for (let attempt = 1; this.#calls.length > 0; ) {
      try {
        await this.#turn();
        attempt = 1;
      } catch (error) {
        if (isBusy(error)) await this.#wait(error, backoff.delayMs(attempt++, this.#o.random));
        else for (const call of this.#calls.splice(0)) call.reject(error);
      }
    }
    this.#running = undefined;
  }

  async #wait(error: unknown, delayMs: number): Promise<void> {
    // In order of arrival, so those that have waited enough stand first.
    const patient = this.#calls.findIndex(({ waitedMs }) => waitedMs < this.#o.busyTimeoutMs);
    for (const call of this.#calls.splice(0, patient === -1 ? this.#calls.length : patient)) call.reject(error);
    const waiting = [...this.#calls];
    if (waiting.length > 0) await this.#o.clock.sleep(delayMs);
    for (const call of waiting) call.waitedMs += delayMs;
  }

  /** One transaction. Whatever fails in it closes the connection, which rolls back; calls stay in the queue. */
  async #turn(): Promise<void> {
    const connection = (this.#connection ??= await connect(this.#o.path));
    const { database, table } = connection;
    const calls = this.#calls.slice(0, MAX_TOGETHER);
    let begun = false;
    let nowMs: number;
    try {
      database.exec('BEGIN IMMEDIATE');
      begun = true;
      checkInPlace(connection);
      // Not before: whoever had the file until now may have read the clock later than we asked for it.
      nowMs = this.#o.clock.now();
      for (const { work } of calls) work(table, nowMs);
      database.exec('COMMIT');
    } catch (error) {
      if (begun || !isBusy(error)) this.#drop();
      throw error;
    }
    this.#calls.splice(0, calls.length);
    for (const { settle } of calls) settle();
    for (const key of table.takeFreed()) this.#o.onFreed(key, nowMs);
  }

  #drop(): void {
    this.#connection?.database.close();
    this.#connection = undefined;
  }
}
