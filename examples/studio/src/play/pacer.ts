import { setTimeout as sleep } from 'node:timers/promises';

/** One slow link that all streams share: bytes pass at the pace that is set, in the order in which they are asked for. */
export class Pacer {
  bytesPerSecond = 0;
  #freeAtMs = 0;

  /** How much to send at once, so that streams take turns about twenty times a second. */
  get pieceBytes(): number {
    if (this.bytesPerSecond === 0) return 256 * 1024;
    return Math.min(256 * 1024, Math.max(1024, Math.floor(this.bytesPerSecond / 20)));
  }

  /** Resolves when that many bytes have passed. @throws the abort's error */
  async pass(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.bytesPerSecond === 0) return;
    const now = performance.now();
    this.#freeAtMs = Math.max(now, this.#freeAtMs) + (bytes * 1000) / this.bytesPerSecond;
    const waitMs = this.#freeAtMs - now;
    if (waitMs >= 1) await sleep(waitMs, undefined, { signal });
  }

  /** A new pace holds from now on: what the old one had booked is forgotten. */
  setPace(bytesPerSecond: number): void {
    this.bytesPerSecond = bytesPerSecond;
    this.#freeAtMs = 0;
  }
}
