// `<log>/e/<position>` is an event, `<log>/s/<position>` a snapshot, and `<log>/s/<position>.<time>` says that this
// snapshot was in the store by then. A position is `<time><count>-<writer>`, so that it sorts.

const TIME_DIGITS = 9;
const COUNT_DIGITS = 3;
const MAX_COUNT = 36 ** COUNT_DIGITS;

const POSITION = /^[0-9a-z]{12}-[\w%-]+$/;
const MARK = /^([0-9a-z]{12}-[\w%-]+)(?:\.([0-9a-z]{9}))?$/;

const digits = (value: number, length: number): string => value.toString(36).padStart(length, '0');

/**
 * Letters, digits, `_`, `-`, and everything else as `%` and four hex digits of its UTF-16 unit: two texts never become
 * one, lone surrogates included, and no separator comes through.
 */
export const escapeText = (text: string): string =>
  text.replace(/[^\w-]/g, (unit) => `%${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Where the events of a log stand. The separator is in no escaped key: no log's prefix begins another's. */
export const eventsOf = (key: string): string => `${escapeText(key)}/e/`;

/** Where the snapshots of a log stand, and the marks of those that were seen. */
export const snapshotsOf = (key: string): string => `${escapeText(key)}/s/`;

/** How a mark ends, in ms since the epoch. */
export const markAt = (name: string, ms: number): string => `${name}.${digits(Math.floor(ms), TIME_DIGITS)}`;

/** A snapshot's name, and where it is the name of a mark, since when the snapshot has been seen. */
export function parseMark(text: string): { name: string; seenMs: number | undefined } | undefined {
  const parts = MARK.exec(text);
  if (parts === null) return undefined;
  return { name: parts[1] as string, seenMs: parts[2] === undefined ? undefined : Number.parseInt(parts[2], 36) };
}

export const isPosition = (text: string): boolean => POSITION.test(text);

/** When a position was given out, in ms since the epoch. */
export const timeOf = (position: string): number => Number.parseInt(position.slice(0, TIME_DIGITS), 36);

/** Positions of one writer: each is greater than all before, also when the clock goes back. */
export class Positions {
  readonly #writer: () => string;
  #lastMs = 0;
  #count = 0;

  /** @param writer no two writers may have one */
  constructor(writer: () => string) {
    this.#writer = writer;
  }

  next(nowMs: number): string {
    this.#count++;
    if (nowMs > this.#lastMs || this.#count === MAX_COUNT) {
      this.#lastMs = Math.max(Math.floor(nowMs), this.#lastMs + 1);
      this.#count = 0;
    }
    return `${digits(this.#lastMs, TIME_DIGITS)}${digits(this.#count, COUNT_DIGITS)}-${this.#writer()}`;
  }
}
