import type { Clock, Histogram, Jitter } from '@chunks/base';
import type { VersionedStore } from './store.ts';

/**
 * `version` grows by 1 per commit. All updates of one coalesced commit get that commit's version and state: a
 * matching pair, fit for an ETag. An update that wrote nothing gets the pair it saw; 0 and `initial()` when the
 * record does not exist.
 */
export interface Versioned<T> {
  /** A copy of one's own: changing it changes nothing else. */
  state: T;
  version: number;
}

/** Second argument of an {@link Updater}. Good for that one call only. */
export interface UpdateContext<T> {
  /** 1 the first time. */
  readonly attempt: number;
  /** The version on which this attempt builds; 0 when the record does not exist. */
  readonly version: number;
  /** Aborts when the update is aborted or out of time. */
  readonly signal: AbortSignal;
  /** Instead of mutating the draft: this becomes the state. */
  replace(next: T): void;
  /** Leave the record as it is and resolve with this: `return context.skip(value)`. */
  skip<R>(result: R): R;
}

/**
 * Changes the draft and returns whatever the caller wants to know. It may run several times, each time on a fresh
 * draft: it should do nothing but look at the draft and change it. If it returns a promise, the draft is its own until
 * that settles; one that does so without being an async function may be called twice in one attempt, for only then is it
 * known that it must not share a draft.
 *
 * What it puts into the draft may be held elsewhere too: the updaters after it get a copy. Updaters of one key run in the
 * async context of the update that came first, so what it knows from an `AsyncLocalStorage` is to be read before `update`.
 */
export type Updater<T, R> = (draft: T, context: UpdateContext<T>) => R | PromiseLike<R>;

/** How one update behaves. */
export interface UpdateOptions {
  /** How often it may be tried, conflicts and failures of the store together. Minimum 1. @default 20 */
  maxAttempts?: number | undefined;
  /**
   * Over everything, in ms, the updater's own time included. Out of time before it was sent: UPDATE_TIMEOUT;
   * after: UPDATE_AMBIGUOUS. @default 30_000
   */
  timeoutMs?: number | undefined;
  /** Aborted before it was sent: leaves at once with the signal's reason. After: settles with the true outcome. */
  signal?: AbortSignal | undefined;
  /**
   * Passes only if the record has this version and nobody earlier in the same commit changed it; 0 = must not exist.
   * Else UPDATE_CONFLICT, and the updater is not called. @default any version
   */
  ifVersion?: number | undefined;
  /** An update that changes nothing writes nothing. Creating the record is a change. @default true */
  skipIfUnchanged?: boolean | undefined;
}

/** What an update came to. */
export interface Updated<T, R> extends Versioned<T> {
  result: R;
  /** How often it was tried. */
  attempts: number;
  /** The update's place in its commit, so that (version, index) is the total order; −1 when nothing was written for it. */
  index: number;
  /** How many updates this commit carried; 0 when nothing was written for it. */
  batched: number;
  /** True when no reply said so, but the update was found in the record. */
  recovered: boolean;
  replayed: false;
}

/** An update whose `idempotencyKey` was applied before: not applied again. */
export interface Replayed<T> extends Versioned<T> {
  /** What the updater returned when it was applied. */
  result: unknown;
  attempts: number;
  replayed: true;
}

/** Counts since the start; the histograms go on counting. */
export interface StateStats {
  /** Calls of `update` and `delete` that were accepted. */
  updates: number;
  /** Writes that were committed. */
  commits: number;
  /** Writes that were sent. */
  attempts: number;
  /** Writes that lost against another writer. */
  conflicts: number;
  /** Commits found by looking into the record, for want of a reply. */
  recovered: number;
  /** Updates that ended as UPDATE_AMBIGUOUS. */
  ambiguous: number;
  /** Updates that ended in any error, those that their own updater threw included. */
  rejected: number;
  /** Updates per commit. */
  batch: Histogram;
  /** From call to outcome, in ms, for accepted calls. */
  latency: Histogram;
}

/** What {@link createState} takes. */
export interface StateOptions<T extends object> {
  store: VersionedStore;
  /** The state of a record that does not exist yet. */
  initial: () => NoInfer<T>;
  /**
   * How a state becomes text and comes back. Your own one must refuse, by throwing, what it cannot carry.
   * @default JSON, and what JSON would lose is refused (LOSSY_STATE)
   */
  codec?: { encode(state: T): string; decode(text: string): unknown } | undefined;
  /**
   * Stored with each record: which shape its state has. `migrate[n]` takes a state of shape n to shape n + 1, and may
   * change the one it gets. Reads migrate what they give; the next write stores it. A newer shape, a missing step or
   * one that throws is INVALID_STATE, and the record is left untouched.
   *
   * Write to a record of a new shape only when no process with older code works on it any more.
   * @default shape 0
   */
  shape?: { version: number; migrate: Readonly<Record<number, (old: unknown) => unknown>> } | undefined;
  retry?:
    | {
        /**
         * First wait after a failure of the store, in ms, doubled each time. After the third conflict in a row likewise,
         * but in proportion to the time that the store takes for a call, which is then the first wait. @default 2
         */
        baseMs?: number | undefined;
        /** Longest wait in ms. @default 200 */
        maxMs?: number | undefined;
        /** @default 'full' */
        jitter?: Jitter | undefined;
        /**
         * A random wait of up to this many ms before a key's first attempt, for many processes woken by one event.
         * @default 0
         */
        spreadMs?: number | undefined;
      }
    | undefined;
  /** Updates of one key that arrive while another is under way share the next write. `false`: one write each, in turn. */
  coalesce?:
    | {
        /** Most updates in one write. @default 1_000 */
        maxBatch?: number | undefined;
        /** Most updates waiting in this process, all keys together; one more is PENDING_FULL. @default 100_000 */
        maxPending?: number | undefined;
      }
    | false
    | undefined;
  /** One store call, in ms; a call that never settles is cut here. @default 5_000 */
  attemptTimeoutMs?: number | undefined;
  /** What each record remembers. */
  remember?:
    | {
        /**
         * How many writers' last commits. A write without a reply that is older than all of them is UPDATE_AMBIGUOUS.
         * @default 64
         */
        commits?: number | undefined;
        /** How many idempotency keys. @default 256 */
        keys?: number | undefined;
        /** How much room those keys and their results may take, in bytes of JSON. @default 16_384 */
        maxBytes?: number | undefined;
      }
    | undefined;
  /** @default the system's */
  clock?: Clock | undefined;
  /** In [0, 1), for the waits. @default Math.random */
  random?: (() => number) | undefined;
}

