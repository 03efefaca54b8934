import type { ByteRange, ChunkSpan, Clock, Histogram, OwnBytes } from '@chunks/base';
import type { PerPriority, Priority } from './priority.ts';

/** What a {@link FetchChunk} is asked for. */
export interface FetchJob {
  readonly fileId: string;
  /** Undefined while nobody knows it: the first fetch of a file of unknown length. */
  readonly generation: string | undefined;
  readonly chunk: number;
  /** The chunks that this request covers: always the one. */
  readonly chunks: ChunkSpan;
  /** The chunk's bytes. While the length is unknown, the end may lie past the end of the file. */
  readonly range: ByteRange;
  /** Where to go on, in bytes from the start of the file: earlier attempts' bytes are kept. */
  readonly resumeFromByte: number;
  /** 1, 2, … */
  readonly attempt: number;
  readonly priority: Priority;
}

/** What an origin says of a file. */
export interface FileFacts {
  readonly totalBytes?: number | undefined;
  /** Changes whenever the bytes do. Null: the origin has no validator, so the length alone tells versions apart. */
  readonly generation?: string | null | undefined;
}

/** The manager's side of one fetch. */
export interface FetchContext {
  /** Aborts when nobody wants the chunk any more. Its bytes so far are kept. */
  readonly signal: AbortSignal;
  /**
   * The next bytes, in order. The buffer is free again when this resolves.
   * After the abort, or once the fetch has settled, it rejects and stores nothing.
   * @throws BadOriginError (rejects) past the end of the chunk
   */
  write(bytes: Uint8Array): Promise<void>;
  /**
   * What the origin's answer says of the whole file; before the first write.
   * @throws GenerationChangedError when the file is another now: let it pass, the manager goes on from there
   */
  setFile(facts: FileFacts): void;
}

/** Gets the bytes from `resumeFromByte` to the end of `range` and resolves when the last is written. */
export type FetchChunk = (job: FetchJob, context: FetchContext) => Promise<void>;

/**
 * Asks the origin what the file is now, without its bytes.
 * `generation` is what is stored, undefined when nothing is.
 */
export type DescribeFile = (
  file: { readonly id: string; readonly generation: string | undefined },
  o: { signal: AbortSignal },
) => Promise<FileFacts | 'unchanged'>;

export interface ReadOptions {
  /** Ends the wait or the stream with the signal's own reason. */
  signal?: AbortSignal | undefined;
  /** @default Priority.CRITICAL */
  priority?: Priority | undefined;
  /** The longest wait without progress: each byte that arrives starts it anew. @default 30_000 */
  timeoutMs?: number | undefined;
  /** A name for `cancelRequests`. */
  owner?: string | undefined;
}

export interface RequestOptions {
  /** @default Priority.MEDIUM */
  priority?: Priority | undefined;
  /** Cancels the request; `done` then rejects with the signal's own reason. */
  signal?: AbortSignal | undefined;
  /** A name for `cancelRequests`. */
  owner?: string | undefined;
}

/** One generation of a file: it gives that one's bytes, or errors. */
export interface CachedFile {
  readonly id: string;
  readonly generation: string;
  readonly totalBytes: number;
  readonly chunkSizeBytes: number;
  /** As {@link ChunkManager.read}, of this generation only. */
  read(range?: ByteRange | undefined, o?: ReadOptions): ReadableStream<OwnBytes>;
}

