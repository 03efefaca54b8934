import { checkNumber } from './check.ts';

/** A distribution of non-negative numbers, kept in fixed memory. */
export interface Histogram {
  readonly count: number;
  readonly sum: number;
  readonly max: number;
  /**
   * A number that at least that share of the values do not exceed: never below the exact percentile, above it by at
   * most 6.25 %, and by nothing for whole numbers up to 32. Values below 1/16 count as 1/16, and above 2^44 the answer
   * is the maximum. 0 when empty.
   * @param p 0..1
   */
  percentile(p: number): number;
  toJSON(): { count: number; sum: number; max: number; p50: number; p95: number; p99: number };
}

// From a sixteenth of a millisecond to centuries, from one item to terabytes.
const LOWEST_EXPONENT = -4;
const HIGHEST_EXPONENT = 44;
const LOWEST = 2 ** LOWEST_EXPONENT;
const PER_DOUBLING = 16;
// One more below for what is tiny, one more above for what is enormous.
const BUCKETS = (HIGHEST_EXPONENT - LOWEST_EXPONENT) * PER_DOUBLING + 2;

const float = new DataView(new ArrayBuffer(8));
// A double's upper 16 bits: sign, exponent biased by 1023, first four bits of the fraction. Read as one number they
// count sixteenths of a doubling, which is cheaper than a logarithm.
const LOWEST_SIXTEENTH = (1023 + LOWEST_EXPONENT) * PER_DOUBLING;

function bucketOf(value: number): number {
  if (!(value > LOWEST)) return 0;
  // A value on the very edge belongs to the bucket below, so that the edge can stand for it exactly. Half the smallest
  // step takes it there, and rounds away to nothing, or to the edge, for all others.
  float.setFloat64(0, value * (1 - Number.EPSILON / 2));
  return Math.min(BUCKETS - 1, float.getUint16(0) - LOWEST_SIXTEENTH + 1);
}

function upperEdge(bucket: number): number {
  if (bucket === BUCKETS - 1) return Number.POSITIVE_INFINITY;
  float.setFloat64(0, 0);
  float.setUint16(0, LOWEST_SIXTEENTH + bucket);
  return float.getFloat64(0);
}

/** Log-spaced buckets: recording is one array increment, memory is fixed at 3 kB and taken with the first value. */
export class LogHistogram implements Histogram {
  count = 0;
  sum = 0;
  max = 0;
  #buckets: Uint32Array | undefined;

  /** A negative number, which a wall clock set back can bring about, counts as 0; so does NaN. */
  record(given: number): void {
    // Math.max alone would let NaN through.
    const value = Math.max(0, given || 0);
    this.#buckets ??= new Uint32Array(BUCKETS);
    const bucket = bucketOf(value);
    this.#buckets[bucket] = (this.#buckets[bucket] as number) + 1;
    this.count++;
    this.sum += value;
    if (value > this.max) this.max = value;
  }

  percentile(p: number): number {
    checkNumber('p', p, 0, 1);
    if (this.#buckets === undefined) return 0;
    const wanted = Math.max(1, Math.ceil(p * this.count));
    let seen = 0;
    let bucket = 0;
    for (; seen < wanted; bucket++) seen += this.#buckets[bucket] as number;
    return Math.min(this.max, upperEdge(bucket - 1));
  }

  toJSON(): { count: number; sum: number; max: number; p50: number; p95: number; p99: number } {
    const { count, sum, max } = this;
    return { count, sum, max, p50: this.percentile(0.5), p95: this.percentile(0.95), p99: this.percentile(0.99) };
  }
}
