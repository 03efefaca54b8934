import type { Cursor, Run } from '../../src/protocol.ts';
import { setHidden, setText, throttled } from '../dom.ts';
import { type Cell, rasterize } from './cells.ts';
import { describeCell, type Layer } from './describe.ts';
import { boxOf, cellAt, fitGrid, type Grid, stepTo } from './grid.ts';
import { paintScene } from './paint.ts';
import { type Palette, readPalette } from './palette.ts';

export interface MapView {
  readonly fileId: string;
  readonly layer: Layer;
  readonly runs: readonly Run[];
  readonly sizeBytes: number;
  readonly playheadByte?: number | undefined;
  readonly windows: readonly Cursor['window'][];
}

export interface MapElements {
  readonly canvas: HTMLCanvasElement;
  readonly tip: HTMLElement;
  readonly tipTitle: HTMLElement;
  readonly tipLines: HTMLElement;
}

const GLOW_MS = 900;
const PAINT_GAP_MS = 50;
/** An empty page shows the outlines that a file will fill. */
const EMPTY_BYTES = 96 * 1024 * 1024;
const EMPTY_VIEW: MapView = { fileId: '', layer: 'upload', runs: [], sizeBytes: EMPTY_BYTES, windows: [] };

/** The chunk map: a canvas that is looked at, pointed at, and walked over by arrow keys like a slider. */
export class ChunkMap {
  readonly #elements: MapElements;
  readonly #onActivate: (byte: number) => void;
  readonly #context: CanvasRenderingContext2D;
  readonly #calm = matchMedia('(prefers-reduced-motion: reduce)');
  readonly #repaint = throttled(PAINT_GAP_MS, () => this.#paint());
  #palette: Palette;
  #view: MapView = EMPTY_VIEW;
  #grid: Grid = fitGrid(EMPTY_BYTES, 300, 150);
  #cells: readonly Cell[] = [];
  #critical = new Set<number>();
  readonly #glowUntil = new Map<number, number>();
  #hovered: number | undefined;
  #focused: number | undefined;
  #at = 0;

