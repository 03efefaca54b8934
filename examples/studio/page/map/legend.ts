import { make } from '../dom.ts';
import type { Part } from './cells.ts';
import type { Grid } from './grid.ts';
import { paintBracket, paintCell, paintPlayhead } from './paint.ts';
import { type Palette, readPalette } from './palette.ts';

const WIDTH = 22;
const HEIGHT = 18;
/** A map of one cell, for what lies over the cells. */
const GRID: Grid = {
  sizeBytes: 10,
  cellBytes: 10,
  count: 1,
  columns: 1,
  rows: 1,
  width: WIDTH,
  height: HEIGHT,
  gap: 2,
  rowGap: 10,
};

interface Entry {
  readonly label: string;
  readonly hint?: string;
  readonly parts: readonly Part[];
  readonly overlay?: 'playhead' | 'window';
}

function part(kind: Part['kind'], priority?: Part['priority'], startByte = 0, endByte = 10): Part {
  return { kind, priority, startByte, endByte };
}

const ENTRIES: readonly Entry[] = [
  { label: 'missing', parts: [part('missing')] },
  { label: 'queued: CRITICAL', hint: 'A reader waits for it', parts: [part('queued', 'CRITICAL')] },
  { label: 'HIGH', hint: 'Needed next', parts: [part('queued', 'HIGH')] },
  { label: 'MEDIUM', hint: 'Asked for ahead', parts: [part('queued', 'MEDIUM')] },
  { label: 'LOW', hint: 'In the background', parts: [part('queued', 'LOW')] },
  { label: 'in flight', parts: [part('received', 'HIGH', 0, 6), part('flying', 'HIGH', 6, 10)] },
  { label: 'kept part', parts: [part('kept', undefined, 0, 6), part('missing', undefined, 6, 10)] },
  { label: 'present', parts: [part('present')] },
  { label: 'failed', parts: [part('failed')] },
  { label: 'playhead', parts: [], overlay: 'playhead' },
  { label: 'prefetch window', parts: [], overlay: 'window' },
];

/** The legend, painted by the map's own brush. */
export function fillLegend(list: HTMLUListElement): void {
  const painters = ENTRIES.map((entry) => {
    const canvas = document.createElement('canvas');
    canvas.setAttribute('aria-hidden', 'true');
    list.append(make('li', { title: entry.hint ?? '' }, canvas, document.createTextNode(entry.label)));
    return (palette: Palette) => paintSwatch(canvas, entry, palette);
  });
  const paint = (): void => {
    const palette = readPalette(list);
    for (const painter of painters) painter(palette);
  };
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', paint);
  paint();
}

function paintSwatch(canvas: HTMLCanvasElement, entry: Entry, palette: Palette): void {
  const context = canvas.getContext('2d');
  if (context === null) return;
  const scale = window.devicePixelRatio;
  canvas.width = WIDTH * scale;
  canvas.height = HEIGHT * scale;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  const box = { x: 1, y: 1, width: WIDTH - 2, height: HEIGHT - 2 };
  if (entry.overlay === undefined) paintCell(context, box, { startByte: 0, endByte: 10, parts: entry.parts }, palette);
  if (entry.overlay === 'playhead') paintPlayhead(context, GRID, 5, palette);
  if (entry.overlay === 'window') paintBracket(context, GRID, { startByte: 0, endByte: 10 }, palette);
}
