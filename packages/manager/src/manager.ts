import {
  type ByteRange,
  type ChunkSpan,
  checkFunction,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkText,
  type OwnBytes,
} from '@chunks/base';
import { FileHandle } from './cached-file.ts';
import { Core, settingsOf } from './core.ts';
import { Coverage } from './coverage.ts';
import { Downloads } from './downloads.ts';
import { DiskBudget } from './eviction.ts';
import type { FileEntry } from './file-entry.ts';
import { Files } from './files.ts';
import { movePlayhead } from './playhead.ts';
import { PRIORITIES, Priority } from './priority.ts';
import { readRange } from './reader.ts';
import { ChunkRequest, cancelDemands, type RequestSettings, waitFor } from './request.ts';
import { presentRuns, snapshotOf } from './snapshot.ts';
import type {
  CachedFile,
  ChunkTicket,
  FileSnapshot,
  ManagerEvents,
  ManagerOptions,
  ManagerStats,
  OpenOptions,
  RangeTicket,
  ReadOptions,
  RequestOptions,
} from './types.ts';

const DEFAULT_TIMEOUT_MS = 30_000;

/**
 * A cache of files in chunks: it knows which bytes are here, fetches the missing ones in the order of their urgency, one
 * fetch a chunk whoever asks, and gives them to readers as they come.
 *
 * Fairness: four classes, a more urgent one always first; inside a class files take turns; one file's chunks go in order.
 * @example
 * const origin = httpFetcher({ url: (id) => `https://media.example/${id}` });
 * const manager = new ChunkManager({ ...origin, store: memoryChunkStore() });
 * const file = await manager.openFile({ id: 'film.mp4' });
 * for await (const bytes of file.read({ startByte: 0, endByte: 65_536 })) show(bytes);
 */
export class ChunkManager implements AsyncDisposable {
  readonly #core: Core;
  readonly #downloads: Downloads;
  readonly #files: Files;
  #closing: Promise<void> | undefined;

  /** @throws TypeError | RangeError naming the option, the rule and the value */
  constructor(options: ManagerOptions) {
    const core = new Core(settingsOf(options));
    const downloads = new Downloads(core, {
      learn: (slot, facts) => files.learn(slot, facts),
      reserve: async (slot) => core.budget?.reserve(slot),
    });
    const files = new Files(core, downloads);
    const { maxDiskBytes } = core.settings;
    if (maxDiskBytes !== undefined) {
      core.budget = new DiskBudget(core, downloads, maxDiskBytes, async (id) => void (await files.load(id)));
    }
    this.#core = core;
    this.#downloads = downloads;
    this.#files = files;
  }

