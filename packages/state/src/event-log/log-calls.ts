import { type Backoff, type Clock, exponentialBackoff } from '@chunks/base';
import { isStateError, StoreUnavailableError, UpdateAmbiguousError } from '../errors.ts';
import type { AppendStore } from './append-store.ts';

const MAX_ATTEMPTS = 10;
const ATTEMPT_TIMEOUT_MS = 10_000;
const TIMEOUT_MS = 30_000;
// As many calls at once: more would only wait in line inside a client.
const WIDTH = 32;

/** Waits between two calls for the same thing. Nobody contends for it: no jitter. */
export const patience: Backoff = exponentialBackoff({ baseMs: 100, maxMs: 5_000, jitter: 'none' });

/** Work on all items, a limited number at once; the results in the order of the items. The first failure ends it. */
export async function onEach<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const i = next++;
      try {
        results[i] = await work(items[i] as T);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: WIDTH }, lane));
  return results;
}

/** Rejects with what `late` makes when the time is over first; the signal tells the work. */
export function within<T>(
  clock: Clock,
  ms: number,
  late: () => unknown,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => {
      const error = late();
      reject(error);
      controller.abort(error);
    });
    // Through an async function, so that one that throws at once is a rejection too.
    (async () => work(controller.signal))().then(resolve, reject).finally(cancel);
  });
}

/** The store as the log uses it: every call is cut in time and, since all of them may be repeated, tried again. */
export class LogCalls {
  readonly #store: AppendStore;
  readonly #clock: Clock;

  constructor(store: AppendStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  get(key: string, storeKey: string, signal?: AbortSignal): Promise<string | undefined> {
    return this.#try(key, () => this.#store.get(storeKey), { signal });
  }

  /** What follows the prefix in all keys that begin with it. */
  async list(key: string, prefix: string, signal?: AbortSignal): Promise<Set<string>> {
    const names = new Set<string>();
    let cursor: string | undefined;
    do {
      const page = await this.#try(key, () => this.#store.list(prefix, cursor), { signal });
      for (const storeKey of page.keys) names.add(storeKey.slice(prefix.length));
      cursor = page.cursor;
    } while (cursor !== undefined);
    return names;
  }

  /** @param appends whether it has to be said when nobody can tell if it was written */
  put(
    key: string,
    storeKey: string,
    value: string,
    o: { signal?: AbortSignal | undefined; appends?: boolean } = {},
  ): Promise<void> {
    return this.#try(key, (signal) => this.#store.put(storeKey, value, { signal }), o);
  }

  delete(key: string, storeKey: string): Promise<void> {
    return this.#try(key, () => this.#store.delete(storeKey));
  }

  async #try<R>(
    key: string,
    ask: (signal: AbortSignal) => Promise<R>,
    o: { signal?: AbortSignal | undefined; appends?: boolean } = {},
  ): Promise<R> {
    const startedMs = this.#clock.now();
    let isUnknown = false;
    for (let attempts = 1; ; attempts++) {
      o.signal?.throwIfAborted();
      try {
        return await within(this.#clock, ATTEMPT_TIMEOUT_MS, () => this.#silence(), ask);
      } catch (cause) {
        if (isStateError(cause)) throw cause;
        isUnknown ||= (cause as { definite?: unknown } | undefined)?.definite !== true;
        // By time too: after a long sleep of the machine, what was appended first may be folded and forgotten by now.
        if (attempts === MAX_ATTEMPTS || this.#clock.now() - startedMs >= TIMEOUT_MS) {
          throw o.appends && isUnknown
            ? new UpdateAmbiguousError({ key, attempts, lastVersion: 0, cause })
            : new StoreUnavailableError({ key, attempts, cause });
        }
        await this.#clock.sleep(
          patience.delayMs(attempts, () => 0),
          o.signal,
        );
      }
    }
  }

  #silence(): Error {
    return new Error(`${this.#store.name} did not answer within ${ATTEMPT_TIMEOUT_MS} ms`);
  }
}
