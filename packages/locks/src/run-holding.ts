import type { DeadlockClaim } from './deadlock-detector.ts';
import { LockLostError } from './errors.ts';
import type { Lock, LockGroup } from './types.ts';

/**
 * Runs the task, then releases, whatever the task did. A task whose lock was lost under it is waited for all the
 * same, and its outcome travels in the LockLostError: nobody may take it for done under the lock.
 * @param claim where a detector is to know what the task asks for
 */
export async function runHolding<L extends Lock | LockGroup, T>(
  handle: L,
  task: (handle: L) => T | PromiseLike<T>,
  claim?: DeadlockClaim,
): Promise<T> {
  let outcome: { value: T } | { cause: unknown };
  try {
    outcome = { value: await (claim === undefined ? task(handle) : claim.enter(() => task(handle))) };
  } catch (cause) {
    outcome = { cause };
  }
  const release = handle.release();
  // A lock of this process answers at once: no turn of the queue is lost on it. A store out of reach takes nothing from
  // what was done under the lock: the failure has been told by on('lost'), and the lease ends by itself.
  const wasOurs = typeof release === 'boolean' ? release : await release.catch(() => true);
  // `false` may also mean that the task has released already, which is its right.
  if (!wasOurs && handle.signal.aborted) {
    throw new LockLostError((handle.signal.reason as LockLostError).key, outcome);
  }
  if ('cause' in outcome) throw outcome.cause;
  return outcome.value;
}