export interface OpenOptions {
  id: string;
  /** The length, where the caller knows it: nothing is asked of the origin then. */
  totalBytes?: number | undefined;
  /** For a file that is not stored yet. @default the manager's */
  chunkSizeBytes?: number | undefined;
  /** The version, where the caller knows it; another than the stored one replaces it. */
  generation?: string | undefined;
  /** An answer of `describeFile` older than this is asked for again. @default Infinity: once a process */
  maxAgeMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** A request for a chunk. `done` is pre-caught: a ticket that nobody looks at is no unhandled rejection. */
export interface ChunkTicket extends Disposable {
  /** Resolves when all is stored. Rejects with the first chunk's failure, or an AbortError after `cancel`. */
  readonly done: Promise<void>;
  /** Withdraws this request; the fetch stops when it was the last. @returns false when it was settled already */
  cancel(): boolean;
}

export interface RangeTicket extends ChunkTicket {
  /** What was missing when the request was made. */
  readonly missing: readonly ChunkSpan[];
}

interface ChunkEvent {
  readonly fileId: string;
  /** Empty as long as nobody knows it. */
  readonly generation: string;
  readonly chunk: number;
  readonly range: ByteRange;
  readonly priority: Priority;
}

export interface ManagerEvents {
  queued: ChunkEvent;
  started: ChunkEvent & { readonly attempt: number };
  /** Bytes arrived; `bytes` of the chunk are here now. */
  progress: ChunkEvent & { readonly bytes: number };
  /** The chunk is stored and marked. */
  chunk: ChunkEvent & { readonly bytes: number };
  /** Given up: every waiter got the error. */
  failed: ChunkEvent & { readonly attempts: number; readonly cause: unknown };
  retry: ChunkEvent & { readonly attempts: number; readonly cause: unknown; readonly delayMs: number };
  /** The last one who wanted it left. */
  cancelled: ChunkEvent;
  evicted: ChunkEvent;
  generation: { readonly fileId: string; readonly from: string | undefined; readonly to: string };
  /** Nothing is queued and nothing in flight any more. */
  idle: object;
}

export interface ChunkRun {
  readonly chunks: ChunkSpan;
  readonly state: 'missing' | 'queued' | 'fetching' | 'present' | 'failed';
  readonly priority?: Priority | undefined;
  /** Of an incomplete chunk: how many of its bytes are here, from its start. */
  readonly bytesSoFar?: number | undefined;
  /** How many requests, waits and readers want it. */
  readonly waiters?: number | undefined;
  /** Failed attempts so far. */
  readonly attempts?: number | undefined;
}

export interface FileSnapshot {
  /** Adjacent, ascending, covering the file. */
  readonly runs: readonly ChunkRun[];
  readonly cursors: readonly { readonly owner: string; readonly byte: number; readonly window: ByteRange }[];
}

export interface ManagerStats {
  /** Chunks that wait for a slot. */
  readonly queued: PerPriority<number>;
  /** Fetches that hold a slot. */
  readonly active: number;
  /** Waits and readers that stand still. */
  readonly waiters: number;
  /** Bytes taken from the origin and stored. */
  readonly bytesFetched: number;
  /** Bytes taken from the origin and thrown away: late, too many, or of a generation that is gone. */
  readonly bytesWasted: number;
  /** Requests, waits and reads that joined a chunk already under way. */
  readonly shared: number;
  readonly retries: number;
  /** Fetches that ignored their abort for `abandonAfterMs`. */
  readonly abandoned: number;
  readonly evictions: number;
  /** Milliseconds that requests and readers waited for a missing chunk, by their class. */
  readonly wait: PerPriority<Histogram>;
}

export interface ManagerOptions {
  /** How a chunk is got, such as `httpFetcher(…).fetchChunk`. */
  fetchChunk: FetchChunk;
  /** Where the bytes go. Closed together with the manager. */
  store: ChunkStore;
  /** What remembers which bytes are stored. Closed together with the manager. @default memoryRepository() */
  repository?: ChunkRepository | undefined;
  /** Asked once when a file is opened, and again by `maxAgeMs`. @default what chunk 0's fetch says */
  describeFile?: DescribeFile | undefined;
  /** For files that are not stored yet. @default 10 MiB */
  chunkSizeBytes?: number | undefined;
  /** Fetches at once. @default 3 */
  concurrency?: number | undefined;
  /** Fetches at once of one file. @default concurrency */
  perFile?: number | undefined;
  /** Attempts a chunk, and the ceiling of the wait before each next one, doubled from baseMs; the wait is uniform below it. */
  retry?:
    | {
        /** @default 3 */
        attempts?: number | undefined;
        /** @default 500 */
        baseMs?: number | undefined;
        /** @default 10_000 */
        maxMs?: number | undefined;
      }
    | undefined;
  /** HIGH at a playhead's start and after a seek. @default 20 MiB */
  initialBufferBytes?: number | undefined;
  /** At most this is stored; the least recently used goes first. @default no limit */
  diskBudget?: { maxBytes: number } | undefined;
  /** A fetch that ignores its abort gives up its slot at once and its chunk after this. @default 5_000 */
  abandonAfterMs?: number | undefined;
  clock?: Clock | undefined;
  /** Uniform in [0, 1), for the spread of retries. @default Math.random */
  random?: (() => number) | undefined;
}

/** One file as a repository keeps it. */
export interface FileRow {
  readonly id: string;
  readonly generation: string;
  readonly totalBytes: number;
  readonly chunkSizeBytes: number;
  /** As {@link Coverage.toBytes} writes it. */
  readonly coverage: Uint8Array;
}

/**
 * Remembers, across restarts, which chunks of which generation are stored. Calls that concern one file take effect in
 * the order in which they are made. One process at a time.
 */
export interface ChunkRepository {
  /** Undefined for a file that is not there. Counts as use for {@link listFiles}. */
  loadFile(id: string): Promise<FileRow | undefined>;
  /** Replaces whatever was known of this file, its marks included. */
  upsertFile(row: FileRow): Promise<void>;
  /** @returns false when it was not there */
  removeFile(id: string): Promise<boolean>;
  /** Does nothing when the file is not there or of another generation. */
  markChunks(
    fileId: string,
    generation: string,
    chunks: readonly { readonly chunk: number; readonly size: number }[],
  ): Promise<void>;
  /** Does nothing when the file is not there or of another generation. */
  unmarkChunks(fileId: string, generation: string, chunks: ChunkSpan): Promise<void>;
  /** The ids, least recently loaded or written first: the order in which files go that nobody has opened. */
  listFiles(): Promise<string[]>;
  close?(): Promise<void>;
}

/** Keeps bytes by file, generation and place. Calls that concern one chunk take effect in the order in which they are made. */
export interface ChunkStore {
  /** @param offset in bytes from the start of the file. The buffer is the caller's again when this resolves. */
  write(fileId: string, generation: string, chunk: number, offset: number, bytes: Uint8Array): Promise<void>;
  /** Resolves when the chunk's bytes are as durable as this store makes them: only then is the chunk marked. */
  commit(fileId: string, generation: string, chunk: number): Promise<void>;
  /** Exactly these bytes, also uncommitted ones, in pieces that are the reader's own; throws when they are not there. */
  read(fileId: string, generation: string, range: ByteRange): AsyncIterable<Uint8Array>;
  /** Frees a generation, or some of its chunks, `range` being their bytes. */
  remove(
    fileId: string,
    generation: string,
    chunks?: ChunkSpan | undefined,
    range?: ByteRange | undefined,
  ): Promise<void>;
  /** Bytes in use, all files together. */
  usage(): Promise<number>;
  close?(): Promise<void>;
}
