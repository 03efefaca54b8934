import { checkInteger, checkNumber, exponentialBackoff } from '@chunks/base';
import { LockTimeoutError } from './errors.ts';
import type { LockRetry } from './types.ts';

/**
 * Starts over after a timeout, each time at the tail of the queue.
 * @throws TypeError | RangeError naming option, rule and value.
 * @param pause waits between two attempts; when it rejects, so does the whole
 */
export async function retrying<T>(
  retry: LockRetry,
  random: () => number,
  pause: (ms: number) => Promise<void>,
  attempt: () => Promise<T>,
): Promise<T> {
  const attempts = checkInteger('retry.attempts', retry.attempts, 1);
  const backoff = exponentialBackoff({
    baseMs: checkNumber('retry.baseMs', retry.baseMs ?? 50, 0),
    maxMs: checkNumber('retry.maxMs', retry.maxMs ?? 2_000, 0),
    jitter: 'full',
  });
  for (let made = 1; ; made++) {
    try {
      return await attempt();
    } catch (error) {
      if (made >= attempts || !(error instanceof LockTimeoutError)) throw error;
    }
    await pause(backoff.delayMs(made, random));
  }
}
