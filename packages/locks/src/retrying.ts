import { LockTimeoutError } from './errors.ts';
import { checkRetry } from './settings.ts';
import type { LockRetry } from './types.ts';

/**
 * Starts over after a timeout, each time at the tail of the queue.
 * @param pause waits between two attempts; when it rejects, so does the whole
 */
export async function retrying<T>(
  retry: LockRetry,
  random: () => number,
  pause: (ms: number) => Promise<void>,
  attempt: () => Promise<T>,
): Promise<T> {
  const { attempts, backoff } = checkRetry(retry);
  for (let made = 1; ; made++) {
    try {
      return await attempt();
    } catch (error) {
      if (made >= attempts || !(error instanceof LockTimeoutError)) throw error;
    }
    await pause(backoff.delayMs(made, random));
  }
}
