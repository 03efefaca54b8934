import { type ByteRange, type Deferred, deferred, type OwnBytes, onAbort } from '@chunks/base';
import type { Core } from './core.ts';
import type { Downloads } from './downloads.ts';
import { ChunkFailedError, WaitTimeoutError } from './errors.ts';
import { forgetChunk } from './eviction.ts';
import type { FileEntry } from './file-entry.ts';
import { PRIORITY_NAMES, Priority } from './priority.ts';
import { watchProgress } from './request.ts';
import { Demand, type DemandListener, type Slot } from './slot.ts';

export interface ReaderSettings {
  readonly priority: Priority;
  readonly owner: string | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

const unheard: DemandListener = { onProgress: () => undefined, onDone: () => undefined, onFailed: () => undefined };

/** The bytes of a range of one generation, pulled: nothing is read before it is asked for. */
export function readRange(
  core: Core,
  downloads: Downloads,
  file: FileEntry,
  range: ByteRange,
  o: ReaderSettings,
): ReadableStream<OwnBytes> {
  const reader = new RangeReader(core, downloads, file, range, o);
  return new ReadableStream<OwnBytes>(
    {
      start: (controller) => reader.start(controller),
      pull: (controller) => reader.pull(controller),
      cancel: () => reader.leave(),
    },
    { highWaterMark: 0 },
  );
}

/**
 * One reader's way through its range. It wants the chunk it stands in and, one class lower, the one after it, so that
 * the next request is on its way while this one's bytes come. It reads from the store, never from a fetch: however slow
 * it is, it holds no fetch back, and who joins late gets the bytes so far at once.
 */
class RangeReader implements DemandListener {
  readonly #core: Core;
  readonly #downloads: Downloads;
  readonly #file: FileEntry;
  readonly #o: ReaderSettings;
  readonly #endByte: number;
  #at: number;
  /** The open read of the store and where it ends. */
  #pieces: AsyncIterator<Uint8Array> | undefined;
  #piecesEnd = 0;
  /** Whether its chunk was marked when it was opened. */
  #piecesMarked = false;
  /** The chunk it stands in, held against eviction. */
  #slot: Slot | undefined;
  #demand: Demand | undefined;
  #ahead: Demand | undefined;
  #wake: Deferred<void> | undefined;
  #failure: (() => unknown) | undefined;
  /** The chunk whose bytes the store had lost: another loss is final. */
  #lostChunk: number | undefined;
  #left = false;
  #unlisten: () => void = () => undefined;

  constructor(core: Core, downloads: Downloads, file: FileEntry, range: ByteRange, o: ReaderSettings) {
    this.#core = core;
    this.#downloads = downloads;
    this.#file = file;
    this.#o = o;
    this.#at = range.startByte;
    this.#endByte = range.endByte;
  }

  start(controller: ReadableStreamDefaultController<OwnBytes>): void {
    if (this.#at === this.#endByte) {
      controller.close();
      return;
    }
    this.#unlisten = onAbort(this.#o.signal, () => {
      controller.error(this.#o.signal?.reason);
      this.leave();
    });
  }

