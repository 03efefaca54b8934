import { checkInteger, checkText } from '@chunks/base';
import { StaleTokenError } from './errors.ts';

// One count for all mutexes of the process: a new one must not start below what an old one gave for the same key.
let lastToken = 0;

/** Higher than every token before it; counted from the clock, so that it also grows from one process to the next. */
export function nextToken(nowMs: number): number {
  lastToken = Math.max(lastToken + 1, Math.floor(nowMs * 1000));
  return lastToken;
}

/**
 * Refuses a write whose holder has been superseded since its token was given.
 * @param storedToken the token stored with the value, undefined when there is none yet
 * @param token the writer's own
 * @throws StaleTokenError when `token` is lower than `storedToken`.
 * @throws TypeError | RangeError when a token is no integer ≥ 0.
 * @example
 * const record = await store.get(key);
 * assertFresh(key, record?.token, lock.token);
 * await store.put(key, { value, token: lock.token }); // in the same transaction
 */
export function assertFresh(key: string, storedToken: number | undefined, token: number): void {
  checkText('key', key);
  checkInteger('token', token, 0);
  if (storedToken === undefined) return;
  if (token < checkInteger('storedToken', storedToken, 0)) throw new StaleTokenError(key, token, storedToken);
}

/**
 * Remembers the highest token seen per key, where what the locks protect lives in this process.
 * It grows by one entry a key: `forget` is the caller's decision.
 * @example
 * const guard = new FencingGuard();
 * guard.admit(lock.key, lock.token); // throws for a holder that was superseded
 */
export class FencingGuard {
  readonly #highest = new Map<string, number>();

  /**
   * Equal tokens pass: one holder may write many times.
   * @throws StaleTokenError when a higher token was admitted for this key.
   * @throws TypeError | RangeError when `key` is empty or `token` no integer ≥ 0.
   */
  admit(key: string, token: number): void {
    assertFresh(key, this.#highest.get(key), token);
    this.#highest.set(key, token);
  }

  /** From here on any token is fresh for this key. */
  forget(key: string): void {
    this.#highest.delete(key);
  }
}
