import type { Run } from '../../src/protocol.ts';

/**
 * What a stretch of a cell looks like. A run in flight is two of them: what has come, and what is still on its way.
 * A fetch that was called off leaves what had come: kept, but nobody is at it.
 */
export type Kind = 'missing' | 'queued' | 'flying' | 'received' | 'kept' | 'present' | 'failed';

export interface Part {
  readonly startByte: number;
  readonly endByte: number;
  readonly kind: Kind;
  readonly priority: Run['priority'];
}

/** One square of the map: a stretch of the file, cut into parts from left to right without a gap. */
export interface Cell {
  readonly startByte: number;
  readonly endByte: number;
  readonly parts: readonly Part[];
}

/** More parts than this cannot be told apart in a cell: they are added up by kind instead. */
const MAX_PARTS = 8;
const ORDER: readonly Kind[] = ['present', 'received', 'kept', 'flying', 'queued', 'failed', 'missing'];

/** The runs of a file as cells of equal size; bytes that no run speaks of are missing. */
export function rasterize(runs: readonly Run[], sizeBytes: number, cellBytes: number): Cell[] {
  const stretches = stretchesOf(runs, sizeBytes);
  const cells: Cell[] = [];
  let next = 0;
  for (let startByte = 0; startByte < sizeBytes; startByte += cellBytes) {
    const endByte = Math.min(sizeBytes, startByte + cellBytes);
    const parts: Part[] = [];
    while (next < stretches.length) {
      const stretch = stretches[next];
      if (stretch === undefined || stretch.startByte >= endByte) break;
      append(parts, {
        ...stretch,
        startByte: Math.max(startByte, stretch.startByte),
        endByte: Math.min(endByte, stretch.endByte),
      });
      if (stretch.endByte > endByte) break;
      next += 1;
    }
    cells.push({ startByte, endByte, parts: parts.length > MAX_PARTS ? summed(parts, startByte) : parts });
  }
  return cells;
}

/** Neighbours that look the same become one part. */
function append(parts: Part[], part: Part): void {
  if (part.endByte <= part.startByte) return;
  const last = parts.at(-1);
  if (last !== undefined && last.kind === part.kind && last.priority === part.priority) {
    parts[parts.length - 1] = { ...last, endByte: part.endByte };
  } else {
    parts.push(part);
  }
}

function stretchesOf(runs: readonly Run[], sizeBytes: number): Part[] {
  const stretches: Part[] = [];
  let at = 0;
  for (const run of runs) {
    const startByte = Math.max(at, run.startByte);
    const endByte = Math.min(sizeBytes, run.endByte);
    if (endByte <= startByte) continue;
    append(stretches, { startByte: at, endByte: startByte, kind: 'missing', priority: undefined });
    const priority = run.state === 'queued' || run.state === 'fetching' ? run.priority : undefined;
    const kept = run.state === 'present' || run.state === 'failed' ? 0 : (run.bytesSoFar ?? 0);
    const here = Math.min(endByte, Math.max(startByte, run.startByte + kept));
    append(stretches, { startByte, endByte: here, kind: run.state === 'fetching' ? 'received' : 'kept', priority });
    append(stretches, { startByte: here, endByte, kind: run.state === 'fetching' ? 'flying' : run.state, priority });
    at = endByte;
  }
  append(stretches, { startByte: at, endByte: sizeBytes, kind: 'missing', priority: undefined });
  return stretches;
}

function summed(parts: readonly Part[], startByte: number): Part[] {
  const sums: Part[] = [];
  let at = startByte;
  for (const kind of ORDER) {
    const alike = parts.filter((part) => part.kind === kind);
    const bytes = alike.reduce((sum, part) => sum + part.endByte - part.startByte, 0);
    append(sums, { startByte: at, endByte: at + bytes, kind, priority: mostUrgent(alike) });
    at += bytes;
  }
  return sums;
}

const URGENCY: readonly Run['priority'][] = ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'];

function mostUrgent(parts: readonly Part[]): Run['priority'] {
  return URGENCY.find((priority) => parts.some((part) => part.priority === priority));
}

/** Bytes by kind over a whole file. */
export function tally(runs: readonly Run[], sizeBytes: number): Record<Kind, number> {
  const sums: Record<Kind, number> = { missing: 0, queued: 0, flying: 0, received: 0, kept: 0, present: 0, failed: 0 };
  for (const part of stretchesOf(runs, sizeBytes)) sums[part.kind] += part.endByte - part.startByte;
  return sums;
}

/** The runs that touch a stretch of the file, for its tooltip. */
export function runsIn(runs: readonly Run[], startByte: number, endByte: number): Run[] {
  return runs.filter((run) => run.startByte < endByte && run.endByte > startByte);
}
