import { checkNumber } from '@chunks/base';
import { LockLostError } from './errors.ts';
import type { KeyQueue } from './key-queue.ts';
import type { LockTable } from './lock-table.ts';
import type { Terms } from './settings.ts';
import type { LocalLock, LockMode } from './types.ts';
import type { Waiter } from './waiter.ts';

/**
 * A granted lock, and at once the table's whole entry of a key that nobody else is interested in. Its fields are few
 * because there may be a million of them.
 */
export class HeldLock implements LocalLock {
  readonly table: LockTable;
  readonly key: string;
  readonly terms: Terms;
  readonly token: number;
  readonly acquiredAtMs: number;
  readonly waitedMs: number;
  /** From the grant to the end: small enough a number to need no box of its own, which `expiresAtMs` would. */
  holdMs: number;
  /** `expired`: told about, but still ours (`onExpired: 'report'`). */
  state: 'held' | 'expired' | 'released' | 'lost' = 'held';
  queue: KeyQueue | undefined = undefined;
  #lost: AbortController | undefined;

  constructor(table: LockTable, key: string, terms: Terms, token: number, nowMs: number, waitedMs: number) {
    this.table = table;
    this.key = key;
    this.terms = terms;
    this.token = token;
    this.acquiredAtMs = nowMs;
    this.waitedMs = waitedMs;
    this.holdMs = terms.holdMs;
  }

  get mode(): LockMode {
    return this.terms.mode;
  }

  get owner(): string {
    return this.terms.owner;
  }

  get expiresAtMs(): number {
    return this.acquiredAtMs + this.holdMs;
  }

  get held(): boolean {
    if (this.state === 'held') return !this.table.isOver(this, this.table.clock.now());
    return this.state === 'expired';
  }

  get signal(): AbortSignal {
    // A lease that has ended while the timer is late must not look alive to somebody who asks only now.
    this.table.isOurs(this, this.table.clock.now());
    if (this.#lost === undefined) {
      this.#lost = new AbortController();
      if (this.state === 'lost') this.abort(new LockLostError(this.key));
    }
    return this.#lost.signal;
  }

  /** As the entry of its key: it is alone there. */
  holders(): HeldLock[] {
    return [this];
  }

  get waiters(): Iterable<Waiter> {
    return [];
  }

  assertHeld(): void {
    if (!this.held) throw new LockLostError(this.key);
  }

  extend(leaseMs: number = this.terms.leaseMs): void {
    checkNumber('leaseMs', leaseMs, 1);
    const nowMs = this.table.catchUp();
    if (!this.table.isOurs(this, nowMs)) throw new LockLostError(this.key);
    this.table.setExpiry(this, Math.max(this.expiresAtMs, nowMs + leaseMs));
  }

  release(): boolean {
    return this.table.release(this);
  }

  /** Tells the holder, if it ever asked to be told. */
  abort(error: LockLostError): void {
    this.#lost?.abort(error);
  }

  [Symbol.dispose](): void {
    this.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
  }
}
