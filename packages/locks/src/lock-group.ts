import { onAbort } from '@chunks/base';
import type { Lock, LockGroup } from './types.ts';

/** Members of one fate. When one is lost, the group's signal aborts while that key is still closed, then the others go. */
export class JointLocks<L extends Lock> implements LockGroup<L> {
  readonly locks: readonly L[];
  readonly #lost = new AbortController();

  constructor(locks: readonly L[]) {
    this.locks = locks;
    // A short lease may have ended while the group was being put together.
    for (const { signal } of locks) onAbort(signal, () => this.#lose(signal.reason));
  }

  get(key: string): L | undefined {
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
    await Promise.all(this.locks.map(async (lock) => lock.extend(leaseMs)));
  }

  async release(): Promise<boolean> {
    const releases = this.locks.map(async (lock) => lock.release());
    // No early end: each member has its answer, whatever became of the one before.
    await Promise.allSettled(releases);
    return (await Promise.all(releases)).every((wasOurs) => wasOurs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What a store out of reach did not take back has been told by on('lost').
    await this.release().catch(() => undefined);
  }

  #lose(reason: unknown): void {
    this.#lost.abort(reason);
    void this[Symbol.asyncDispose]();
  }
}
