import { onAbort } from '@chunks/base';
import type { LocalLock, LockGroup } from './types.ts';

/** Members of one fate. When one is lost, the group's signal aborts while that key is still closed, then the others go. */
export class JointLocks implements LockGroup<LocalLock> {
  readonly locks: readonly LocalLock[];
  readonly #lost = new AbortController();

  constructor(locks: readonly LocalLock[]) {
    this.locks = locks;
    // A short lease may have ended while the group was being put together.
    for (const { signal } of locks) onAbort(signal, () => this.#lose(signal.reason));
  }

  get(key: string): LocalLock | undefined {
    return this.locks.find((lock) => lock.key === key);
  }

  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  get held(): boolean {
    return this.locks.every((lock) => lock.held);
  }

  assertHeld(): void {
    for (const lock of this.locks) lock.assertHeld();
  }

  async extend(leaseMs?: number | undefined): Promise<void> {
    for (const lock of this.locks) lock.extend(leaseMs);
  }

  async release(): Promise<boolean> {
    return this.#releaseAll();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#releaseAll();
  }

  #lose(reason: unknown): void {
    this.#lost.abort(reason);
    this.#releaseAll();
  }

  // No early end: each member is released, whatever became of the one before.
  #releaseAll(): boolean {
    return this.locks.map((lock) => lock.release()).every(Boolean);
  }
}
