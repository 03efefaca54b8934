/** Bytes a second over the last few seconds: steady enough to be read, quick enough to be believed. */
export class RateMeter {
  readonly #windowMs: number;
  #samples: { atMs: number; bytes: number }[] = [];

  constructor(windowMs = 4000) {
    this.#windowMs = windowMs;
  }

  /** `bytes` is a running total; one that falls (another file, a lost chunk) starts the measuring anew. */
  add(atMs: number, bytes: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && bytes < last.bytes) this.#samples = [];
    this.#samples.push({ atMs, bytes });
    while (this.#samples.length > 2 && (this.#samples[1]?.atMs ?? atMs) <= atMs - this.#windowMs) this.#samples.shift();
  }

  /** Undefined until half a second was seen. */
  bytesPerSecond(): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.atMs - first.atMs < 500) return undefined;
    return ((last.bytes - first.bytes) * 1000) / (last.atMs - first.atMs);
  }

  reset(): void {
    this.#samples = [];
  }
}
