import type { Due } from './agenda.ts';
import type { HeldLock } from './held-lock.ts';
import type { KeyQueue } from './key-queue.ts';
import type { LockTable } from './lock-table.ts';
import type { Terms } from './settings.ts';

/** One attempt that waits. It stands in its key's queue for as long as its promise is open, and not a moment longer. */
export class Waiter implements Due {
  previous: Waiter | undefined = undefined;
  next: Waiter | undefined = undefined;
  place = -1;
  readonly queue: KeyQueue;
  readonly terms: Terms;
  readonly sinceMs: number;
  readonly resolve: (lock: HeldLock) => void;
  readonly reject: (reason: unknown) => void;

  constructor(
    queue: KeyQueue,
    terms: Terms,
    sinceMs: number,
    resolve: (lock: HeldLock) => void,
    reject: (reason: unknown) => void,
  ) {
    this.queue = queue;
    this.terms = terms;
    this.sinceMs = sinceMs;
    this.resolve = resolve;
    this.reject = reject;
  }

  get table(): LockTable {
    return this.queue.table;
  }

  /** The waiter itself listens to its signal: no closure a wait. */
  handleEvent(): void {
    this.table.abort(this);
  }

  /** Nothing leads to it any more. */
  leave(): void {
    const { table, waiters } = this.queue;
    waiters.remove(this);
    table.waiting--;
    table.agenda.remove(this);
    this.terms.signal?.removeEventListener('abort', this);
    this.terms.claim?.left(this);
  }

  late(nowMs: number): void {
    this.table.timeOut(this, nowMs);
  }
}