  constructor(elements: MapElements, onActivate: (byte: number) => void) {
    const context = elements.canvas.getContext('2d');
    if (context === null) throw new Error('This browser has no 2d canvas.');
    this.#elements = elements;
    this.#onActivate = onActivate;
    this.#context = context;
    this.#palette = readPalette(elements.canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      this.#palette = readPalette(elements.canvas);
      this.#repaint();
    });
    new ResizeObserver(() => this.#resize()).observe(elements.canvas);
    this.#listen();
  }

  /** Shows a file, or the empty outlines. */
  show(view: MapView | undefined): void {
    const next = view ?? EMPTY_VIEW;
    const sameFile = next.fileId === this.#view.fileId && next.layer === this.#view.layer;
    const sameRuns = sameFile && next.runs === this.#view.runs && next.sizeBytes === this.#view.sizeBytes;
    this.#view = next;
    if (!sameRuns) {
      if (!sameFile) this.#fit();
      this.#raster(sameFile);
    }
    this.#repaint();
  }

  #listen(): void {
    const { canvas } = this.#elements;
    canvas.addEventListener('pointermove', (event) => this.#hover(cellAt(this.#grid, event.offsetX, event.offsetY)));
    canvas.addEventListener('pointerleave', () => this.#hover(undefined));
    canvas.addEventListener('click', (event) => this.#activate(cellAt(this.#grid, event.offsetX, event.offsetY)));
    canvas.addEventListener('blur', () => this.#focus(undefined));
    canvas.addEventListener('focus', () => {
      if (canvas.matches(':focus-visible')) this.#focus(this.#at);
    });
    canvas.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' || event.key === ' ') this.#activate(this.#focused);
      else if (event.key === 'Escape') this.#focus(undefined);
      else {
        const to = stepTo(this.#grid, this.#focused ?? this.#at, event.key);
        if (to === undefined) return;
        this.#focus(to);
      }
      event.preventDefault();
    });
  }

  #activate(index: number | undefined): void {
    const cell = index === undefined ? undefined : this.#cells[index];
    if (cell !== undefined && this.#view !== EMPTY_VIEW) this.#onActivate(cell.startByte);
  }

  #hover(index: number | undefined): void {
    if (this.#hovered === index) return;
    this.#hovered = index;
    this.#repaint();
  }

  #focus(index: number | undefined): void {
    this.#focused = index;
    if (index !== undefined) this.#at = index;
    this.#repaint();
  }

  #resize(): void {
    const { canvas } = this.#elements;
    const scale = window.devicePixelRatio;
    canvas.width = Math.round(canvas.clientWidth * scale);
    canvas.height = Math.round(canvas.clientHeight * scale);
    this.#fit();
    this.#raster(true);
    // A resized canvas is blank: the next frame would be too late.
    this.#paint();
  }

  #fit(): void {
    const { canvas } = this.#elements;
    this.#grid = fitGrid(this.#view.sizeBytes, canvas.clientWidth, canvas.clientHeight);
    this.#at = Math.min(this.#at, Math.max(0, this.#grid.count - 1));
    this.#hovered = undefined;
    if (this.#focused !== undefined) this.#focused = this.#at;
    this.#critical = new Set();
    this.#glowUntil.clear();
  }

  #raster(mayGlow: boolean): void {
    this.#cells = rasterize(this.#view.runs, this.#view.sizeBytes, this.#grid.cellBytes);
    const critical = new Set<number>();
    this.#cells.forEach((cell, index) => {
      if (!cell.parts.some((part) => part.priority === 'CRITICAL')) return;
      critical.add(index);
      if (mayGlow && !this.#calm.matches && !this.#critical.has(index)) {
        this.#glowUntil.set(index, performance.now() + GLOW_MS);
      }
    });
    this.#critical = critical;
  }

  #paint(): void {
    const { canvas } = this.#elements;
    const scale = window.devicePixelRatio;
    const marked = this.#hovered ?? this.#focused;
    this.#context.setTransform(scale, 0, 0, scale, 0, 0);
    this.#context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    const glow = new Map<number, number>();
    for (const [index, untilMs] of this.#glowUntil) {
      const strength = (untilMs - performance.now()) / GLOW_MS;
      if (strength > 0) glow.set(index, strength);
      else this.#glowUntil.delete(index);
    }
    const { playheadByte, windows } = this.#view;
    paintScene(this.#context, {
      grid: this.#grid,
      cells: this.#cells,
      palette: this.#palette,
      playheadByte,
      windows,
      marked: this.#view === EMPTY_VIEW ? undefined : marked,
      glow,
    });
    if (glow.size > 0) this.#repaint();
    this.#tell(marked);
  }

  /** The tooltip for eyes, the same words as the slider's value for screen readers. */
  #tell(marked: number | undefined): void {
    const { canvas, tip, tipTitle, tipLines } = this.#elements;
    const cell = marked === undefined ? undefined : this.#cells[marked];
    canvas.ariaValueMax = String(Math.max(0, this.#grid.count - 1));
    if (cell === undefined || marked === undefined || this.#view === EMPTY_VIEW) {
      setHidden(tip, true);
      return;
    }
    const words = describeCell(cell, this.#view.runs, this.#view.layer);
    setText(tipTitle, words.title);
    setText(tipLines, words.lines.join('\n'));
    setHidden(tip, false);
    const box = boxOf(this.#grid, marked);
    const left = box.x + box.width / 2 - tip.offsetWidth / 2;
    tip.style.left = `${Math.min(Math.max(0, left), Math.max(0, canvas.clientWidth - tip.offsetWidth))}px`;
    tip.style.top = `${box.y + box.height + 8}px`;
    if (this.#focused === marked) {
      canvas.ariaValueNow = String(marked);
      canvas.ariaValueText = `${words.title}: ${words.lines.join('; ')}`;
    }
  }
}
