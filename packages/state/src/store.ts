/** Names one stored value of one key. Opaque, and never used twice: a key that returns to an old value gets a new one. */
export type Revision = string;

/** What a conditional write came to. */
export type WriteResult =
  | { revision: Revision }
  | {
      conflict: true;
      /** What stands there instead, if the store can say so in the same answer: saves the read that would follow. */
      current?: { value: string; revision: Revision } | undefined;
    };

/**
 * What an adapter writes: a key-value store with a compare-and-set. Calls are cut from above (`attemptTimeoutMs`) and
 * tried again from above: an adapter neither waits for better times nor sends anything twice.
 */
export interface VersionedStore {
  /** For messages. */
  readonly name: string;
  readonly capabilities: {
    /** Whether there is a `watch`, `list`, `remove`; what is missing is UNSUPPORTED. */
    watch: boolean;
    list: boolean;
    remove: boolean;
    /** What an acknowledged write survives: nothing, a crash of the process, or a power cut. */
    durable: 'memory' | 'async' | 'sync';
    /** Largest value in bytes of UTF-8. @default no limit */
    maxValueBytes?: number | undefined;
    /** Longest key in bytes of UTF-8, a lone surrogate counted as three. @default no limit */
    maxKeyBytes?: number | undefined;
  };
  /** The value as last written, never an older one; undefined when there is none. */
  read(key: string, o: { signal: AbortSignal }): Promise<{ value: string; revision: Revision } | undefined>;
  /**
   * Writes only if `expected` is still the key's revision, as one indivisible step; undefined = must not exist.
   * The value is a JSON document: no control character and no lone surrogate is in it. In the key anything may be.
   *
   * A throw means: outcome unknown, unless the error has `definite: true`: then surely nothing was written, now or later.
   *
   * A value over a limit that only the write brings to light: throw an error with `definite: true` and
   * `code: 'VALUE_TOO_LARGE'`, and with `limit`, the largest value it would have taken in bytes of UTF-8, where that is
   * known (any class, any further properties). The updates that do not fit are rejected with a ValueTooLargeError; the
   * others of the same commit are written without them. A limit known beforehand is `capabilities.maxValueBytes`.
   */
  write(key: string, value: string, expected: Revision | undefined, o: { signal: AbortSignal }): Promise<WriteResult>;
  /**
   * Takes the key away if `expected` is still its revision, as one indivisible step; false when it is not. No revision
   * that the key ever had comes back when it is created again. A throw means: outcome unknown.
   */
  remove?(key: string, expected: Revision, o: { signal: AbortSignal }): Promise<boolean>;
  /**
   * Keys that begin with the prefix, to the letter, each once, in any order, page by page where there are many. A key
   * that is there all the while is among them; one that comes or goes meanwhile may be. An abort ends it with the signal's
   * reason.
   */
  list?(prefix: string, o: { signal: AbortSignal }): AsyncIterable<string>;
  /**
   * Ticks once as soon as no later change can be missed, and then after each change of the key, whoever made it, this
   * very store object included; several changes may share a tick, and a tick without a change does no harm. Who needs
   * the record reads it after the tick. Throws when it can no longer tell (a lost connection): it is then begun anew.
   * An abort ends it with the signal's reason, also in the middle of waiting, and lets go of what it opened.
   */
  watch?(key: string, o: { signal: AbortSignal }): AsyncIterable<void>;
  /** Lets go of what the store itself opened; a later call opens it again. */
  close?(): Promise<void>;
}