/** Versioned records in a store, each changed by one update at a time. */
export interface State<T extends object> extends AsyncDisposable {
  /**
   * The record as the store has it now; undefined when there is none. Store failures are tried again up to 20 times
   * within 30 s. An abort leaves at once.
   * @throws STORE_UNAVAILABLE, STORE_REGRESSED, CORRUPT_RECORD, INVALID_STATE; STATE_CLOSED after `close`
   */
  get(key: string, o?: { signal?: AbortSignal | undefined }): Promise<Versioned<T> | undefined>;
  /**
   * Changes the record by the updater: applied exactly once, or an error says that it was not (or, UPDATE_AMBIGUOUS,
   * that this cannot be told). Updates of one key are applied in the order of the calls; those that come while a write
   * is under way share the next one. One that throws leaves the record as it was, rejects with that very error, and does
   * not touch the others.
   *
   * An abort before sending leaves at once with `signal.reason`; later, the true outcome decides.
   * @throws UPDATE_CONFLICT when others won `maxAttempts` times or `ifVersion` does not hold; UPDATE_TIMEOUT;
   * UPDATE_AMBIGUOUS; STORE_UNAVAILABLE; STORE_REGRESSED; CORRUPT_RECORD; INVALID_STATE; VALUE_TOO_LARGE; LOSSY_STATE;
   * PENDING_FULL; STATE_CLOSED; TypeError when the updater returns a new state instead of changing the draft (which an
   * empty object does not show: there it is taken for a result)
   * @example
   * const { version, result } = await state.update('batch-7', (draft) => {
   *   draft.done.push('video-1');
   *   return draft.done.length;
   * });
   */
  update<R>(
    key: string,
    updater: Updater<T, R>,
    o: UpdateOptions & {
      /**
       * Applied at most once while the record remembers it (`remember.keys`), whoever calls. The result must survive
       * being stored. An update that returns is written even if it changes nothing, else it could not be remembered.
       */
      idempotencyKey: string;
    },
  ): Promise<Updated<T, R> | Replayed<T>>;
  update<R>(key: string, updater: Updater<T, R>, o?: UpdateOptions): Promise<Updated<T, R>>;
  /**
   * Writes a tombstone: versions go on when the key is created again. In its turn with the key's updates, in a commit of
   * its own.
   * @returns whether there was a record
   * @throws as `update` does, with its defaults of attempts and time
   */
  delete(key: string, o?: { ifVersion?: number | undefined; signal?: AbortSignal | undefined }): Promise<boolean>;
  /**
   * Removes what deletions leave behind, where it is older than `olderThanMs` by this clock.
   *
   * A tombstone keeps versions going on and late writes out: give it longer than any process may still work on what it
   * knows from before, and never less than an hour (and the difference of the clocks). Who saw the record within the
   * last hour would else find versions begun anew, and report STORE_REGRESSED until that hour is over. A tombstone
   * written before deletions told their time counts as old.
   * @param o.olderThanMs Minimum 0.
   * @param o.signal Ends it with the signal's reason; what is removed by then stays removed.
   * @returns how many
   * @throws UNSUPPORTED when the store cannot `list` or `remove`; STORE_UNAVAILABLE; STATE_CLOSED
   * @example
   * await state.purge('batch-', { olderThanMs: 7 * 24 * 3_600_000 });
   */
  purge(prefix: string, o: { olderThanMs: number; signal?: AbortSignal | undefined }): Promise<number>;
  /**
   * Keys of existing records that begin with the prefix, each once, in the store's order. Nothing is asked before the
   * first is taken. Each candidate is read, 16 of them ahead, to leave the deleted ones out: as slow as so many `get`.
   * A record that cannot be read is listed. What is created or deleted meanwhile may be listed or not.
   * @param o.signal Ends it with the signal's reason.
   * @throws UNSUPPORTED when the store cannot `list`; STORE_UNAVAILABLE; STATE_CLOSED
   * @example
   * for await (const key of state.list('batch-')) console.log(key);
   */
  list(prefix: string, o?: { signal?: AbortSignal | undefined }): AsyncIterable<string>;
  /**
   * The record as it is, and then after each change, versions rising; changes that follow fast on each other may be
   * passed over. A deletion gives undefined once. Failures of the store are borne as by `get`. Leaving the loop ends
   * the store's watch, and so does `close`, which just ends the loop.
   * @param o.signal Ends it with the signal's reason.
   * @throws UNSUPPORTED when the store cannot `watch`; otherwise as `get` does
   * @example
   * for await (const record of state.watch('batch-7')) console.log(record?.version);
   */
  watch(key: string, o?: { signal?: AbortSignal | undefined }): AsyncIterable<Versioned<T> | undefined>;
  /** A copy of the counts so far. */
  stats(): StateStats;
  /** Takes nothing new, waits for what was accepted, then closes the store. */
  close(): Promise<void>;
}
