/** What a run of bytes must hash to. */
export interface Digest {
  readonly algorithm: 'crc32' | 'sha256' | 'sha1' | 'md5';
  /** Lower or upper case; 8 digits for crc32. */
  readonly hex: string;
}

/** One chunk of a file. Its place comes from `index` alone, never from a name or from the order of a listing. */
export interface ChunkInfo {
  /** 0, 1, 2, … without a gap. */
  readonly index: number;
  /** In bytes; 0 is legal. */
  readonly size?: number | undefined;
  readonly digest?: Digest | undefined;
  /** How a store outside the file system names the chunk. */
  readonly key?: string | undefined;
}

/** A chunk that lies in a file of its own. */
export interface ChunkFile extends ChunkInfo {
  readonly path: string;
}

/** A chunk as {@link ChunkDirectory} keeps it: measured and summed when it arrived. */
export interface StoredChunk extends ChunkFile {
  readonly size: number;
  /** CRC-32 of the chunk's bytes, unsigned. */
  readonly crc32: number;
}

/** What a file consists of. */
export interface Manifest<C extends ChunkInfo = ChunkInfo> {
  readonly version: 1;
  readonly id: string;
  readonly totalBytes: number;
  /** When given: the size of every chunk but the last, which ends the file. */
  readonly chunkSizeBytes?: number | undefined;
  readonly chunks: readonly C[];
  /** Of the whole file. */
  readonly digest?: Digest | undefined;
}

/** How far a chunk's size may lie from what the manifest says. */
export type SizePolicy =
  | { readonly policy: 'exact' }
  | {
      /**
       * Tolerated when either holds, strictly: |difference| < `bytes`, |difference| < `fraction` × expected.
       * An expected size of 0 is exact.
       */
      readonly policy: 'tolerance';
      /** @default 2048 */
      readonly bytes?: number | undefined;
      /** @default 0.001 */
      readonly fraction?: number | undefined;
    };
