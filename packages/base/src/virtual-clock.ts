import { type Clock, sleepOn } from './clock.ts';

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** Time that moves only when a test says so. Timers due at one instant run in the order in which they were set. */
export class VirtualClock implements Clock {
  #nowMs: number;
  #order = 0;
  readonly #timers = new Set<Timer>();

  constructor(startMs = 1_700_000_000_000) {
    this.#nowMs = startMs;
  }

  /** Timers that are armed: for asserting that nothing was left behind. */
  get pending(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#nowMs;
  }

  after(ms: number, callback: () => void): () => void {
    if (ms === Number.POSITIVE_INFINITY) return () => undefined;
    const timer: Timer = { atMs: this.#nowMs + Math.max(0, ms), order: this.#order++, callback };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  sleep(ms: number, signal?: AbortSignal | undefined): Promise<void> {
    return sleepOn(this, ms, signal);
  }

  /** Moves time on, runs what falls due in order, and lets promises settle after each timer. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (let next = this.#next(untilMs); next !== undefined; next = this.#next(untilMs)) {
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.callback();
      await settle();
    }
    // A callback may have jumped past it.
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  /** Time passes and no timer runs, as when the event loop is blocked or a laptop sleeps. */
  jump(ms: number): void {
    this.#nowMs += ms;
  }

  #next(untilMs: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.atMs > untilMs) continue;
      if (next === undefined || timer.atMs < next.atMs || (timer.atMs === next.atMs && timer.order < next.order)) {
        next = timer;
      }
    }
    return next;
  }
}

/** Lets every promise reaction that is ready run, however deep the chain (up to a few dozen awaits). */
export async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}
