import type { Run } from '../../src/protocol.ts';
import { formatBytes, formatRange, plural } from '../format.ts';
import { type Cell, runsIn } from './cells.ts';

/** Which journey the map shows: the words differ, the picture does not. */
export type Layer = 'upload' | 'cache';

const WORDS: Record<Layer, Record<Run['state'], string>> = {
  upload: {
    missing: 'not sent yet',
    queued: 'waits to be stored',
    fetching: 'on its way to the server',
    present: 'stored on the server',
    failed: 'failed',
  },
  cache: {
    missing: 'not in the cache',
    queued: 'queued',
    fetching: 'on its way from the origin',
    present: 'in the cache',
    failed: 'failed',
  },
};

const MAX_LINES = 3;

export interface CellText {
  readonly title: string;
  readonly lines: readonly string[];
}

/** A cell in words, for its tooltip and for screen readers. */
export function describeCell(cell: Cell, runs: readonly Run[], layer: Layer): CellText {
  const touching = runsIn(runs, cell.startByte, cell.endByte);
  const lines = touching.slice(0, MAX_LINES).map((run) => describeRun(run, layer));
  if (touching.length > MAX_LINES) lines.push(`and ${touching.length - MAX_LINES} more`);
  if (touching.length === 0) lines.push(WORDS[layer].missing);
  return { title: `Bytes ${formatRange(cell.startByte, cell.endByte)}`, lines };
}

function describeRun(run: Run, layer: Layer): string {
  const parts = [WORDS[layer][run.state]];
  if (run.priority !== undefined && run.state !== 'present' && run.state !== 'missing') parts.push(run.priority);
  if (run.state === 'fetching') {
    parts.push(`${formatBytes(run.bytesSoFar ?? 0)} of ${formatBytes(run.endByte - run.startByte)}`);
  } else {
    parts.push(formatRange(run.startByte, run.endByte));
    if (run.state !== 'present' && (run.bytesSoFar ?? 0) > 0)
      parts.push(`${formatBytes(run.bytesSoFar ?? 0)} of it kept`);
  }
  if ((run.waiters ?? 0) > 0) parts.push(plural(run.waiters ?? 0, 'waiter'));
  if ((run.attempts ?? 0) > 0) parts.push(plural(run.attempts ?? 0, 'attempt'));
  return parts.join(' · ');
}
