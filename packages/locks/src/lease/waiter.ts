import type { Due } from '../agenda.ts';
import type { Terms } from '../settings.ts';
import type { LeasedHold } from './leased-hold.ts';
import type { LeaseLine } from './line.ts';
import type { LeaseTable } from './table.ts';

/** `wait`: until granted. `once`: LOCK_TIMEOUT instead of a wait. `try`: nothing at all instead of one. */
export type Patience = 'wait' | 'once' | 'try';

/** One attempt that was not granted yet. It stands in its key's line for as long as its promise is open. */
export class LeaseWaiter implements Due {
  previous: LeaseWaiter | undefined = undefined;
  next: LeaseWaiter | undefined = undefined;
  place = -1;
  /** Told to wait: before that it is only on its way to the store. */
  isQueued = false;
  readonly queue: LeaseLine;
  readonly terms: Terms;
  readonly sinceMs: number;
  readonly patience: Patience;
  readonly resolve: (lock: LeasedHold | undefined) => void;
  readonly reject: (reason: unknown) => void;

  constructor(
    queue: LeaseLine,
    terms: Terms,
    sinceMs: number,
    patience: Patience,
    resolve: (lock: LeasedHold | undefined) => void,
    reject: (reason: unknown) => void,
  ) {
    this.queue = queue;
    this.terms = terms;
    this.sinceMs = sinceMs;
    this.patience = patience;
    this.resolve = resolve;
    this.reject = reject;
  }

  get table(): LeaseTable {
    return this.queue.table;
  }

  /** The waiter itself listens to its signal: no closure a wait. */
  handleEvent(): void {
    this.queue.abort(this);
  }

  leave(): void {
    this.queue.unlink(this);
  }

  late(nowMs: number): void {
    this.queue.timeOut(this, nowMs);
  }
}
