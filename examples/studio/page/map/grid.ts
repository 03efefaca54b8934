/** Where the cells lie: rows read like a page, from left to right and from top to bottom. */
export interface Grid {
  readonly sizeBytes: number;
  readonly cellBytes: number;
  readonly count: number;
  readonly columns: number;
  readonly rows: number;
  /** Pitch of a cell, its gap included. */
  readonly width: number;
  readonly height: number;
  readonly gap: number;
  /** Room over each row for the playhead's flag, and under it for the prefetch bracket. */
  readonly rowGap: number;
}

const MiB = 1024 * 1024;
const SMALLEST_CELL_BYTES = 4096;
/** A cell below this many pixels cannot carry a mark. */
const MIN_WIDTH = 9;
const MIN_HEIGHT = 15;
const MAX_HEIGHT = 64;
const FEW = 48;
/** Width to height that reads well. */
const ASPECT = 1.1;

/** 1 MiB cells; smaller ones for a small file, larger ones where those would not fit. */
export function fitGrid(sizeBytes: number, width: number, height: number): Grid {
  const room = Math.max(1, Math.floor(width / MIN_WIDTH)) * Math.max(1, Math.floor(height / MIN_HEIGHT));
  let cellBytes = MiB;
  while (sizeBytes / cellBytes < FEW / 2 && cellBytes > SMALLEST_CELL_BYTES) cellBytes /= 2;
  while (Math.ceil(sizeBytes / cellBytes) > room) cellBytes *= 2;
  const count = Math.ceil(sizeBytes / cellBytes);
  const columns = bestColumns(count, width, height);
  const rows = Math.max(1, Math.ceil(count / columns));
  const cellHeight = Math.min(MAX_HEIGHT, height / rows);
  const cellWidth = Math.min(width / columns, MAX_HEIGHT * 2);
  const roomy = cellWidth >= 16;
  return {
    sizeBytes,
    cellBytes,
    count,
    columns,
    rows,
    width: cellWidth,
    height: cellHeight,
    gap: roomy ? 3 : 2,
    rowGap: cellHeight >= 28 ? 10 : 5,
  };
}

function bestColumns(count: number, width: number, height: number): number {
  let best = Math.max(1, Math.min(count, Math.floor(width / MIN_WIDTH)));
  let bestScore = Number.POSITIVE_INFINITY;
  for (let rows = 1; rows <= Math.max(1, Math.floor(height / MIN_HEIGHT)); rows += 1) {
    const columns = Math.max(1, Math.ceil(count / rows));
    const score = Math.abs(Math.log(width / columns / Math.min(MAX_HEIGHT, height / rows) / ASPECT));
    if (score < bestScore) {
      bestScore = score;
      best = columns;
    }
  }
  return best;
}

/** A byte's place on the map, in pixels from the top left. */
export function placeOf(grid: Grid, byte: number): { x: number; y: number; row: number } {
  const cell = Math.min(Math.max(0, byte / grid.cellBytes), Math.max(0, grid.count - 1e-9));
  const row = Math.floor(cell / grid.columns);
  return { x: (cell - row * grid.columns) * grid.width, y: row * grid.height, row };
}

/** The cell under a point, or undefined beside the map. */
export function cellAt(grid: Grid, x: number, y: number): number | undefined {
  const column = Math.floor(x / grid.width);
  const row = Math.floor(y / grid.height);
  if (column < 0 || column >= grid.columns || row < 0) return undefined;
  const index = row * grid.columns + column;
  return index < grid.count ? index : undefined;
}

/** The stretches, row by row, that a byte range covers: what a bracket has to be drawn along. */
export function rowSpans(grid: Grid, startByte: number, endByte: number): { y: number; x0: number; x1: number }[] {
  if (endByte <= startByte || grid.count === 0) return [];
  const first = startByte / grid.cellBytes;
  const last = Math.min(endByte / grid.cellBytes, grid.count);
  const spans: { y: number; x0: number; x1: number }[] = [];
  for (let row = Math.floor(first / grid.columns); row * grid.columns < last; row += 1) {
    const from = Math.max(first, row * grid.columns) - row * grid.columns;
    const to = Math.min(last, (row + 1) * grid.columns) - row * grid.columns;
    spans.push({ y: row * grid.height, x0: from * grid.width, x1: to * grid.width });
  }
  return spans;
}

/** Arrow keys on the map; undefined for a key that does not move. */
export function stepTo(grid: Grid, from: number, key: string): number | undefined {
  const steps: Record<string, number> = {
    ArrowLeft: from - 1,
    ArrowRight: from + 1,
    ArrowUp: from - grid.columns,
    ArrowDown: from + grid.columns,
    PageUp: from - grid.columns * 4,
    PageDown: from + grid.columns * 4,
    Home: 0,
    End: grid.count - 1,
  };
  const to = steps[key];
  return to === undefined ? undefined : Math.min(Math.max(0, to), Math.max(0, grid.count - 1));
}

/** The inside of a cell, its gaps taken off. */
export function boxOf(grid: Grid, index: number): { x: number; y: number; width: number; height: number } {
  const row = Math.floor(index / grid.columns);
  return {
    x: (index - row * grid.columns) * grid.width + grid.gap / 2,
    y: row * grid.height + grid.rowGap / 2,
    width: grid.width - grid.gap,
    height: grid.height - grid.rowGap,
  };
}
