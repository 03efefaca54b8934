import type { Agenda, Due } from '../agenda.ts';

/** Something that is to happen at a time that may still move. It stands in the locker's agenda, on no timer of its own. */
export class Alarm implements Due {
  place = -1;
  #atMs = Number.POSITIVE_INFINITY;
  readonly #agenda: Agenda;
  readonly #ring: (nowMs: number) => void;

  constructor(agenda: Agenda, ring: (nowMs: number) => void) {
    this.#agenda = agenda;
    this.#ring = ring;
  }

  /** Instead of any time before; Infinity: never. */
  set(atMs: number, nowMs: number): void {
    this.clear();
    this.#atMs = atMs;
    if (atMs !== Number.POSITIVE_INFINITY) this.#agenda.add(this, atMs, nowMs);
  }

  /** At `atMs` at the latest. */
  by(atMs: number, nowMs: number): void {
    if (atMs < this.#atMs) this.set(atMs, nowMs);
  }

  clear(): void {
    this.#agenda.remove(this);
    this.#atMs = Number.POSITIVE_INFINITY;
  }

  leave(): void {
    // Nothing leads to an alarm but the agenda, and that has let go of it.
  }

  late(nowMs: number): void {
    // What rang just before may have moved it, or taken it back.
    if (nowMs < this.#atMs) return;
    this.clear();
    this.#ring(nowMs);
  }
}
