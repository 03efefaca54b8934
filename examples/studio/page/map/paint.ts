import type { Cursor, Run } from '../../src/protocol.ts';
import type { Cell, Part } from './cells.ts';
import { boxOf, type Grid, placeOf, rowSpans } from './grid.ts';
import type { Palette } from './palette.ts';

export interface Scene {
  readonly grid: Grid;
  readonly cells: readonly Cell[];
  readonly palette: Palette;
  readonly playheadByte?: number | undefined;
  readonly windows: readonly Cursor['window'][];
  /** The cell under the pointer or the keyboard. */
  readonly marked?: number | undefined;
  /** Cells that have just become critical, and how strongly they still glow: 1 to 0. */
  readonly glow: ReadonlyMap<number, number>;
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

type Class = NonNullable<Run['priority']>;
const CLASSES: readonly Class[] = ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'];

export function paintScene(context: CanvasRenderingContext2D, scene: Scene): void {
  const { grid, cells, palette } = scene;
  cells.forEach((cell, index) => {
    paintCell(context, boxOf(grid, index), cell, palette);
  });
  for (const [index, strength] of scene.glow) paintRing(context, boxOf(grid, index), palette.CRITICAL, 4, strength);
  for (const window of scene.windows) paintBracket(context, grid, window, palette);
  if (scene.marked !== undefined) {
    paintRing(context, boxOf(grid, scene.marked), palette.surface, 5, 1);
    paintRing(context, boxOf(grid, scene.marked), palette.ink, 2, 1);
  }
  if (scene.playheadByte !== undefined) paintPlayhead(context, grid, scene.playheadByte, palette);
}

/** One cell; also used for the legend, so that it cannot show anything else than the map. */
export function paintCell(context: CanvasRenderingContext2D, box: Box, cell: Cell, palette: Palette): void {
  const radius = box.height >= 16 && box.width >= 14 ? 3 : 1;
  const bytes = cell.endByte - cell.startByte;
  context.save();
  context.beginPath();
  context.roundRect(box.x, box.y, box.width, box.height, radius);
  context.clip();
  for (const part of cell.parts) {
    const x0 = box.x + ((part.startByte - cell.startByte) / bytes) * box.width;
    const x1 = box.x + ((part.endByte - cell.startByte) / bytes) * box.width;
    paintPart(context, { ...box, x: x0, width: x1 - x0 }, part, palette);
  }
  context.restore();
  const urgent = CLASSES.find((name) => cell.parts.some((part) => part.priority === name));
  const { colour, width } = borderOf(cell, urgent, palette);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  const inset = width / 2;
  context.roundRect(box.x + inset, box.y + inset, box.width - width, box.height - width, Math.max(0, radius - inset));
  context.stroke();
  if (urgent === undefined) return;
  const middle = cell.startByte + bytes / 2;
  const under = cell.parts.find((part) => part.startByte <= middle && part.endByte > middle);
  paintMark(context, box, urgent, under?.kind === 'received' ? palette.onReceived : palette.ink);
}

function paintPart(context: CanvasRenderingContext2D, box: Box, part: Part, palette: Palette): void {
  if (part.kind === 'present' || part.kind === 'received') {
    context.fillStyle = palette[part.kind];
    context.fillRect(box.x, box.y, box.width, box.height);
  } else if (part.kind === 'kept') {
    context.globalAlpha = 0.4;
    context.fillStyle = palette.present;
    context.fillRect(box.x, box.y, box.width, box.height);
    context.globalAlpha = 1;
  } else if (part.kind === 'queued' || part.kind === 'flying') {
    context.globalAlpha = part.kind === 'queued' ? 0.42 : 0.14;
    context.fillStyle = part.priority === undefined ? palette.received : palette[part.priority];
    context.fillRect(box.x, box.y, box.width, box.height);
    context.globalAlpha = 1;
  } else if (part.kind === 'failed') {
    paintHatch(context, box, palette.failed);
  }
}

function paintHatch(context: CanvasRenderingContext2D, box: Box, colour: string): void {
  context.save();
  context.beginPath();
  context.rect(box.x, box.y, box.width, box.height);
  context.clip();
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.beginPath();
  for (let offset = -box.height; offset < box.width; offset += 5) {
    context.moveTo(box.x + offset, box.y + box.height);
    context.lineTo(box.x + offset + box.height, box.y);
  }
  context.stroke();
  context.restore();
}

function borderOf(cell: Cell, urgent: Class | undefined, palette: Palette): { colour: string; width: number } {
  if (urgent !== undefined) return { colour: palette[urgent], width: urgent === 'CRITICAL' ? 2 : 1.5 };
  if (cell.parts.some((part) => part.kind === 'failed')) return { colour: palette.failed, width: 1.5 };
  if (cell.parts.some((part) => part.kind === 'flying' || part.kind === 'received')) {
    return { colour: palette.received, width: 1.5 };
  }
  return { colour: cell.parts.every((part) => part.kind === 'present') ? palette.present : palette.outline, width: 1 };
}

/** The class without its colour: its letter, or in a small cell a bar that is taller the more urgent it is. */
function paintMark(context: CanvasRenderingContext2D, box: Box, name: Class, colour: string): void {
  context.fillStyle = colour;
  if (box.width >= 13 && box.height >= 15) {
    context.font = '600 11px system-ui, sans-serif';
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.fillText(name.charAt(0), box.x + box.width / 2, box.y + box.height / 2 + 0.5);
    return;
  }
  const height = ((4 - CLASSES.indexOf(name)) / 4) * (box.height - 4);
  context.fillRect(box.x + box.width / 2 - 1, box.y + box.height - 2 - height, 2, height);
}

function paintRing(context: CanvasRenderingContext2D, box: Box, colour: string, width: number, alpha: number): void {
  context.globalAlpha = alpha;
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  context.roundRect(box.x - 1, box.y - 1, box.width + 2, box.height + 2, 4);
  context.stroke();
  context.globalAlpha = 1;
}

/** A bracket under the rows that a prefetch window covers, with a tick at its two ends only. */
export function paintBracket(
  context: CanvasRenderingContext2D,
  grid: Grid,
  window: Cursor['window'],
  palette: Palette,
): void {
  const spans = rowSpans(grid, window.startByte, window.endByte);
  const tick = grid.rowGap / 2;
  context.strokeStyle = palette.playhead;
  context.lineWidth = 2;
  spans.forEach((span, index) => {
    const y = span.y + grid.height - grid.rowGap / 2 + Math.min(3, tick - 1);
    context.beginPath();
    if (index === 0) context.moveTo(span.x0 + 1, y - tick - 1);
    else context.moveTo(span.x0 + 1, y);
    context.lineTo(span.x0 + 1, y);
    context.lineTo(span.x1 - 1, y);
    if (index === spans.length - 1) context.lineTo(span.x1 - 1, y - tick - 1);
    context.stroke();
  });
}

export function paintPlayhead(context: CanvasRenderingContext2D, grid: Grid, byte: number, palette: Palette): void {
  const { x, y } = placeOf(grid, byte);
  const flag = Math.min(5, Math.max(3, grid.rowGap / 2));
  // A rim in the page's own colour keeps it visible on solid cells.
  context.fillStyle = palette.surface;
  context.fillRect(x - 2.5, y, 5, grid.height - 1);
  context.fillStyle = palette.playhead;
  context.fillRect(x - 1, y, 2, grid.height - 1);
  context.beginPath();
  context.moveTo(x - flag, y);
  context.lineTo(x + flag, y);
  context.lineTo(x, y + flag * 1.4);
  context.fill();
}