  async pull(controller: ReadableStreamDefaultController<OwnBytes>): Promise<void> {
    try {
      const piece = await this.#next();
      if (this.#left) return;
      this.#at += piece.byteLength;
      controller.enqueue(piece as OwnBytes);
      if (this.#at < this.#endByte) return;
      this.leave();
      controller.close();
    } catch (error) {
      if (this.#left) return;
      this.leave();
      throw error;
    }
  }

  /** Wants nothing any more. */
  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#unlisten();
    this.#standIn(undefined);
    this.#drop(this.#demand);
    this.#drop(this.#ahead);
    // Ends a pull that stands still; nobody looks at what comes of it.
    this.#wake?.resolve();
    this.#pieces?.return?.().catch(() => undefined);
  }

  onProgress(): void {
    this.#wake?.resolve();
  }

  onDone(): void {
    this.#wake?.resolve();
  }

  onFailed(makeError: () => unknown): void {
    this.#failure = makeError;
    this.#wake?.resolve();
  }

  async #next(): Promise<Uint8Array> {
    for (;;) {
      this.#file.throwIfEnded();
      try {
        const step = await this.#pieces?.next();
        if (step?.done === false && step.value.byteLength > 0) return step.value;
        if (step?.done === false) continue;
        if (step?.done && this.#at < this.#piecesEnd) throw new RangeError(`the store ended at byte ${this.#at}`);
      } catch (error) {
        await this.#recover(error);
      }
      if (this.#left) return new Uint8Array(0);
      await this.#open();
    }
  }

  /** Opens a read of what is here of the chunk at this place, once something is. */
  async #open(): Promise<void> {
    this.#pieces = undefined;
    const { store } = this.#core.settings;
    const file = this.#file;
    const slot = file.slot(file.geometry.chunkOf(this.#at));
    this.#standIn(slot);
    let readable = this.#readable(slot);
    // Whoever hears that something is wanted may end this reader before it waits: nobody would wake it.
    for (let first = true; readable <= this.#at && !this.#left; first = false) {
      file.throwIfEnded();
      if (this.#failure !== undefined) throw this.#failure();
      await this.#wait(slot, first);
      readable = this.#readable(slot);
    }
    if (this.#left) return;
    this.#piecesEnd = readable;
    this.#piecesMarked = file.coverage.has(slot.chunk);
    const range = { startByte: this.#at, endByte: readable };
    this.#pieces = store.read(file.id, file.generation, range)[Symbol.asyncIterator]();
  }

  /** Up to where this chunk's bytes can be read; it is wanted if that is not all. */
  #readable(slot: Slot): number {
    const { coverage } = this.#file;
    const { startByte, endByte } = slot.range;
    const here = coverage.has(slot.chunk) ? endByte : startByte + slot.received;
    // Also once it was wanted, and is over: whoever met a loss may have taken the mark back.
    if (here < endByte && this.#demand?.slot !== slot && this.#failure === undefined) {
      this.#demand = this.#want(slot.chunk, this.#o.priority, this);
    }
    return Math.min(here, this.#endByte);
  }

  #standIn(slot: Slot | undefined): void {
    if (slot === this.#slot) return;
    const before = this.#slot;
    this.#slot = slot;
    if (slot !== undefined) {
      this.#failure = undefined;
      slot.holds++;
      this.#core.budget?.touch(slot.file, slot.chunk);
      const demand = this.#demand;
      this.#readable(slot);
      if (demand !== this.#demand) this.#drop(demand);
      this.#lookAhead(slot.chunk + 1);
    }
    if (before !== undefined) {
      before.holds--;
      before.file.tidy(before);
    }
  }

  #lookAhead(chunk: number): void {
    const file = this.#file;
    const passed = this.#ahead;
    const inside = chunk < file.geometry.count && chunk * file.geometry.chunkSizeBytes < this.#endByte;
    const lower = Math.min(this.#o.priority + 1, Priority.LOW) as Priority;
    this.#ahead = inside && !file.coverage.has(chunk) ? this.#want(chunk, lower, unheard) : undefined;
    // Last, so that the chunk is at no time wanted by nobody.
    this.#drop(passed);
  }

  #want(chunk: number, priority: Priority, listener: DemandListener): Demand {
    const demand = new Demand(this.#file, chunk, { priority, owner: this.#o.owner, listener });
    // A listener that hears of it may end this reader: then it wants nothing any more.
    if (!this.#left) this.#downloads.want(demand);
    if (this.#left) this.#downloads.release(demand);
    return demand;
  }

  #drop(demand: Demand | undefined): void {
    if (demand !== undefined) this.#downloads.release(demand);
  }

  async #wait(slot: Slot, first: boolean): Promise<void> {
    const { counters, settings } = this.#core;
    const sinceMs = settings.clock.now();
    const wake = deferred<void>();
    this.#wake = wake;
    const stop = watchProgress(
      this.#core,
      this.#o.timeoutMs,
      () => Math.max(sinceMs, slot.progressAtMs),
      (waitedMs) => wake.reject(new WaitTimeoutError({ fileId: this.#file.id, waitedMs })),
    );
    counters.waiters++;
    try {
      await wake.promise;
      if (first) counters.wait[PRIORITY_NAMES[this.#o.priority]].record(settings.clock.now() - sinceMs);
    } finally {
      counters.waiters--;
      stop();
      this.#wake = undefined;
    }
  }

  /** The store lost bytes that were marked, as when somebody emptied its folder: they are fetched anew, once. */
  async #recover(error: unknown): Promise<void> {
    const file = this.#file;
    file.throwIfEnded();
    const chunk = file.geometry.chunkOf(this.#at);
    // Another reader may have met the loss before this one, and taken the mark back already.
    const wasMarked = this.#piecesMarked || file.coverage.has(chunk);
    if (this.#lostChunk === chunk || !wasMarked) {
      throw new ChunkFailedError({ fileId: file.id, chunk, attempts: 1, cause: error });
    }
    this.#lostChunk = chunk;
    this.#failure = undefined;
    await forgetChunk(this.#core, file, chunk);
  }
}
