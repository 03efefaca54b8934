import { type ChunkSpan, checkInteger, type OwnBytes, refuseRange } from '@chunks/base';
import { MAX_CHUNKS } from './geometry.ts';

const FULL = 0xffffffff;

/** Index of the lowest bit that is set; the word must not be 0. */
const lowestBit = (word: number): number => 31 - Math.clz32(word & -word);

const popCount = (word: number): number => {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
};

/**
 * Which chunks are here: 1 bit a chunk, and above it a summary, 1 bit for every 32 chunks, so that a search for the
 * next gap or the next chunk that is present skips 1024 chunks at a step.
 * @example
 * const coverage = new Coverage(100);
 * coverage.mark(7);
 * coverage.nextGap(7);      // 8
 * coverage.nextPresent(8);  // 100: none
 */
export class Coverage {
  readonly count: number;
  #marked = 0;
  readonly #words: Uint32Array;
  // Bit w says that word w is all ones, and that it is not zero. Bits of the last word past `count` count as ones.
  readonly #full: Uint32Array;
  readonly #some: Uint32Array;

  /** @throws RangeError unless count is an integer from 0 to 2^31 − 1 */
  constructor(count: number) {
    this.count = checkInteger('count', count, 0, MAX_CHUNKS);
    this.#words = new Uint32Array(Math.ceil(count / 32));
    this.#full = new Uint32Array(Math.ceil(this.#words.length / 32));
    this.#some = new Uint32Array(this.#full.length);
  }

  /** Reads what {@link toBytes} wrote. @throws RangeError when that many bytes do not hold `count` bits */
  static from(bytes: Uint8Array, count: number): Coverage {
    const coverage = new Coverage(count);
    const wanted = Math.ceil(count / 8);
    if (bytes.byteLength !== wanted) refuseRange('bytes', `${wanted} bytes for ${count} chunks`, bytes.byteLength);
    for (let i = 0; i < wanted; i++) {
      const word = i >>> 2;
      coverage.#words[word] = (coverage.#words[word] as number) | ((bytes[i] as number) << ((i & 3) * 8));
    }
    const last = coverage.#words.length - 1;
    // A foreign image may carry bits past the end: they must not count as chunks.
    if (last >= 0) coverage.#words[last] = (coverage.#words[last] as number) & ~coverage.#padding(last);
    for (let word = 0; word <= last; word++) {
      coverage.#marked += popCount(coverage.#words[word] as number);
      coverage.#summarize(word);
    }
    return coverage;
  }

