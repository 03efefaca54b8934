/**
 * What an event log is kept in: a key-value store without a compare-and-set. It may be slow to show: a `get` or a
 * `list` may answer, key by key, as things stood up to `graceMs` ago, absence included.
 */
export interface AppendStore {
  /** For messages. */
  readonly name: string;
  /**
   * Writes, whatever stands there. The log never puts two values under one key. Resolves when the value is kept.
   * A throw means: outcome unknown, unless the error has `definite: true`: then surely nothing was written.
   */
  put(key: string, value: string, o?: { signal?: AbortSignal | undefined }): Promise<void>;
  get(key: string): Promise<string | undefined>;
  /** One page of the keys that begin with the prefix, in any order; `cursor` leads to the next page. */
  list(prefix: string, cursor?: string | undefined): Promise<{ keys: string[]; cursor?: string | undefined }>;
  /** Also when there is no such key. */
  delete(key: string): Promise<void>;
}
