import type { Clock } from '../clock.ts';

/** One direction of a connection: everything arrives in order, or nothing any more. */
export class OneWay {
  isMute = false;
  hasEnded = false;
  readonly #clock: Clock;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Does it after everything before it, the delay, and whatever else is to come first. */
  pass(delayMs: number, act: () => void, first?: Promise<void>): void {
    const go = (): void => {
      this.#waiting--;
      if (!this.isMute) act();
    };
    const delay = delayMs > 0 && new Promise<void>((resolve) => this.#clock.after(delayMs, resolve));
    if (this.#waiting++ === 0 && !delay && !first) go();
    else this.#last = Promise.all([this.#last, delay, first]).then(go);
  }
}
