import { type Clock, sleepOn } from '@chunks/base';
import { DueHeap, type Placed } from './due-heap.ts';

/** What can be due: everything due leaves first, and only then is anybody told or let in. */
export interface Due extends Placed {
  leave(): void;
  late(nowMs: number): void;
}

/**
 * What is to happen when, on one timer for a whole locker. The timer is only ever moved to an earlier time: when what
 * it was set for has gone meanwhile, it fires once for nothing, which costs less than a timer per waiter.
 */
export class Agenda {
  /** When the timer will call; Infinity when it is not set. */
  wakeAtMs: number = Number.POSITIVE_INFINITY;
  readonly #clock: Clock;
  readonly #wake: () => void;
  readonly #due = new DueHeap<Due>();
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, wake: () => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  add(due: Due, dueMs: number, nowMs: number): void {
    this.#due.add(due, dueMs);
    this.wakeBy(dueMs, nowMs);
  }

  /** Does nothing when it is not in. */
  remove(due: Due): void {
    this.#due.remove(due);
  }

  /** Wakes at `atMs` at the latest. */
  wakeBy(atMs: number, nowMs: number): void {
    if (atMs >= this.wakeAtMs) return;
    this.#cancel?.();
    this.wakeAtMs = atMs;
    this.#cancel = this.#clock.after(atMs - nowMs, this.#wake);
  }

  /** Stops the timer and hands out everything due by then, in order. */
  takeDue(byMs: number): Due[] {
    this.#cancel?.();
    this.#cancel = undefined;
    this.wakeAtMs = Number.POSITIVE_INFINITY;
    return this.#due.takeDue(byMs);
  }

  /** Sets the timer again, for what is next or for `byMs`. */
  resume(byMs: number, nowMs: number): void {
    this.wakeBy(Math.min(byMs, this.#due.nextMs), nowMs);
  }

  /** A sleep without a timer of its own. Rejects with the signal's reason. */
  pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const after = (afterMs: number, late: () => void): (() => void) => {
      const nowMs = this.#clock.now();
      const due: Due = { place: -1, leave: () => undefined, late };
      this.add(due, nowMs + afterMs, nowMs);
      return () => this.remove(due);
    };
    return sleepOn({ after }, ms, signal);
  }
}
