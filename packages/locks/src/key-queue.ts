import { LinkedList } from '@chunks/base';
import type { HeldLock } from './held-lock.ts';
import type { LockTable } from './lock-table.ts';
import type { LockMode } from './types.ts';
import type { Waiter } from './waiter.ts';

/** A key that more than one attempt is interested in: who is in, and who waits. */
export class KeyQueue {
  readonly table: LockTable;
  readonly key: string;
  readonly waiters: LinkedList<Waiter> = new LinkedList<Waiter>();
  // The only holder, or one of several: most queues never need the set.
  #holder: HeldLock | undefined;
  #others: Set<HeldLock> | undefined;

  constructor(table: LockTable, key: string) {
    this.table = table;
    this.key = key;
  }

  /** One of those who are in. */
  get holder(): HeldLock | undefined {
    return this.#holder;
  }

  /** Whether those who are in would let this one join, whoever waits. */
  admits(mode: LockMode): boolean {
    return this.#holder === undefined || (mode === 'shared' && this.#holder.mode === 'shared');
  }

  enter(lock: HeldLock): void {
    lock.queue = this;
    if (this.#holder === undefined) this.#holder = lock;
    else (this.#others ??= new Set()).add(lock);
  }

  leave(lock: HeldLock): void {
    if (this.#holder !== lock) {
      this.#others?.delete(lock);
      return;
    }
    this.#holder = this.#others?.values().next().value;
    if (this.#holder !== undefined) this.#others?.delete(this.#holder);
  }

  /** Those who are in, as of now. */
  holders(): HeldLock[] {
    return this.#holder === undefined ? [] : [this.#holder, ...(this.#others ?? [])];
  }
}
