import { LockLostError } from '../errors.ts';
import type { Terms } from '../settings.ts';
import type { LeasedLock, LockMode } from '../types.ts';
import type { KeyLease } from './key-lease.ts';

/** A granted lock: one of those who are in under a key's lease. It ends with that lease, or before it. */
export class LeasedHold implements LeasedLock {
  readonly lease: KeyLease;
  readonly terms: Terms;
  readonly token: number;
  readonly acquiredAtMs: number;
  readonly waitedMs: number;
  /** The hold's own end, however long the lease is renewed. */
  endsAtMs: number;
  state: 'held' | 'released' | 'lost' = 'held';
  #lost: AbortController | undefined;
  #reason: LockLostError | undefined;

  constructor(lease: KeyLease, terms: Terms, token: number, nowMs: number, waitedMs: number) {
    this.lease = lease;
    this.terms = terms;
    this.token = token;
    this.acquiredAtMs = nowMs;
    this.waitedMs = waitedMs;
    this.endsAtMs = nowMs + terms.holdMs;
  }

  get key(): string {
    return this.lease.line.key;
  }

  get mode(): LockMode {
    return this.terms.mode;
  }

  get owner(): string {
    return this.terms.owner;
  }

  get expiresAtMs(): number {
    return Math.min(this.endsAtMs, this.lease.deadlineMs);
  }

  get held(): boolean {
    return this.state === 'held' && this.lease.line.table.clock.now() < this.expiresAtMs;
  }

  get signal(): AbortSignal {
    // A lease that has ended while the timer is late must not look alive to somebody who asks only now.
    this.lease.keeps(this);
    if (this.#lost === undefined) {
      this.#lost = new AbortController();
      if (this.#reason !== undefined) this.#lost.abort(this.#reason);
    }
    return this.#lost.signal;
  }

  assertHeld(): void {
    if (!this.held) throw new LockLostError(this.key);
  }

  extend(leaseMs: number = this.terms.leaseMs): Promise<void> {
    return this.lease.extend(this, leaseMs);
  }

  release(): Promise<boolean> {
    return this.lease.line.release(this);
  }

  /** Tells the holder, if it ever asks to be told. */
  lose(reason: LockLostError): void {
    this.state = 'lost';
    this.#reason = reason;
    this.#lost?.abort(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A store out of reach has been told by on('lost'); a block that is being left has nobody to tell.
    await this.release().catch(() => undefined);
  }
}
