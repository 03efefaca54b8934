import { onAbort } from '@chunks/base';
import type { Base } from './envelope.ts';
import { isStateError, StoreUnavailableError } from './errors.ts';
import { persist, untilAbort, type Waits } from './reading.ts';
import type { StoreCalls } from './store-calls.ts';

// Records read ahead of whoever takes the keys, to hide the round trips.
const AHEAD = 16;

/** What walks over a store's keys take. */
export interface Walk {
  readonly calls: StoreCalls;
  readonly waits: Waits;
  readonly prefix: string;
  /** Aborted by the caller, or because the state closes. */
  readonly signals: readonly (AbortSignal | undefined)[];
}

/** Keys of records that are there and not deleted, as the store gives them. One that cannot be read is there. */
export function list(o: Walk): AsyncGenerator<string> {
  return walk(o, async (key, signal) => {
    try {
      const base = await peek(o, key, signal);
      return base.json === undefined ? undefined : key;
    } catch (error) {
      if (isStateError(error) && !error.retryable) return key;
      throw error;
    }
  });
}

/** Removes tombstones from before that time. @returns how many */
export async function purge(o: Walk & { readonly beforeMs: number }): Promise<number> {
  let count = 0;
  const removed = walk(o, async (key, signal) => {
    let sent = false;
    const ask = async (): Promise<boolean> => {
      const { json, deletedAtMs = 0, revision } = await o.calls.peek(key);
      // The answer to an earlier try may have been lost.
      if (revision === undefined) return sent;
      if (json !== undefined || deletedAtMs > o.beforeMs) return false;
      sent = true;
      const done = await o.calls.remove(key, revision);
      if (done) o.calls.forget(key);
      return done;
    };
    try {
      return (await persist({ key, waits: o.waits, signal, ask })) || undefined;
    } catch (error) {
      // What cannot be read is nobody's tombstone.
      if (isStateError(error) && !error.retryable) return undefined;
      throw error;
    }
  });
  for await (const _ of removed) count++;
  return count;
}

const peek = (o: Walk, key: string, signal: AbortSignal): Promise<Base> =>
  persist({ key, waits: o.waits, signal, ask: () => o.calls.peek(key) });

/** What `take` makes of each key, in order; undefined is passed over. Reads no further ahead than it must. */
async function* walk<R>(
  o: Walk,
  take: (key: string, signal: AbortSignal) => Promise<R | undefined>,
): AsyncGenerator<R> {
  const stop = new AbortController();
  const { signal } = stop;
  const off = o.signals.map((other) => onAbort(other, () => stop.abort(other?.reason)));
  const keys = o.calls.list(o.prefix, signal);
  const under: Promise<R | undefined>[] = [];
  try {
    for (let ended = false; !ended || under.length > 0; ) {
      if (ended || under.length === AHEAD) {
        const taken = await untilAbort(signal, under.shift() as Promise<R | undefined>);
        if (taken !== undefined) yield taken;
      } else {
        const next = await untilAbort(signal, keys.next());
        if (next.done) ended = true;
        else {
          const taking = take(next.value, signal);
          // Nobody may come for it.
          taking.catch(() => undefined);
          under.push(taking);
        }
      }
    }
  } catch (cause) {
    if (signal.aborted) throw signal.reason;
    if (isStateError(cause)) throw cause;
    throw new StoreUnavailableError({ key: o.prefix, attempts: 1, cause });
  } finally {
    for (const letGo of off) letGo();
    stop.abort();
    void keys.return(undefined);
  }
}
