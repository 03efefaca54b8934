import { type Backoff, type Clock, onAbort } from '@chunks/base';
import { isStateError, StoreUnavailableError } from './errors.ts';

/** Most attempts of an update, unless it says otherwise, and of everything else. */
export const MAX_ATTEMPTS = 20;
/** Likewise, the time for all attempts together. */
export const TIMEOUT_MS = 30_000;

/** Between attempts. */
export interface Waits {
  readonly clock: Clock;
  readonly random: () => number;
  readonly backoff: Backoff;
}

/** The promise's outcome, or the signal's reason as soon as it aborts. */
export function untilAbort<R>(signal: AbortSignal | undefined, promise: Promise<R>): Promise<R> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const off = onAbort(signal, () => reject(signal.reason));
    promise.then(resolve, reject).finally(off);
  });
}

/** Failures one after the other, up to the most that is borne. */
export class Patience {
  readonly #key: string;
  readonly #waits: Waits;
  #attempts = 0;
  /** undefined: all was well when last heard of, however long ago that is. */
  #sinceMs: number | undefined;

  constructor(key: string, waits: Waits) {
    this.#key = key;
    this.#waits = waits;
    this.#sinceMs = waits.clock.now();
  }

  /** All is well again. */
  renew(): void {
    this.#attempts = 0;
    this.#sinceMs = undefined;
  }

  /** Waits before the next attempt. @throws StoreUnavailableError when there is none left; what is no store's failure */
  async bear(cause: unknown, signal: AbortSignal | undefined): Promise<void> {
    if (isStateError(cause)) throw cause;
    const { clock, random, backoff } = this.#waits;
    const attempts = ++this.#attempts;
    this.#sinceMs ??= clock.now();
    const late = clock.now() - this.#sinceMs >= TIMEOUT_MS;
    if (late || attempts === MAX_ATTEMPTS) throw new StoreUnavailableError({ key: this.#key, attempts, cause });
    await clock.sleep(backoff.delayMs(attempts, random), signal);
  }
}

/** Asks until the store answers, at most 20 times within 30 s. An abort ends the waits between. */
export async function persist<R>(o: {
  readonly key: string;
  readonly waits: Waits;
  readonly signal: AbortSignal | undefined;
  readonly ask: () => Promise<R>;
}): Promise<R> {
  const patience = new Patience(o.key, o.waits);
  for (;;) {
    try {
      return await o.ask();
    } catch (cause) {
      await patience.bear(cause, o.signal);
    }
  }
}
