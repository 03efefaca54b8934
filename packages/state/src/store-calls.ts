import type { Clock } from '@chunks/base';
import { absent, type Base, type Contents, unpack } from './envelope.ts';
import { StoreRegressedError, UnsupportedError } from './errors.ts';
import { LazyAbort } from './lazy-abort.ts';
import { lazily } from './lazy-property.ts';
import { untilAbort } from './reading.ts';
import type { Revision, VersionedStore, WriteResult } from './store.ts';

// How much the newest round trip counts in the average.
const NEWEST = 0.2;
// Versions are remembered to notice a store that goes back; that many keys cost about 100 kB.
const MAX_KEYS_SEEN = 1_024;
// After that a key may have been deleted and its tombstone purged: what was seen says nothing any more.
const SEEN_FOR_MS = 3_600_000;

/** The newest version seen of a key. */
interface Seen {
  readonly version: number;
  readonly deleted: boolean;
  /** A tombstone as old as this may be purged. */
  readonly atMs: number;
}

type Capability = 'list' | 'remove' | 'watch';

/** The store as the rest uses it: every call is cut in time, every record checked, the round trip measured. */
export class StoreCalls {
  /** Average of the calls that succeeded; undefined before the first. */
  roundTripMs: number | undefined;
  // What it has not is asked for only after `demand`.
  readonly #store: Required<VersionedStore>;
  readonly #clock: Clock;
  readonly #attemptTimeoutMs: number;
  // In the order of last use: the first is dropped first.
  readonly #seen: Map<string, Seen> = new Map();

  constructor(o: { store: VersionedStore; clock: Clock; attemptTimeoutMs: number }) {
    this.#store = o.store as Required<VersionedStore>;
    this.#clock = o.clock;
    this.#attemptTimeoutMs = o.attemptTimeoutMs;
  }

  /** @throws what the store throws; StoreRegressedError | CorruptRecordError | InvalidStateError */
  async read(key: string, asOf: number): Promise<Base> {
    // Taken before the call: what is committed while it runs may rightly be missing in its answer.
    const seen = this.#seen.get(key);
    const base = await this.peek(key, asOf);
    this.#checkForward(key, base, seen);
    // What came to light meanwhile is newer.
    if (this.#seen.get(key) === seen) this.#seen.delete(key);
    this.saw(key, base);
    return base;
  }

  /** A record whatever was seen before, and without remembering it. */
  async peek(key: string, asOf = 0): Promise<Base> {
    const record = await this.#measured((o) => this.#store.read(key, o));
    return record === undefined ? absent(asOf) : unpack(key, record, asOf);
  }

  write(key: string, value: string, expected: Revision | undefined): Promise<WriteResult> {
    return this.#measured((o) => this.#store.write(key, value, expected, o));
  }

  remove(key: string, expected: Revision): Promise<boolean> {
    return this.#cut((o) => this.#store.remove(key, expected, o));
  }

  /** Each page within `attemptTimeoutMs`. */
  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<string> {
    const keys = this.#store.list(prefix, { signal })[Symbol.asyncIterator]();
    try {
      for (;;) {
        const { done, value } = await this.#cut(() => keys.next());
        if (done) return;
        yield value;
      }
    } finally {
      leave(keys);
    }
  }

  /** However long a tick takes; ends with the signal's reason, also where the store does not. */
  async *watch(key: string, signal: AbortSignal): AsyncGenerator<void> {
    const ticks = this.#store.watch(key, { signal })[Symbol.asyncIterator]();
    try {
      while (!(await untilAbort(signal, ticks.next())).done) yield;
    } finally {
      leave(ticks);
    }
  }

  /** @throws UnsupportedError */
  demand(key: string, ...capabilities: readonly Capability[]): void {
    for (const capability of capabilities) {
      if (this.#store.capabilities[capability] && this.#store[capability] !== undefined) continue;
      throw new UnsupportedError({ key, capability, store: this.#store.name });
    }
  }

  saw(key: string, { version, json, deletedAtMs = 0 }: Contents): void {
    const before = this.#seen.get(key);
    if (version < (before?.version ?? 1)) return;
    const deleted = json === undefined;
    this.#seen.delete(key);
    this.#seen.set(key, { version, deleted, atMs: deleted ? deletedAtMs : this.#clock.now() });
    if (this.#seen.size > MAX_KEYS_SEEN) this.forget(this.#seen.keys().next().value as string);
  }

  forget(key: string): void {
    this.#seen.delete(key);
  }

  #checkForward(key: string, { version, revision }: Base, seen: Seen | undefined): void {
    if (seen === undefined || version >= seen.version) return;
    const purged = seen.deleted && revision === undefined;
    if (purged || this.#clock.now() - seen.atMs >= SEEN_FOR_MS) return;
    throw new StoreRegressedError({ key, version, lastVersion: seen.version });
  }

  async #measured<R>(ask: (o: { signal: AbortSignal }) => Promise<R>): Promise<R> {
    const startedMs = this.#clock.now();
    const answer = await this.#cut(ask);
    // A wall clock may be set back meanwhile, and nobody waits less than nothing.
    const tookMs = Math.max(0, this.#clock.now() - startedMs);
    this.roundTripMs = tookMs * NEWEST + (this.roundTripMs ?? tookMs) * (1 - NEWEST);
    return answer;
  }

  #cut<R>(ask: (o: { signal: AbortSignal }) => Promise<R>): Promise<R> {
    const late = new LazyAbort();
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(this.#attemptTimeoutMs, () => {
        const error = new Error(`${this.#store.name} did not answer within attemptTimeoutMs ${this.#attemptTimeoutMs}`);
        reject(error);
        late.abort(error);
      });
      const fail = (error: unknown): void => {
        cancel();
        reject(error);
      };
      try {
        // A signal costs more than all the rest of a call, and few stores look at it.
        const o = lazily({}, 'signal', () => late.signal);
        ask(o).then((answer) => {
          cancel();
          resolve(answer);
        }, fail);
      } catch (error) {
        fail(error);
      }
    });
  }
}

/** Lets an iterator go without waiting for it: one that hangs would hold up whoever leaves. */
function leave(iterator: AsyncIterator<unknown>): void {
  Promise.resolve(iterator.return?.()).catch(() => undefined);
}
