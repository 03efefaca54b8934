import { onAbort } from '@chunks/base';
import { type Base, versionOf } from './envelope.ts';
import { Patience, untilAbort, type Waits } from './reading.ts';
import type { StoreCalls } from './store-calls.ts';
import type { Versioned } from './types.ts';

/** What a watch takes. */
export interface Watch<T> {
  readonly calls: StoreCalls;
  readonly waits: Waits;
  readonly key: string;
  /** The caller's: its reason is what the watch ends with. */
  readonly signal: AbortSignal | undefined;
  /** The state's, which closes: the watch just ends. */
  readonly closing: AbortSignal;
  /** At the first step. @throws when there can be no watch */
  begin(): void;
  /** Tries as often as `get` does. */
  read(signal: AbortSignal): Promise<Base>;
  open(base: Base): Promise<T>;
}

const ENDED = Symbol('ended');

/** The record, and then what becomes of it. Leaving it ends the store's watch also while it waits. */
export function watch<T>(o: Watch<T>): AsyncIterator<Versioned<T> | undefined> {
  const stop = new AbortController();
  const changes = follow(o, stop);
  return {
    next: () => changes.next(),
    return: () => {
      stop.abort(ENDED);
      return changes.return(undefined);
    },
  };
}

async function* follow<T>(o: Watch<T>, stop: AbortController): AsyncGenerator<Versioned<T> | undefined> {
  const { signal } = stop;
  o.begin();
  const off = [onAbort(o.signal, () => stop.abort(o.signal?.reason)), onAbort(o.closing, () => stop.abort(ENDED))];
  const patience = new Patience(o.key, o.waits);
  let last: Base | undefined;
  let isOpening = false;
  try {
    for (;;) {
      try {
        for await (const _ of o.calls.watch(o.key, signal)) {
          const base = await untilAbort(signal, o.read(signal));
          patience.renew();
          if (!isNews(base, last)) continue;
          last = base;
          const version = versionOf(base);
          isOpening = true;
          const record = version === 0 ? undefined : { state: await o.open(base), version };
          isOpening = false;
          yield record;
        }
        throw new Error('the store ended its watch');
      } catch (cause) {
        signal.throwIfAborted();
        // A schema that throws is no failure of the store: to try again would only pass its record over.
        if (isOpening) throw cause;
        await patience.bear(cause, signal);
      }
    }
  } catch (error) {
    if (error !== ENDED) throw error;
  } finally {
    for (const letGo of off) letGo();
    stop.abort(ENDED);
  }
}

/** Whether there is something that was not told. After a deletion versions may have begun anew, if it was purged. */
function isNews(base: Base, last: Base | undefined): boolean {
  if (last === undefined) return true;
  if (versionOf(last) === 0 || versionOf(base) === 0) return versionOf(last) !== versionOf(base);
  return base.version > last.version;
}
