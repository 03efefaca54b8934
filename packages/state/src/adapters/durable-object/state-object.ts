/** What is used of the `DurableObjectState` that the runtime hands to every object. */
export interface StateObjectState {
  readonly storage: {
    /** Only objects of a class with SQLite storage have it. */
    readonly sql: { exec(query: string, ...bindings: string[]): { toArray(): Record<string, unknown>[] } };
  };
}

interface StoredRecord {
  readonly revision: string;
  readonly value: string;
}

/**
 * The Durable Object that keeps one record: export it from the Worker and bind it, with SQLite storage. It has nothing in
 * memory, so it may be evicted, moved or restarted at any time. GET, PUT and DELETE, on condition of `If-Match`; a PUT or
 * DELETE without it is for a record that must not exist.
 *
 * A plain class with a `fetch`, because the base class for RPC stands in a module that no other runtime can load.
 * @example
 * export { StateObject } from '@chunks/state/durable-object';
 * // wrangler.json: "durable_objects": { "bindings": [{ "name": "STATES", "class_name": "StateObject" }] },
 * //                "migrations": [{ "tag": "v1", "new_sqlite_classes": ["StateObject"] }]
 */
export class StateObject {
  readonly #sql: StateObjectState['storage']['sql'];
  #hasTable = false;

  constructor(state: StateObjectState, _env?: unknown) {
    this.#sql = state.storage.sql;
  }

  /** 200, 204 where there is none, 412 with what stands there instead, 405 for any other method. */
  async fetch(request: Request): Promise<Response> {
    const value = await request.text();
    return this.#perform(request.method, request.headers.get('if-match'), value);
  }

  /** Not async, and it must stay so: whatever came in between the comparison and the write would be lost. */
  #perform(method: string, expected: string | null, value: string): Response {
    const found = this.#read();
    if (method === 'GET') return answer(found ? 200 : 204, found);
    if (method !== 'PUT' && method !== 'DELETE') return answer(405);
    if ((found?.revision ?? null) !== expected) return answer(412, found);
    if (method === 'PUT') return answer(200, this.#write(value));
    if (found) this.#sql.exec('DELETE FROM chunks_state');
    return answer(204);
  }

  #read(): StoredRecord | undefined {
    // Whoever only asks must not make a table: an object without one costs nothing.
    this.#hasTable ||= this.#sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'chunks_state'").toArray().length > 0;
    if (!this.#hasTable) return undefined;
    return this.#sql.exec('SELECT revision, value FROM chunks_state').toArray()[0] as StoredRecord | undefined;
  }

  #write(value: string): StoredRecord {
    // Random and not counted up: going back in time must not make an old revision fit again.
    const revision = crypto.randomUUID();
    if (!this.#hasTable) this.#sql.exec(TABLE);
    this.#sql.exec('INSERT OR REPLACE INTO chunks_state VALUES (1, ?, ?)', revision, value);
    return { revision, value: '' };
  }
}

const TABLE =
  'CREATE TABLE chunks_state (id INTEGER PRIMARY KEY CHECK (id = 1), revision TEXT NOT NULL, value TEXT NOT NULL)';

const answer = (status: number, record?: StoredRecord): Response =>
  new Response(record?.value ?? null, { status, headers: record ? { etag: record.revision } : {} });
