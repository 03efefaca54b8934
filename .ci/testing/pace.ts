import type { VirtualClock } from '@chunks/base/testing';

/** A virtual clock before a store whose answers take real time: it waits for them, and moves in steps. */
export class Pace {
  readonly #clock: VirtualClock;
  readonly #stepMs: number;
  #underWay = 0;

  constructor(clock: VirtualClock, stepMs: number) {
    this.#clock = clock;
    this.#stepMs = stepMs;
  }

  /** A request, to be waited for. */
  async request<T>(answer: Promise<T>): Promise<T> {
    this.#underWay++;
    try {
      return await answer;
    } finally {
      this.#underWay--;
    }
  }

  async pass(ms: number): Promise<void> {
    for (let leftMs = ms; leftMs > 0; leftMs -= this.#stepMs) {
      await this.#clock.advance(Math.min(leftMs, this.#stepMs));
      do await new Promise<void>((resolve) => setTimeout(resolve, 0));
      while (this.#underWay > 0);
    }
  }
}