  /**
   * Opens a file; everything else asks for it to be open. Resolves once its length is known: from the arguments, from
   * what is stored, from `describeFile`, or else from the fetch of chunk 0, which goes on afterwards.
   * What is stored is held against `describeFile` once a process, and again when older than `maxAgeMs`.
   * Cancelling: the signal ends this call; what is asked of the origin stops when no other call wants it.
   * @throws BadOriginError | ChunkFailedError (rejects) when the origin cannot say
   * @throws GenerationChangedError | UnknownFileError | ManagerClosedError (rejects) when that happens meanwhile
   */
  async openFile(o: OpenOptions): Promise<CachedFile> {
    checkText('id', o.id);
    if (o.totalBytes !== undefined) checkInteger('totalBytes', o.totalBytes, 0);
    if (o.chunkSizeBytes !== undefined) checkInteger('chunkSizeBytes', o.chunkSizeBytes, 1);
    if (o.generation !== undefined) checkText('generation', o.generation);
    if (o.maxAgeMs !== undefined) checkNumber('maxAgeMs', o.maxAgeMs, 0);
    return new FileHandle(await this.#files.open(o), (file, range, options) => this.#read(file, range, options));
  }

  /**
   * Forgets a file, open or only stored, and frees its bytes. Who waits for it or reads it ends with UNKNOWN_FILE.
   * @returns false when there was none
   */
  removeFile(fileId: string): Promise<boolean> {
    return this.#files.remove(fileId);
  }

  /**
   * Asks for a chunk and returns at once. Asking again raises its class, and never lowers it.
   * Cancelling the ticket, or the signal, takes this request back: the fetch stops with the last one who wanted the
   * chunk, and its bytes so far are kept.
   * @throws UnknownFileError | RangeUnsatisfiableError | ManagerClosedError, and nothing is queued
   */
  requestChunk(fileId: string, chunk: number, o: RequestOptions = {}): ChunkTicket {
    const file = this.#files.get(fileId);
    return this.#request(file, file.checkChunk(chunk), requestSettings(o, Priority.MEDIUM));
  }

  /** {@link requestChunk} for every missing chunk of a range. A chunk that fails does not stop the others. */
  requestRange(fileId: string, range: ByteRange, o: RequestOptions = {}): RangeTicket {
    const file = this.#files.get(fileId);
    return this.#request(file, file.geometry.chunksFor(file.checkRange(range)), requestSettings(o, Priority.MEDIUM));
  }

  /**
   * Resolves when the chunk is stored.
   * @throws WaitTimeoutError (rejects) when no byte of it arrived for `timeoutMs`
   * @throws ChunkFailedError | DiskBudgetError | GenerationChangedError (rejects)
   */
  async waitForChunk(fileId: string, chunk: number, o: ReadOptions = {}): Promise<void> {
    const file = this.#files.get(fileId);
    await this.#wait(file, file.checkChunk(chunk), o);
  }

  /** {@link waitForChunk} for all chunks of a range; progress of any of them starts the timeout anew. */
  async waitForRange(fileId: string, range: ByteRange, o: ReadOptions = {}): Promise<void> {
    const file = this.#files.get(fileId);
    await this.#wait(file, file.geometry.chunksFor(file.checkRange(range)), o);
  }

  /**
   * The bytes of a range (the whole file by default) of the current generation, in order, as they come. Nothing is read
   * or fetched before it is pulled; then the chunk it stands in is wanted, and one class lower the one after it.
   * The pieces are the reader's own. Cancelling the stream, or the signal, withdraws what it wanted.
   * The stream errors with WAIT_TIMEOUT when no byte arrived for `timeoutMs`, CHUNK_FAILED, DISK_BUDGET,
   * GENERATION_CHANGED or UNKNOWN_FILE (removed), and never gives a byte of another generation.
   * @throws UnknownFileError | RangeUnsatisfiableError | ManagerClosedError, and nothing is queued
   */
  read(fileId: string, range?: ByteRange | undefined, o: ReadOptions = {}): ReadableStream<OwnBytes> {
    return this.#read(this.#files.get(fileId), range, o);
  }

  /** Whether the chunk is stored; answered from memory. */
  hasChunk(fileId: string, chunk: number): boolean {
    const file = this.#files.get(fileId);
    return file.coverage.hasSpan(file.checkChunk(chunk));
  }

  /** Whether all bytes of the range are stored; answered from memory. */
  hasByteRange(fileId: string, range: ByteRange): boolean {
    const file = this.#files.get(fileId);
    return file.coverage.hasSpan(file.geometry.chunksFor(file.checkRange(range)));
  }

  /** The runs of chunks that are stored. */
  availableChunks(fileId: string): ChunkSpan[] {
    return presentRuns(this.#files.get(fileId).coverage);
  }

  /** The runs of chunks that are not stored, of the range or of the whole file. */
  missing(fileId: string, range?: ByteRange | undefined): ChunkSpan[] {
    const file = this.#files.get(fileId);
    return [...file.coverage.gaps(range && file.geometry.chunksFor(file.checkRange(range)))];
  }

  /** How many bytes are stored from this one on without a gap; 0 at the end of the file. */
  contiguousBytesFrom(fileId: string, byte: number): number {
    const { coverage, geometry } = this.#files.get(fileId);
    checkInteger('byte', byte, 0, geometry.totalBytes);
    if (byte === geometry.totalBytes) return 0;
    const gap = coverage.nextGap(geometry.chunkOf(byte));
    return Math.max(0, Math.min(gap * geometry.chunkSizeBytes, geometry.totalBytes) - byte);
  }

  /**
   * Withdraws everything that asks for these chunks (all by default): requests, waits, reads and windows, of one owner
   * or of everybody. Each ends with an AbortError.
   * @returns how many demands for a chunk were withdrawn
   */
  cancelRequests(fileId: string, o: { chunks?: ChunkSpan | undefined; owner?: string | undefined } = {}): number {
    const file = this.#files.get(fileId);
    return cancelDemands(this.#downloads, file, file.checkSpan(o.chunks), o.owner);
  }

  /** Keeps chunks (all by default) from being evicted, stored already or not, until {@link unpin} or the process's end. */
  pin(fileId: string, chunks?: ChunkSpan | undefined): void {
    const file = this.#files.get(fileId);
    const { firstChunk, endChunk } = file.checkSpan(chunks);
    file.pinned ??= new Coverage(file.geometry.count);
    for (let chunk = firstChunk; chunk < endChunk; chunk++) file.pinned.mark(chunk);
  }

  unpin(fileId: string, chunks?: ChunkSpan | undefined): void {
    const file = this.#files.get(fileId);
    const { firstChunk, endChunk } = file.checkSpan(chunks);
    for (let chunk = firstChunk; chunk < endChunk; chunk++) file.pinned?.unmark(chunk);
    this.#core.budget?.rescan(file);
  }

  /**
   * Moves this reader's window, and asks for what lies in it: HIGH within 5 s and, at the start and after a seek, within
   * `initialBufferBytes`; MEDIUM up to `seconds`. What the window has left is wanted no longer. A move backwards or past
   * the window is a seek.
   * @param o.owner names the reader; each has one window a file
   * @param o.byte where it is, 0 … totalBytes
   * @param o.seconds how far ahead. @default 30
   * @param o.bitrateBitsPerSecond @default measured from the moves; until then only the initial buffer is asked for
   * @param o.signal ends the window
   */
  playhead(
    fileId: string,
    o: {
      owner: string;
      byte: number;
      seconds?: number | undefined;
      bitrateBitsPerSecond?: number | undefined;
      signal?: AbortSignal | undefined;
    },
  ): void {
    const file = this.#files.get(fileId);
    const { bitrateBitsPerSecond, signal } = o;
    if (bitrateBitsPerSecond !== undefined) checkNumber('bitrateBitsPerSecond', bitrateBitsPerSecond, 0);
    movePlayhead(this.#core, this.#downloads, file, {
      owner: checkText('owner', o.owner),
      byte: checkInteger('byte', o.byte, 0, file.geometry.totalBytes),
      seconds: checkNumber('seconds', o.seconds ?? 30, 0),
      bitrateBitsPerSecond,
      signal,
    });
  }

  /** The whole file as runs of chunks in one state, and every reader's window. */
  snapshot(fileId: string): FileSnapshot {
    return snapshotOf(this.#files.get(fileId));
  }

  /** Listens to an event, called in the moment it happens. @returns what takes the listener off again */
  on<E extends keyof ManagerEvents>(event: E, listener: (event: ManagerEvents[E]) => void): () => void {
    checkFunction('listener', listener);
    return this.#core.events.on(event, listener);
  }

  stats(): ManagerStats {
    const { queue, active } = this.#downloads;
    return { ...this.#core.counters, queued: queue.sizes, active };
  }

  /**
   * Stops every fetch, ends every wait and reader with MANAGER_CLOSED, lets what is being committed come to its end and
   * closes repository and store. Closing again waits for the same.
   */
  close(): Promise<void> {
    this.#core.closed = true;
    this.#closing ??= this.#files.close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #request(file: FileEntry, span: ChunkSpan, o: RequestSettings): ChunkRequest {
    return new ChunkRequest(this.#core, this.#downloads, file, span, o);
  }

  async #wait(file: FileEntry, span: ChunkSpan, o: ReadOptions): Promise<void> {
    const timeoutMs = checkNumber('timeoutMs', o.timeoutMs ?? DEFAULT_TIMEOUT_MS, 0);
    const request = this.#request(file, span, requestSettings(o, Priority.CRITICAL));
    await waitFor(this.#core, file, request, timeoutMs);
  }

  #read(file: FileEntry, range: ByteRange | undefined, o: ReadOptions = {}): ReadableStream<OwnBytes> {
    const timeoutMs = checkNumber('timeoutMs', o.timeoutMs ?? DEFAULT_TIMEOUT_MS, 0);
    const asked = range === undefined ? { startByte: 0, endByte: file.geometry.totalBytes } : file.checkRange(range);
    return readRange(this.#core, this.#downloads, file, asked, { ...requestSettings(o, Priority.CRITICAL), timeoutMs });
  }
}

const requestSettings = (o: RequestOptions, priority: Priority): RequestSettings => ({
  priority: checkOneOf('priority', o.priority ?? priority, PRIORITIES),
  owner: o.owner === undefined ? undefined : checkText('owner', o.owner),
  signal: o.signal,
});
