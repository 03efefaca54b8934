import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { LeaseBusy, LeaseGrant, LeaseRenewal, LeaseState } from '../../lease-driver.ts';
import { CLAIM_MS, KEPT_MS, PLACE_MS, tokenAfter } from '../../lease-rules.ts';

/** Each new key removes so many records that may go. One would keep step; two also catch up. */
const SWEPT_PER_KEY = 2;

// A free key has no holder, and expires_ms 0. `place` counts up per key; who has the lease stands in no line.
const SCHEMA = `
CREATE TABLE IF NOT EXISTS chunks_leases (
  key TEXT PRIMARY KEY, token INTEGER NOT NULL, holder TEXT NOT NULL, expires_ms REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS chunks_leases_by_token ON chunks_leases (token);
CREATE TABLE IF NOT EXISTS chunks_lease_line (
  key TEXT NOT NULL, place INTEGER NOT NULL, holder TEXT NOT NULL, lease_ms REAL NOT NULL, asked_ms REAL NOT NULL,
  PRIMARY KEY (key, place)) WITHOUT ROWID;`;

// Lone surrogates would all become the same character in UTF-8, and a NUL would end the key in many tools.
const columnOf = (key: string): string => JSON.stringify(key).slice(1, -1);

interface Lease {
  token: number;
  holder: string;
  expiresMs: number;
}

type Row = Record<string, unknown>;

/**
 * The leases and their lines, in steps that stand inside one write transaction each; the caller begins and commits.
 * Whatever step first sees an ended lease hands it on to the first in line, so that nobody new comes in between.
 */
export class LeaseTable {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #freed = new Set<string>();

  /** Makes the tables where they are not there yet. */
  constructor(database: DatabaseSync) {
    this.#database = database;
    database.exec(SCHEMA);
  }

  /** Keys that were freed or handed on since this was asked last. */
  takeFreed(): ReadonlySet<string> {
    const freed = this.#freed;
    if (freed.size > 0) this.#freed = new Set();
    return freed;
  }

  acquire(key: string, holder: string, leaseMs: number, nowMs: number): LeaseGrant | LeaseBusy {
    const column = columnOf(key);
    const lease = this.#settled(key, column, nowMs);
    const expiresMs = nowMs + leaseMs;
    if (lease?.holder === holder) {
      this.#set(column, { ...lease, expiresMs });
      return { token: lease.token };
    }
    if (lease !== undefined && lease.holder !== '') {
      this.#stand(column, holder, leaseMs, nowMs);
      return { busy: true, holder: lease.holder, retryAfterMs: lease.expiresMs - nowMs, queued: true };
    }
    const token = tokenAfter(lease?.token ?? 0, nowMs);
    this.#set(column, { token, holder, expiresMs });
    if (lease === undefined) this.#sweep(nowMs);
    return { token };
  }

  renew(key: string, holder: string, token: number, leaseMs: number, nowMs: number): LeaseRenewal {
    const column = columnOf(key);
    const lease = this.#settled(key, column, nowMs);
    if (lease?.holder !== holder || lease.token !== token) return false;
    this.#set(column, { ...lease, expiresMs: nowMs + leaseMs });
    return this.#first(column) === undefined ? true : { contended: true };
  }

  /** Token 0 gives back what the holder may not know that it has: its place, or what was handed on to it since. */
  release(key: string, holder: string, token: number, nowMs: number): boolean {
    const column = columnOf(key);
    const lease = this.#settled(key, column, nowMs);
    if (lease?.holder === holder && (lease.token === token || token === 0)) {
      this.#handOn(key, column, lease.token, nowMs);
      return token !== 0;
    }
    if (token === 0) this.#run('DELETE FROM chunks_lease_line WHERE key = ? AND holder = ?', column, holder);
    return false;
  }

