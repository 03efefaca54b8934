/** A value, or a promise of it. */
export type MaybePromise<T> = T | Promise<T>;

/** Half-open, in bytes. */
export interface ByteRange {
  readonly startByte: number;
  readonly endByte: number;
}

/** Half-open, in chunk indices. */
export interface ChunkSpan {
  readonly firstChunk: number;
  readonly endChunk: number;
}

/** Any byte input: a buffer, a web stream, a Node Readable, a generator. */
export type ByteSource = Uint8Array | AsyncIterable<Uint8Array>;

/** Bytes in an ArrayBuffer of their own: what crypto.subtle, fetch bodies, Blob and KV.put accept. */
export type OwnBytes = Uint8Array<ArrayBuffer>;

/** A user's own lock: run the task alone for that key. `locks.run.bind(locks)` fits. */
export type Exclusively = <T>(key: string, task: () => Promise<T>) => Promise<T>;
