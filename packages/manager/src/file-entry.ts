import { type ByteRange, type ChunkSpan, checkByteRange, checkInteger } from '@chunks/base';
import { Coverage } from './coverage.ts';
import { RangeUnsatisfiableError } from './errors.ts';
import { ChunkGeometry } from './geometry.ts';
import type { Cursor } from './playhead.ts';
import { Slot } from './slot.ts';
import type { FileRow } from './types.ts';

/** The generation of a file whose origin gives no validator. */
export const generationOfLength = (totalBytes: number): string => `length=${totalBytes}`;

/**
 * One generation of one file, as this process knows it.
 * While `certainty` is `unknown`, length and generation are placeholders (one chunk) and nothing is stored; while it is
 * `assumed`, the length is known and the generation was made from it. In both, {@link become} puts the truth in place.
 */
export class FileEntry {
  readonly id: string;
  certainty: 'unknown' | 'assumed' | 'certain';
  generation: string;
  geometry: ChunkGeometry;
  coverage: Coverage;
  /** Whether openFile has given it to somebody: only then do the manager's methods know it. */
  opened = false;
  /** When the origin last confirmed this generation. */
  checkedAtMs: number = Number.NEGATIVE_INFINITY;
  readonly slots: Map<number, Slot> = new Map();
  readonly cursors: Map<string, Cursor> = new Map();
  pinned: Coverage | undefined = undefined;
  /** Fetches of this file that hold a slot of the manager's. */
  active = 0;
  /** Bytes set aside for chunks that are stored or being fetched. */
  heldBytes = 0;
  /** Settles when the repository knows this generation and the one before has left the store. */
  ready: Promise<void> = Promise.resolve();
  /** Called when a fetch has told what an unknown file is. */
  onKnown: () => void = () => undefined;
  /** Set once this generation is over: what its readers are told. */
  ended: (() => unknown) | undefined = undefined;
  readonly #work = new Set<Promise<unknown>>();

  constructor(o: { id: string; generation: string; geometry: ChunkGeometry; certainty: FileEntry['certainty'] }) {
    this.id = o.id;
    this.generation = o.generation;
    this.geometry = o.geometry;
    this.certainty = o.certainty;
    this.coverage = new Coverage(o.geometry.count);
  }

  static fromRow(row: FileRow): FileEntry {
    const geometry = new ChunkGeometry(row);
    const entry = new FileEntry({ id: row.id, generation: row.generation, geometry, certainty: 'certain' });
    entry.coverage = Coverage.from(row.coverage, geometry.count);
    if (entry.coverage.marked === 0 && row.generation === generationOfLength(row.totalBytes))
      entry.certainty = 'assumed';
    entry.heldBytes = coveredBytes(entry);
    return entry;
  }

  toRow(): FileRow {
    const { id, generation, coverage } = this;
    const { totalBytes, chunkSizeBytes } = this.geometry;
    return { id, generation, totalBytes, chunkSizeBytes, coverage: coverage.toBytes() };
  }

  /** Whether no byte was stored under this generation yet. */
  get untouched(): boolean {
    if (this.coverage.marked > 0) return false;
    for (const slot of this.slots.values()) if (slot.received > 0) return false;
    return true;
  }

  /** Puts the truth in the placeholder's place; only while it is {@link untouched}. */
  become(facts: { generation: string; totalBytes: number; certainty: FileEntry['certainty'] }): void {
    this.generation = facts.generation;
    this.certainty = facts.certainty;
    if (facts.totalBytes === this.geometry.totalBytes) return;
    const { chunkSizeBytes } = this.geometry;
    this.geometry = new ChunkGeometry({ totalBytes: facts.totalBytes, chunkSizeBytes });
    this.coverage = new Coverage(this.geometry.count);
  }

  throwIfEnded(): void {
    if (this.ended !== undefined) throw this.ended();
  }

  slot(chunk: number): Slot {
    let slot = this.slots.get(chunk);
    if (slot === undefined) this.slots.set(chunk, (slot = new Slot(this, chunk)));
    return slot;
  }

  /** Forgets a slot that holds nothing worth knowing. */
  tidy(slot: Slot): void {
    if (slot.unused && slot.received === 0 && !slot.failed) this.slots.delete(slot.chunk);
  }

  /** Counts a store or repository call that must be over before this generation's bytes may be removed. */
  track<T>(work: Promise<T>): Promise<T> {
    this.#work.add(work);
    const over = (): void => {
      this.#work.delete(work);
    };
    work.then(over, over);
    return work;
  }

  async quiesce(): Promise<void> {
    while (this.#work.size > 0) await Promise.allSettled(this.#work);
  }

  /** @throws TypeError | RangeUnsatisfiableError unless it is a non-empty range of this file's bytes */
  checkRange(range: ByteRange): ByteRange {
    const { totalBytes } = this.geometry;
    try {
      checkByteRange('range', range);
    } catch (error) {
      if (error instanceof TypeError) throw error;
      this.#refuse(`bytes ${range.startByte}–${range.endByte}`, range);
    }
    if (range.startByte === range.endByte || range.endByte > totalBytes) {
      this.#refuse(`bytes ${range.startByte}–${range.endByte}`, range);
    }
    return range;
  }

  /** @throws TypeError | RangeUnsatisfiableError unless it is one of this file's chunks */
  checkChunk(chunk: number): ChunkSpan {
    if (!(Number.isInteger(chunk) && chunk >= 0 && chunk < this.geometry.count)) {
      if (typeof chunk !== 'number') checkInteger('chunk', chunk, 0);
      this.#refuse(`chunk ${chunk}`);
    }
    return { firstChunk: chunk, endChunk: chunk + 1 };
  }

  /** The whole file when it is left out. @throws TypeError | RangeUnsatisfiableError unless it lies in the file */
  checkSpan(span: ChunkSpan | undefined): ChunkSpan {
    const { count } = this.geometry;
    if (span === undefined) return { firstChunk: 0, endChunk: count };
    const { firstChunk, endChunk } = span;
    const whole = Number.isInteger(firstChunk) && Number.isInteger(endChunk);
    if (!whole || firstChunk < 0 || firstChunk > endChunk || endChunk > count) {
      this.#refuse(`chunks ${firstChunk}–${endChunk}`);
    }
    return span;
  }

  #refuse(asked: string, range?: ByteRange): never {
    throw new RangeUnsatisfiableError({ fileId: this.id, asked, range, totalBytes: this.geometry.totalBytes });
  }
}

/** The bytes of all marked chunks. */
function coveredBytes({ coverage, geometry }: FileEntry): number {
  if (coverage.marked === 0) return 0;
  const last = geometry.count - 1;
  const missingFromLast = coverage.has(last) ? geometry.count * geometry.chunkSizeBytes - geometry.totalBytes : 0;
  return coverage.marked * geometry.chunkSizeBytes - missingFromLast;
}