  inspect(key: string, nowMs: number): LeaseState | undefined {
    const lease = this.#settled(key, columnOf(key), nowMs);
    if (lease === undefined || lease.holder === '') return undefined;
    return { holder: lease.holder, mode: 'exclusive', expiresInMs: lease.expiresMs - nowMs };
  }

  /** Without the places that lapsed, and handed on or freed if it has ended. */
  #settled(key: string, column: string, nowMs: number): Lease | undefined {
    const row = this.#get('SELECT token, holder, expires_ms FROM chunks_leases WHERE key = ?', column);
    if (row === undefined) return undefined;
    this.#run('DELETE FROM chunks_lease_line WHERE key = ? AND asked_ms <= ?', column, nowMs - PLACE_MS);
    const lease = {
      token: row['token'] as number,
      holder: row['holder'] as string,
      expiresMs: row['expires_ms'] as number,
    };
    if (lease.holder === '' || lease.expiresMs > nowMs) return lease;
    // Written down even if nobody waits: the lease must not revive when the clock is set back.
    return this.#handOn(key, column, lease.token, nowMs);
  }

  #handOn(key: string, column: string, lastToken: number, nowMs: number): Lease {
    this.#freed.add(key);
    const next = this.#first(column);
    if (next !== undefined) {
      this.#run('DELETE FROM chunks_lease_line WHERE key = ? AND place = ?', column, next['place'] as number);
    }
    const lease =
      next === undefined
        ? { token: lastToken, holder: '', expiresMs: 0 }
        : {
            token: tokenAfter(lastToken, nowMs),
            holder: next['holder'] as string,
            expiresMs: nowMs + Math.min(CLAIM_MS, next['lease_ms'] as number),
          };
    this.#set(column, lease);
    return lease;
  }

  #first(column: string): Row | undefined {
    return this.#get(
      'SELECT place, holder, lease_ms FROM chunks_lease_line WHERE key = ? ORDER BY place LIMIT 1',
      column,
    );
  }

  /** At the tail, or where the holder stands already. */
  #stand(column: string, holder: string, leaseMs: number, nowMs: number): void {
    const own = this.#get('SELECT place FROM chunks_lease_line WHERE key = ? AND holder = ?', column, holder);
    if (own === undefined) {
      this.#run(
        `INSERT INTO chunks_lease_line (key, place, holder, lease_ms, asked_ms)
         SELECT ?1, coalesce(max(place), 0) + 1, ?2, ?3, ?4 FROM chunks_lease_line WHERE key = ?1`,
        column,
        holder,
        leaseMs,
        nowMs,
      );
    } else {
      this.#run(
        'UPDATE chunks_lease_line SET lease_ms = ?, asked_ms = ? WHERE key = ? AND place = ?',
        leaseMs,
        nowMs,
        column,
        own['place'] as number,
      );
    }
  }

  #set(column: string, { token, holder, expiresMs }: Lease): void {
    this.#run(
      `INSERT INTO chunks_leases (key, token, holder, expires_ms) VALUES (?, ?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET token = excluded.token, holder = excluded.holder, expires_ms = excluded.expires_ms`,
      column,
      token,
      holder,
      expiresMs,
    );
  }

  #sweep(nowMs: number): void {
    const gone = this.#statement(
      'SELECT key FROM chunks_leases WHERE token < ? AND expires_ms <= ? ORDER BY token LIMIT ?',
    ).all(nowMs - KEPT_MS, nowMs, SWEPT_PER_KEY);
    for (const { key } of gone as { key: string }[]) {
      this.#run('DELETE FROM chunks_leases WHERE key = ?', key);
      // Places of the dead: whoever lives has asked since, and was handed the key with a young token.
      this.#run('DELETE FROM chunks_lease_line WHERE key = ?', key);
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, (statement = this.#database.prepare(sql)));
    return statement;
  }

  #get(sql: string, ...values: (string | number)[]): Row | undefined {
    return this.#statement(sql).get(...values);
  }

  #run(sql: string, ...values: (string | number)[]): void {
    this.#statement(sql).run(...values);
  }
}
