import type { ChunkSpan } from '@chunks/base';
import type { Coverage } from './coverage.ts';
import type { FileEntry } from './file-entry.ts';
import type { Slot } from './slot.ts';
import type { ChunkRun, FileSnapshot } from './types.ts';

/** The runs of chunks that are here, ascending. */
export function presentRuns(coverage: Coverage): ChunkSpan[] {
  const runs: ChunkSpan[] = [];
  for (let firstChunk = coverage.nextPresent(0); firstChunk < coverage.count; ) {
    const endChunk = coverage.nextGap(firstChunk);
    runs.push({ firstChunk, endChunk });
    firstChunk = coverage.nextPresent(endChunk);
  }
  return runs;
}

/** Adjacent chunks of which there is nothing more to say than their state are one run. */
export function snapshotOf(file: FileEntry): FileSnapshot {
  const runs: ChunkRun[] = [];
  const { coverage } = file;
  const slots = [...file.slots.values()].filter((slot) => !coverage.has(slot.chunk)).sort((a, b) => a.chunk - b.chunk);
  let nextSlot = 0;
  let at = 0;
  const fill = (state: 'present' | 'missing', endChunk: number): void => {
    if (endChunk > at) append(runs, { chunks: { firstChunk: at, endChunk }, state });
    at = Math.max(at, endChunk);
  };
  for (const gap of coverage.gaps()) {
    fill('present', gap.firstChunk);
    for (let slot = slots[nextSlot]; slot !== undefined && slot.chunk < gap.endChunk; slot = slots[++nextSlot]) {
      fill('missing', slot.chunk);
      append(runs, runOf(slot));
      at = slot.chunk + 1;
    }
    fill('missing', gap.endChunk);
  }
  fill('present', coverage.count);
  const cursors = [...file.cursors].map(([owner, { byte, window }]) => ({ owner, byte, window }));
  return { runs, cursors };
}

const STATES = {
  idle: 'missing',
  evicting: 'missing',
  queued: 'queued',
  backoff: 'queued',
  fetching: 'fetching',
  stopping: 'missing',
} as const;

/** What a chunk under way, failed or partly here says of itself. */
function runOf(slot: Slot): ChunkRun {
  const { chunk, demands, priority, received, attempts } = slot;
  const state = slot.failed ? 'failed' : STATES[slot.phase];
  const isWanted = state === 'queued' || state === 'fetching';
  return {
    chunks: { firstChunk: chunk, endChunk: chunk + 1 },
    state,
    ...(isWanted ? { priority, waiters: demands.size } : {}),
    ...(received > 0 || state === 'fetching' ? { bytesSoFar: received } : {}),
    ...(attempts > 0 ? { attempts } : {}),
  };
}

/** Neighbours that say the same become one run; a fetch is always one of its own. */
function append(runs: ChunkRun[], run: ChunkRun): void {
  const last = runs.at(-1);
  const says = (of: ChunkRun): string => JSON.stringify({ ...of, chunks: undefined });
  if (last === undefined || run.state === 'fetching' || says(last) !== says(run)) runs.push(run);
  else runs[runs.length - 1] = { ...last, chunks: { ...last.chunks, endChunk: run.chunks.endChunk } };
}
