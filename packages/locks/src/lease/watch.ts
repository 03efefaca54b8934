import type { LeaseDriver } from '../lease-driver.ts';

/**
 * The store's word that a key was released, for as long as somebody waits for one. A store that cannot be watched, or
 * does not answer, is asked more often instead: nobody waits for a watch.
 */
export class KeyWatch {
  readonly #driver: LeaseDriver;
  readonly #key: string;
  readonly #wake: () => void;
  #state: 'closed' | 'opening' | 'open' = 'closed';
  #stop: (() => void) | undefined;
  // Each opening is one of its own: an answer that comes after its end must not pass for the next one's.
  #opened = 0;

  constructor(driver: LeaseDriver, key: string, wake: () => void) {
    this.#driver = driver;
    this.#key = key;
    this.#wake = wake;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  open(): void {
    if (this.#state !== 'closed' || this.#driver.watch === undefined) return;
    this.#state = 'opening';
    void this.#openAs(++this.#opened);
  }

  close(): void {
    this.#state = 'closed';
    this.#opened++;
    const stop = this.#stop;
    this.#stop = undefined;
    if (stop !== undefined) silently(stop);
  }

  async #openAs(turn: number): Promise<void> {
    const isCurrent = (): boolean => turn === this.#opened;
    try {
      const stop = await this.#driver.watch?.(this.#key, () => {
        if (isCurrent()) this.#wake();
      });
      if (typeof stop !== 'function') throw new TypeError('watch gives no function that stops it');
      if (!isCurrent()) return silently(stop);
      this.#stop = stop;
      this.#state = 'open';
      // A release between the last answer and this moment has woken nobody.
      this.#wake();
    } catch {
      // Not told: the next question to the store meets the same trouble, and that is told.
      if (isCurrent()) this.#state = 'closed';
    }
  }
}

/** A watch that does not stop costs wakes that nobody hears, and must not stop anything else. */
function silently(stop: () => unknown): void {
  void (async () => stop())().catch(() => undefined);
}
