import type { Clock } from '@chunks/base';
import { absent, type Base, checkForward, unpack } from './envelope.ts';
import type { Revision, VersionedStore, WriteResult } from './store.ts';

// How much the newest round trip counts in the average.
const NEWEST = 0.2;
// Versions are remembered to notice a store that goes back; that many keys cost about 100 kB.
const MAX_KEYS_SEEN = 1_024;

/** The store as the rest uses it: every call is cut in time, every record checked, the round trip measured. */
export class StoreCalls {
  /** Average of the calls that succeeded; undefined before the first. */
  roundTripMs: number | undefined;
  readonly #store: VersionedStore;
  readonly #clock: Clock;
  readonly #attemptTimeoutMs: number;
  // In the order of last use: the first is dropped first.
  readonly #seen: Map<string, number> = new Map();

  constructor(o: { store: VersionedStore; clock: Clock; attemptTimeoutMs: number }) {
    this.#store = o.store;
    this.#clock = o.clock;
    this.#attemptTimeoutMs = o.attemptTimeoutMs;
  }

  /** @throws what the store throws; StoreRegressedError | CorruptRecordError | InvalidStateError */
  async read(key: string, asOf: number): Promise<Base> {
    // Taken before the call: what is committed while it runs may rightly be missing in its answer.
    const lastVersion = this.#seen.get(key) ?? 0;
    const record = await this.#call((signal) => this.#store.read(key, { signal }));
    const base = record === undefined ? absent(asOf) : unpack(key, record, asOf);
    checkForward(key, base, lastVersion);
    this.saw(key, base.version);
    return base;
  }

  write(key: string, value: string, expected: Revision | undefined): Promise<WriteResult> {
    return this.#call((signal) => this.#store.write(key, value, expected, { signal }));
  }

  saw(key: string, version: number): void {
    const newest = Math.max(version, this.#seen.get(key) ?? 0);
    this.#seen.delete(key);
    if (newest > 0) this.#seen.set(key, newest);
    if (this.#seen.size > MAX_KEYS_SEEN) this.#seen.delete(this.#seen.keys().next().value as string);
  }

  #call<R>(ask: (signal: AbortSignal) => Promise<R>): Promise<R> {
    const controller = new AbortController();
    const startedMs = this.#clock.now();
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(this.#attemptTimeoutMs, () => {
        const error = new Error(`${this.#store.name} did not answer within attemptTimeoutMs ${this.#attemptTimeoutMs}`);
        reject(error);
        controller.abort(error);
      });
      // Through an async function, so that one that throws at once is a rejection too.
      (async () => ask(controller.signal))().then(
        (answer) => {
          cancel();
          const tookMs = this.#clock.now() - startedMs;
          this.roundTripMs = tookMs * NEWEST + (this.roundTripMs ?? tookMs) * (1 - NEWEST);
          resolve(answer);
        },
        (error) => {
          cancel();
          reject(error);
        },
      );
    });
  }
}
