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

/** What an adapter writes: a key-value store with a compare-and-set. */
export interface VersionedStore {
  /** For messages. */
  readonly name: string;
  readonly capabilities: {
    watch: boolean;
    list: boolean;
    remove: boolean;
    /** What an acknowledged write survives: nothing, a crash of the process, or a power cut. */
    durable: 'memory' | 'async' | 'sync';
    /** Largest value in bytes of UTF-8. @default no limit */
    maxValueBytes?: number | undefined;
  };
  /** The value as last written, never an older one; undefined when there is none. */
  read(key: string, o: { signal: AbortSignal }): Promise<{ value: string; revision: Revision } | undefined>;
  /**
   * Writes only if `expected` is still the key's revision, as one indivisible step; undefined = must not exist.
   * The value is a JSON document: no control character and no lone surrogate is in it. In the key anything may be.
   * A throw means: outcome unknown, unless the error has `definite: true`: then surely nothing was written.
   */
  write(key: string, value: string, expected: Revision | undefined, o: { signal: AbortSignal }): Promise<WriteResult>;
  /** Takes the key away if `expected` is still its revision. */
  remove?(key: string, expected: Revision, o: { signal: AbortSignal }): Promise<boolean>;
  /** Keys that begin with the prefix. */
  list?(prefix: string, o: { signal: AbortSignal }): AsyncIterable<string>;
  /** Ticks whenever the key may have changed. */
  watch?(key: string, o: { signal: AbortSignal }): AsyncIterable<void>;
  /** Lets go of what the store itself opened; a later call opens it again. */
  close?(): Promise<void>;
}
