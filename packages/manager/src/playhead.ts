import { type ByteRange, onAbort } from '@chunks/base';
import type { Core } from './core.ts';
import type { Downloads } from './downloads.ts';
import type { FileEntry } from './file-entry.ts';
import { Priority } from './priority.ts';
import { Demand, type DemandListener } from './slot.ts';

/** How much of what lies ahead is wanted soon. */
const HIGH_SECONDS = 5;
/** How much one new measurement counts against those before. */
const RATE_WEIGHT = 0.3;

/** One reader's place in a file, and what it wants ahead of that. */
export interface Cursor {
  byte: number;
  window: ByteRange;
  /** When it came to `byte`. */
  atMs: number;
  /** HIGH at least up to here: what fills a player's buffer at the start and after a seek. */
  bufferedTo: number;
  bytesPerMs: number | undefined;
  readonly demands: Map<number, Demand>;
  unlisten: () => void;
}

export interface PlayheadMove {
  readonly owner: string;
  readonly byte: number;
  readonly seconds: number;
  readonly bitrateBitsPerSecond: number | undefined;
  readonly signal: AbortSignal | undefined;
}

// Nobody waits for what a window asks for: the reader that needs it asks itself.
const unheard: DemandListener = { onProgress: () => undefined, onDone: () => undefined, onFailed: () => undefined };

/** Moves a reader's window: what it has left is wanted no longer, what it now covers is. */
export function movePlayhead(core: Core, downloads: Downloads, file: FileEntry, move: PlayheadMove): void {
  if (move.signal?.aborted) {
    endPlayhead(downloads, file, move.owner);
    return;
  }
  const nowMs = core.settings.clock.now();
  const { totalBytes } = file.geometry;
  const cursor = advance(file, move, nowMs, core.settings.initialBufferBytes);
  const bytesPerMs = move.bitrateBitsPerSecond === undefined ? cursor.bytesPerMs : move.bitrateBitsPerSecond / 8000;
  const within = (seconds: number): number => move.byte + Math.ceil((bytesPerMs ?? 0) * seconds * 1000);
  const highEnd = Math.min(totalBytes, Math.max(cursor.bufferedTo, within(HIGH_SECONDS)));
  const endByte = Math.min(totalBytes, Math.max(highEnd, within(move.seconds)));
  cursor.window = { startByte: move.byte, endByte };
  cursor.unlisten();
  cursor.unlisten = onAbort(move.signal, () => endPlayhead(downloads, file, move.owner));
  wantWindow(downloads, file, cursor, { owner: move.owner, highEnd });
}

/** The reader is gone: its window wants nothing any more. */
function endPlayhead(downloads: Downloads, file: FileEntry, owner: string): void {
  const cursor = file.cursors.get(owner);
  if (cursor === undefined) return;
  file.cursors.delete(owner);
  cursor.unlisten();
  for (const demand of cursor.demands.values()) downloads.release(demand);
}

/** Takes the new place in: as playing on, from which the rate is measured, or as a seek. */
function advance(file: FileEntry, move: PlayheadMove, nowMs: number, initialBufferBytes: number): Cursor {
  const { byte, owner } = move;
  const before = file.cursors.get(owner);
  const isSeek = before === undefined || byte < before.byte || byte > before.window.endByte;
  const cursor = before ?? newCursor();
  file.cursors.set(owner, cursor);
  if (isSeek) cursor.bufferedTo = byte + initialBufferBytes;
  else if (byte > cursor.byte && nowMs > cursor.atMs) {
    const measured = (byte - cursor.byte) / (nowMs - cursor.atMs);
    cursor.bytesPerMs = (cursor.bytesPerMs ?? measured) * (1 - RATE_WEIGHT) + measured * RATE_WEIGHT;
  }
  cursor.byte = byte;
  cursor.atMs = nowMs;
  return cursor;
}

function wantWindow(
  downloads: Downloads,
  file: FileEntry,
  cursor: Cursor,
  o: { owner: string; highEnd: number },
): void {
  const { demands, window } = cursor;
  const { firstChunk, endChunk } = file.geometry.chunksFor(window);
  for (let chunk = file.coverage.nextGap(firstChunk); chunk < endChunk; chunk = file.coverage.nextGap(chunk + 1)) {
    const isSoon = chunk * file.geometry.chunkSizeBytes < o.highEnd;
    const priority = isSoon ? Priority.HIGH : Priority.MEDIUM;
    const demand = demands.get(chunk);
    if (demand?.slot !== undefined) downloads.raise(demand, priority);
    else {
      const fresh = new Demand(file, chunk, { priority, owner: o.owner, listener: unheard });
      demands.set(chunk, fresh);
      downloads.want(fresh);
      // A listener that hears of it may have ended the window, or moved it on: nothing of this one is wanted then.
      if (file.cursors.get(o.owner) !== cursor || cursor.window !== window) return;
    }
  }
  for (const [chunk, demand] of demands) {
    if (chunk >= firstChunk && chunk < endChunk && demand.slot !== undefined) continue;
    demands.delete(chunk);
    downloads.release(demand);
  }
}

const newCursor = (): Cursor => ({
  byte: 0,
  window: { startByte: 0, endByte: 0 },
  atMs: 0,
  bufferedTo: 0,
  bytesPerMs: undefined,
  demands: new Map(),
  unlisten: () => undefined,
});
