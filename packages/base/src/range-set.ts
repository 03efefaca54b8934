import { checkByteRange } from './byte-range.ts';
import type { ByteRange } from './types.ts';

/**
 * A set of bytes, kept as sorted ranges that neither touch nor overlap: the one normal form, so that equal sets are
 * equal lists. Each operation finds its place by bisection.
 */
export class RangeSet {
  #ranges: ByteRange[] = [];
  #bytes = 0;

  constructor(ranges: Iterable<ByteRange> = []) {
    for (const range of ranges) this.add(range);
  }

  /** How many bytes are in. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Sorted, apart from one another, none empty. */
  ranges(): ByteRange[] {
    return [...this.#ranges];
  }

  /** @returns how many bytes were not in before. */
  add(range: ByteRange): number {
    checkByteRange('range', range);
    if (range.startByte === range.endByte) return 0;
    // Neighbours that only touch are merged too, hence ≤ on both sides.
    const first = this.#firstEndingAtOrAfter(range.startByte);
    let { startByte, endByte } = range;
    let absorbed = 0;
    let after = first;
    for (; after < this.#ranges.length; after++) {
      const other = this.#ranges[after] as ByteRange;
      if (other.startByte > range.endByte) break;
      startByte = Math.min(startByte, other.startByte);
      endByte = Math.max(endByte, other.endByte);
      absorbed += other.endByte - other.startByte;
    }
    this.#ranges.splice(first, after - first, { startByte, endByte });
    const gained = endByte - startByte - absorbed;
    this.#bytes += gained;
    return gained;
  }

  /** @returns how many bytes were in and are not any more. */
  delete(range: ByteRange): number {
    checkByteRange('range', range);
    if (range.startByte === range.endByte) return 0;
    const first = this.#firstEndingAfter(range.startByte);
    const kept: ByteRange[] = [];
    let lost = 0;
    let after = first;
    for (; after < this.#ranges.length; after++) {
      const other = this.#ranges[after] as ByteRange;
      if (other.startByte >= range.endByte) break;
      lost += Math.min(other.endByte, range.endByte) - Math.max(other.startByte, range.startByte);
      if (other.startByte < range.startByte) kept.push({ startByte: other.startByte, endByte: range.startByte });
      if (other.endByte > range.endByte) kept.push({ startByte: range.endByte, endByte: other.endByte });
    }
    this.#ranges.splice(first, after - first, ...kept);
    this.#bytes -= lost;
    return lost;
  }

  /** Whether every byte of the range is in; true for an empty range. */
  has(range: ByteRange): boolean {
    checkByteRange('range', range);
    if (range.startByte === range.endByte) return true;
    const holder = this.#ranges[this.#firstEndingAfter(range.startByte)];
    return holder !== undefined && holder.startByte <= range.startByte && holder.endByte >= range.endByte;
  }

  /** What of the range is not in, sorted. */
  missing(range: ByteRange): ByteRange[] {
    checkByteRange('range', range);
    const gaps: ByteRange[] = [];
    let at = range.startByte;
    for (let i = this.#firstEndingAfter(range.startByte); i < this.#ranges.length; i++) {
      const other = this.#ranges[i] as ByteRange;
      if (other.startByte >= range.endByte) break;
      if (other.startByte > at) gaps.push({ startByte: at, endByte: other.startByte });
      at = other.endByte;
    }
    if (at < range.endByte) gaps.push({ startByte: at, endByte: range.endByte });
    return gaps;
  }

  #firstEndingAfter(byte: number): number {
    return this.#firstEndingAtOrAfter(byte + 1);
  }

  #firstEndingAtOrAfter(byte: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle] as ByteRange).endByte < byte) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