  /** Bit i of byte i ÷ 8, lowest first, is chunk i: ceil(count ÷ 8) bytes. */
  toBytes(): OwnBytes {
    const bytes = new Uint8Array(Math.ceil(this.count / 8));
    for (let i = 0; i < bytes.length; i++) bytes[i] = (this.#words[i >>> 2] as number) >>> ((i & 3) * 8);
    return bytes;
  }

  /** How many chunks are here. */
  get marked(): number {
    return this.#marked;
  }

  /** Whether all are; true for a file without chunks. */
  get complete(): boolean {
    return this.#marked === this.count;
  }

  /** @returns false when it was marked already. @throws RangeError unless 0 ≤ chunk < count */
  mark(chunk: number): boolean {
    if (this.has(chunk)) return false;
    const word = chunk >>> 5;
    this.#words[word] = (this.#words[word] as number) | (1 << (chunk & 31));
    this.#marked++;
    this.#summarize(word);
    return true;
  }

  /** @returns false when it was not marked. @throws RangeError unless 0 ≤ chunk < count */
  unmark(chunk: number): boolean {
    if (!this.has(chunk)) return false;
    const word = chunk >>> 5;
    this.#words[word] = (this.#words[word] as number) & ~(1 << (chunk & 31));
    this.#marked--;
    this.#summarize(word);
    return true;
  }

  /** @throws RangeError unless 0 ≤ chunk < count */
  has(chunk: number): boolean {
    if (!(chunk >= 0 && chunk < this.count && Number.isInteger(chunk))) this.#refuse(chunk);
    return (((this.#words[chunk >>> 5] as number) >>> (chunk & 31)) & 1) === 1;
  }

  /** Whether every chunk of the span is here; true for an empty span. @throws RangeError unless it lies within count */
  hasSpan(span: ChunkSpan): boolean {
    this.#check(span);
    return this.nextGap(span.firstChunk) >= span.endChunk;
  }

  /** The first chunk at or after `from` that is missing; `count` when there is none. */
  nextGap(from: number): number {
    checkInteger('from', from, 0, this.count);
    if (from === this.count) return from;
    const word = from >>> 5;
    const holes = ~((this.#words[word] as number) | this.#padding(word)) & (FULL << (from & 31));
    if (holes !== 0) return word * 32 + lowestBit(holes);
    const next = this.#nextWord(word + 1, this.#full, FULL);
    if (next === undefined) return this.count;
    return next * 32 + lowestBit(~((this.#words[next] as number) | this.#padding(next)));
  }

  /** The first chunk at or after `from` that is here; `count` when there is none. */
  nextPresent(from: number): number {
    checkInteger('from', from, 0, this.count);
    if (from === this.count) return from;
    const word = from >>> 5;
    const present = (this.#words[word] as number) & (FULL << (from & 31));
    if (present !== 0) return word * 32 + lowestBit(present);
    const next = this.#nextWord(word + 1, this.#some, 0);
    return next === undefined ? this.count : next * 32 + lowestBit(this.#words[next] as number);
  }

  /** The runs of missing chunks, ascending, within the span (the whole file by default). */
  *gaps(span: ChunkSpan = { firstChunk: 0, endChunk: this.count }): IterableIterator<ChunkSpan> {
    this.#check(span);
    let at = this.nextGap(span.firstChunk);
    while (at < span.endChunk) {
      const endChunk = Math.min(this.nextPresent(at), span.endChunk);
      yield { firstChunk: at, endChunk };
      at = this.nextGap(endChunk);
    }
  }

  /** The first word at or after `from` whose summary bit differs from those of `boring`, all zeros or all ones. */
  #nextWord(from: number, summary: Uint32Array, boring: number): number | undefined {
    let index = from >>> 5;
    if (index >= summary.length) return undefined;
    let found = ((summary[index] as number) ^ boring) & (FULL << (from & 31));
    while (found === 0) {
      if (++index === summary.length) return undefined;
      found = (summary[index] as number) ^ boring;
    }
    const word = index * 32 + lowestBit(found);
    return word < this.#words.length ? word : undefined;
  }

  /** The bits of a word that stand for no chunk. */
  #padding(word: number): number {
    const used = this.count - word * 32;
    return used >= 32 ? 0 : FULL << used;
  }

  #summarize(word: number): void {
    const bits = this.#words[word] as number;
    const index = word >>> 5;
    const bit = 1 << (word & 31);
    const set = (summary: Uint32Array, on: boolean): void => {
      summary[index] = on ? (summary[index] as number) | bit : (summary[index] as number) & ~bit;
    };
    set(this.#full, (bits | this.#padding(word)) >>> 0 === FULL);
    set(this.#some, bits !== 0);
  }

  #check({ firstChunk, endChunk }: ChunkSpan): void {
    const isInside = firstChunk >= 0 && firstChunk <= endChunk && endChunk <= this.count;
    // The slow way, that names what is wrong, only when something is.
    if (isInside && Number.isInteger(firstChunk) && Number.isInteger(endChunk)) return;
    checkInteger('endChunk', endChunk, 0, this.count);
    checkInteger('firstChunk', firstChunk, 0, endChunk);
  }

  #refuse(chunk: number): never {
    refuseRange('chunk', `an integer from 0 to ${this.count - 1}`, chunk);
  }
}
