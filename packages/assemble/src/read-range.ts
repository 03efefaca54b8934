import {
  type ByteRange,
  checkByteRange,
  checkFunction,
  checkInteger,
  type OwnBytes,
  onAbort,
  refuseRange,
} from '@chunks/base';
import { actualLayout } from './actual-layout.ts';
import {
  type ChunkMismatch,
  type ChunkSource,
  checkedChunk,
  type FetchChunk,
  type WantedChunk,
} from './checked-chunk.ts';
import { layoutOf, type PlacedChunk } from './chunk-order.ts';
import { checkPortable } from './portable-digest.ts';
import { checkPolicy } from './size-policy.ts';
import { type ChunkSlice, slicesOf } from './slice-range.ts';
import type { ChunkInfo, Manifest, SizePolicy } from './types.ts';

export interface ReadRangeOptions {
  /** Every chunk needs a size, by itself or through `chunkSizeBytes`. */
  manifest: Manifest;
  /** @default the whole; an end behind the file's is the file's end */
  range?: ByteRange | undefined;
  /** Gives a whole chunk as buffer or stream, or undefined when there is none. Must heed the signal to free its means. */
  fetchChunk: FetchChunk;
  /** @default exact */
  size?: SizePolicy | undefined;
  /**
   * The size that a chunk really has in its store, without its bytes. Under `tolerance` the layout is then computed
   * from actual sizes before the first byte; under `exact` it is not asked.
   */
  sizeOf?: ((index: number) => Promise<number | undefined>) | undefined;
  /** Check chunks against the digests that they have: crc32, sha256 or sha1. @default true */
  verify?: boolean | undefined;
  /** Chunks fetched beyond the one that is wanted next; each is held in memory. @default 1 */
  readAheadChunks?: number | undefined;
  /** Ends the read: the promise, or later the stream, fails with the signal's own reason, and fetches are aborted. */
  signal?: AbortSignal | undefined;
  /** Told of every chunk that was not as the manifest says, whatever came of it. An error it throws ends the read. */
  onMismatch?: ((mismatch: ChunkMismatch) => void) | undefined;
}

export interface RangeRead {
  /** One chunk's part at a time, each in a buffer of its own. Fetches go on only as it is read. */
  readonly body: ReadableStream<OwnBytes>;
  /** What the body holds, exactly: in the actual layout where `sizeOf` gave one. */
  readonly range: ByteRange;
  readonly totalBytes: number;
}

/**
 * Reads a range of a file that lies in chunks. A chunk goes out only when it is whole and right: size, and digest where
 * there is one. The digest decides: a chunk of a tolerable size with the wrong digest is wrong.
 *
 * Resolves when the first chunk is at hand, so that a failure until then is a rejection, not a broken body; a wrong
 * first chunk is fetched once more, past caches. After that a wrong chunk errors the body: nothing is skipped or padded.
 * A chunk that is too long but tolerated is cut; one that is too short is an error unless `sizeOf` made the layout.
 *
 * Cancel: cancelling the body, like an abort, aborts the fetches under way.
 *
 * @throws TypeError | RangeError for bad options, a range that starts behind the end, and a digest by md5.
 * @throws ChunkUnavailableError | SizeMismatchError | DigestMismatchError for the first chunk, and what
 * {@link sliceRange} throws for the manifest.
 * @example
 * const { body, range, totalBytes } = await readRange({
 *   manifest, range: { startByte: 0, endByte: 65_536 },
 *   fetchChunk: (index, { signal }) => store.get(`${manifest.id}/${index}`, { signal }),
 * });
 */
export async function readRange(o: ReadRangeOptions): Promise<RangeRead> {
  const { chunks, nominal, policy } = checkOptions(o);
  o.signal?.throwIfAborted();
  const stop = new AbortController();
  const off = onAbort(o.signal, () => stop.abort(o.signal?.reason));
  try {
    const layout =
      policy.policy === 'tolerance' && o.sizeOf !== undefined
        ? await actualLayout({ ...o, sizeOf: o.sizeOf, chunks, nominal, policy, signal: stop.signal })
        : nominal;
    const totalBytes = layout.at(-1)?.endByte ?? 0;
    const range = clip(o.range, totalBytes);
    const source: ChunkSource = { fetchChunk: o.fetchChunk, signal: stop.signal, onMismatch: o.onMismatch };
    const wanted = (slice: ChunkSlice): WantedChunk => {
      const { startByte, endByte } = layout[slice.index] as PlacedChunk;
      const { key, digest } = chunks[slice.index] as ChunkInfo;
      // Against a layout of actual sizes a chunk is exact.
      const own: SizePolicy = layout === nominal ? policy : { policy: 'exact' };
      return {
        index: slice.index,
        key,
        size: endByte - startByte,
        digest: o.verify === false ? undefined : digest,
        policy: own,
      };
    };
    const ahead = new ReadAhead(slicesOf(layout, range), o.readAheadChunks ?? 1, (slice, first) =>
      checkedChunk(source, wanted(slice), first).then((bytes) => part(bytes, slice.range)),
    );
    const first = await ahead.next();
    return { body: bodyOf(first, ahead, stop, off), range, totalBytes };
  } catch (error) {
    stop.abort(error);
    off();
    throw error;
  }
}

