import { onAbort } from '@chunks/base';

/** What runs a statement: a Pool or a Client of pg, PGlite, or anything of their shape. */
export interface PostgresClient {
  query(text: string, values: unknown[]): Promise<{ rows: unknown[] }>;
}

/** A connection of a pool. */
interface Lent extends PostgresClient {
  /** @param destroy closes it instead of putting it back */
  release(destroy?: boolean): void;
  on(event: string, listener: (detail: unknown) => void): unknown;
  off(event: string, listener: (detail: unknown) => void): unknown;
}

/** What only a pool has. */
export interface Pool extends PostgresClient {
  connect(): Promise<Lent>;
  readonly totalCount: number;
  readonly options?: { readonly max?: number | undefined } | undefined;
}

/** What only PGlite has. */
export interface InProcess extends PostgresClient {
  listen(channel: string, heard: (payload: string) => void): Promise<unknown>;
  unlisten(channel: string, heard: (payload: string) => void): Promise<unknown>;
}

export type Row = Record<string, string | null>;
/** Runs one statement. What it throws is marked `definite` where surely nothing was written. */
export type Send = (text: string, values: readonly unknown[], signal: AbortSignal) => Promise<Row[]>;

export const isPool = (client: object): client is Pool => 'connect' in client && 'totalCount' in client;
export const isInProcess = (client: object): client is InProcess => 'listen' in client;

export const ignore = (): void => undefined;

export const codeOf = (error: unknown): unknown => (error as { code?: unknown } | undefined)?.code;

/** Serialization failures and deadlocks: somebody else was faster, and this transaction is undone. */
export const LOST_AGAINST_OTHERS: RegExp = /^40(001|P01)$/;
// By the first letters of SQLSTATE: what a server says before it would commit. A shutdown, a cancellation, a broken
// connection and an internal error are not among them: they can come between the commit and its reply, and poolers
// report with them that they lost the server.
const NOTHING_WRITTEN = /^(0A|2[23]|25006|3F|40(001|P01)|42|5[345]|57P03|P0)/;

/** Said of an error when nothing of what was asked has reached the server, or the server has refused it. */
export const definite = (error: unknown): unknown => Object.assign(Object(error), { definite: true });

/**
 * What came back of a statement, unless it ran inside a transaction that somebody left open: what that writes may never be
 * committed, and what it reads may be old. Older versions of pg do not tell.
 */
export function rowsOf(client: PostgresClient, { rows }: { rows: unknown[] }): Row[] {
  const { getTransactionStatus } = client as { getTransactionStatus?(): string | null };
  const status = getTransactionStatus?.call(client) ?? 'I';
  if (status !== 'I') throw new Error('in a transaction of somebody else');
  return rows as Row[];
}

const marked = (error: unknown): unknown => (NOTHING_WRITTEN.test(String(codeOf(error))) ? definite(error) : error);

function onLent(lent: Lent, text: string, values: readonly unknown[], signal: AbortSignal): Promise<Row[]> {
  return new Promise((resolve, reject) => {
    let isOver = false;
    const end = (destroy: boolean, settle: () => void): void => {
      if (isOver) return;
      isOver = true;
      off();
      lent.off('error', ignore);
      lent.release(destroy);
      settle();
    };
    // What breaks while it is lent is told by the statement, too.
    lent.on('error', ignore);
    const off = onAbort(signal, () => end(true, () => reject(signal.reason)));
    lent
      .query(text, [...values])
      .then((result) => rowsOf(lent, result))
      .then(
        (rows) => end(false, () => resolve(rows)),
        // A connection that has carried an answer is whole; with any other error it may not be, and must not be lent again.
        (error) => end(!NOTHING_WRITTEN.test(String(codeOf(error))), () => reject(marked(error))),
      );
  });
}

/** A connection is taken for each statement, so that one that hangs can be closed, and gives its place to another. */
const throughPool =
  (pool: Pool): Send =>
  async (text, values, signal) => {
    const lent = await pool.connect().catch((error) => Promise.reject(definite(error)));
    if (!signal.aborted) return onLent(lent, text, values, signal);
    lent.release();
    throw signal.reason;
  };

// By connection, so that two stores take turns too.
const turns = new WeakMap<object, Promise<unknown>>();

/** @returns how to run statements: a connection of pg wants one at a time, the others see to that themselves */
export function sendThrough(client: PostgresClient): Send {
  if (isPool(client)) return throughPool(client);
  const send = (text: string, values: readonly unknown[]): Promise<Row[]> =>
    client
      .query(text, [...values])
      .then((result) => rowsOf(client, result))
      .catch((error) => Promise.reject(marked(error)));
  if (isInProcess(client) || !('on' in client)) return send;
  return (text, values, signal) => {
    const turn = (turns.get(client) ?? Promise.resolve()).then(() => {
      // Nobody waits for it any more.
      signal.throwIfAborted();
      return send(text, values);
    });
    turns.set(client, turn.catch(ignore));
    return turn;
  };
}