function checkOptions(o: ReadRangeOptions): { chunks: ChunkInfo[]; nominal: PlacedChunk[]; policy: SizePolicy } {
  const policy = o.size ?? { policy: 'exact' };
  checkPolicy(policy);
  checkFunction('fetchChunk', o.fetchChunk);
  if (o.sizeOf !== undefined) checkFunction('sizeOf', o.sizeOf);
  if (o.onMismatch !== undefined) checkFunction('onMismatch', o.onMismatch);
  if (o.range !== undefined) checkByteRange('range', o.range);
  checkInteger('readAheadChunks', o.readAheadChunks ?? 1, 0, 1024);
  const nominal = layoutOf(o.manifest);
  const chunks = [...o.manifest.chunks].sort((a, b) => a.index - b.index);
  if (o.verify !== false) {
    for (const { index, digest } of chunks) {
      if (digest !== undefined) checkPortable(`manifest.chunks[${index}].digest`, digest);
    }
  }
  return { chunks, nominal, policy };
}

function clip(range: ByteRange | undefined, totalBytes: number): ByteRange {
  if (range === undefined) return { startByte: 0, endByte: totalBytes };
  if (range.startByte > totalBytes)
    refuseRange('range.startByte', `at most ${totalBytes}, the file's end`, range.startByte);
  return { startByte: range.startByte, endByte: Math.min(range.endByte, totalBytes) };
}

// In a buffer of its own: the rest of the chunk is not kept alive by it.
const part = (bytes: OwnBytes, { startByte, endByte }: ByteRange): OwnBytes =>
  endByte - startByte === bytes.length ? bytes : bytes.slice(startByte, endByte);

/** Fetches slices in order, a few of them before they are asked for. */
class ReadAhead {
  readonly #slices: readonly ChunkSlice[];
  readonly #ahead: number;
  readonly #fetch: (slice: ChunkSlice, first: boolean) => Promise<OwnBytes>;
  readonly #waiting: Promise<OwnBytes>[] = [];
  #started = 0;

  constructor(
    slices: readonly ChunkSlice[],
    ahead: number,
    fetch: (slice: ChunkSlice, first: boolean) => Promise<OwnBytes>,
  ) {
    this.#slices = slices;
    this.#ahead = ahead;
    this.#fetch = fetch;
  }

  get done(): boolean {
    return this.#waiting.length === 0 && this.#started === this.#slices.length;
  }

  /** Undefined at the end. */
  async next(): Promise<OwnBytes | undefined> {
    // One is wanted now, and so many beyond it.
    while (this.#waiting.length <= this.#ahead && this.#started < this.#slices.length) {
      const bytes = this.#fetch(this.#slices[this.#started] as ChunkSlice, this.#started === 0);
      // Its failure is met when its turn comes, which may be never.
      bytes.catch(() => undefined);
      this.#waiting.push(bytes);
      this.#started++;
    }
    return this.#waiting.shift();
  }
}

function bodyOf(
  first: OwnBytes | undefined,
  ahead: ReadAhead,
  stop: AbortController,
  off: () => void,
): ReadableStream<OwnBytes> {
  let next = first;
  let offBody: () => void = () => undefined;
  const letGo = (): void => {
    off();
    offBody();
  };
  const closeIfDone = (controller: ReadableStreamDefaultController<OwnBytes>): void => {
    if (next !== undefined || !ahead.done) return;
    letGo();
    controller.close();
  };
  const abandon = (reason: unknown): void => {
    letGo();
    stop.abort(reason);
  };
  return new ReadableStream<OwnBytes>(
    {
      start(controller) {
        offBody = onAbort(stop.signal, () => {
          letGo();
          controller.error(stop.signal.reason);
        });
        closeIfDone(controller);
      },
      async pull(controller) {
        try {
          const bytes = next ?? (await ahead.next());
          next = undefined;
          // With the last bytes, not with the read after them: many readers stop when they have what they asked for.
          if (bytes !== undefined) controller.enqueue(bytes);
          closeIfDone(controller);
        } catch (error) {
          abandon(error);
          controller.error(error);
        }
      },
      cancel: abandon,
    },
    // Nothing is fetched for a reader that does not read, but what readAheadChunks says.
    { highWaterMark: 0 },
  );
}
