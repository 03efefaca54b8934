import {
  type Clock,
  checkFunction,
  checkNumber,
  checkText,
  type Exclusively,
  refuseType,
  systemClock,
} from '@chunks/base';
import { UpdateTimeoutError } from '../errors.ts';
import type { AppendStore } from './append-store.ts';
import { compactView } from './compaction.ts';
import { LogCalls, patience, within } from './log-calls.ts';
import { escapeText, eventsOf, Positions } from './names.ts';
import { encodeEvent } from './records.ts';
import { foldEvents, type Look, look, shows, type View } from './view.ts';

/** What {@link EventLog} takes. */
export interface EventLogOptions<S extends object, E> {
  store: AppendStore;
  /** The state of a log without events: a new one each time, for `reduce` may change it. */
  initial: () => S;
  /**
   * Changes the state by an event, or returns a new one. Must do nothing else: each read runs it over the events that
   * no snapshot contains. One that throws rejects the read or the compaction, and nothing is written.
   */
  reduce: (state: S, event: E) => S | void;
  /** Stands in the keys of what this instance writes, to see who did; need not be unique. @default nothing */
  writerId?: string | undefined;
  /**
   * Longer than the store takes to show a write to everybody, plus the difference of any two clocks, in ms. Younger
   * events are not folded, and nothing is deleted before everybody has surely seen what replaces it. The same for all
   * who use a log. @default 90_000, for the 60 s of Workers KV
   */
  graceMs?: number | undefined;
  /**
   * How long an `id` that a caller gave is remembered after its event was folded and deleted, in ms; at least
   * 4 × (`graceMs` + 120_000). Each id costs some 50 bytes of every snapshot. @default 86_400_000, a day
   */
  rememberMs?: number | undefined;
  /**
   * Runs each compaction alone for its key, such as `locks.run.bind(locks)`: saves work where several would do it at
   * once. Compaction is safe without. @default not at all
   */
  exclusively?: Exclusively | undefined;
  /** @default the system's */
  clock?: Clock | undefined;
}

/**
 * A state for stores that have no compare-and-set, such as Workers KV: it is what its events make of it. Every event is
 * written under a key of its own, so no two writers can overwrite each other; `compact` folds old events into a
 * snapshot and deletes them.
 *
 * Reads are as late as the store is. A late event folds after the snapshot that missed it: reducers must not depend on
 * order beyond `graceMs`.
 *
 * @throws TypeError | RangeError naming the option, the rule and the value
 * @example
 * const log = new EventLog({
 *   store: workersKvLog(env.KV),
 *   initial: () => ({ done: [] as string[] }),
 *   reduce: (state, event: { video: string }) => void state.done.push(event.video),
 * });
 * const { id } = await log.append('batch-7', { video: 'video-1' }, { id: requestId });
 * const { state } = await log.read('batch-7', { atLeast: id });
 */
export class EventLog<S extends object, E> {
  readonly #calls: LogCalls;
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #rememberMs: number;
  readonly #exclusively: Exclusively | undefined;
  readonly #reducer: { initial: () => S; reduce: (state: S, event: E) => S | void };
  readonly #positions: Positions;

  constructor(o: EventLogOptions<S, E>) {
    const { store, initial, reduce, writerId, exclusively, clock = systemClock } = o;
    for (const method of ['put', 'get', 'list', 'delete'] as const) {
      if (typeof store?.[method] !== 'function') refuseType('store', 'an AppendStore', store);
    }
    checkFunction('initial', initial);
    checkFunction('reduce', reduce);
    if (exclusively !== undefined) checkFunction('exclusively', exclusively);
    const name = writerId === undefined ? '' : `${escapeText(checkText('writerId', writerId))}-`;
    this.#graceMs = checkNumber('graceMs', o.graceMs ?? 90_000, 1);
    this.#rememberMs = checkNumber('rememberMs', o.rememberMs ?? 86_400_000, 0);
    this.#calls = new LogCalls(store, clock);
    this.#clock = clock;
    this.#exclusively = exclusively;
    this.#reducer = { initial, reduce };
    let salt = '';
    this.#positions = new Positions(() => {
      // On first use, because Workers give no random numbers before the first request.
      salt ||= [...crypto.getRandomValues(new Uint32Array(2))].map((part) => part.toString(36)).join('');
      return name + salt;
    });
  }

  /**
   * Adds an event. Resolves when the store keeps it; until others see it, as long may pass as the store takes.
   *
   * With an `id` it counts once, whoever appends it how often: the first by position (time, then writer) among those
   * shown, or the one that a snapshot already contains. Another event under the same id is ignored: nobody can see
   * all of them in time to refuse it. Remembered for `rememberMs` after the event was folded and deleted.
   *
   * A failed write is tried again for half a minute. An abort rejects with the signal's reason; if that is after the
   * call was sent, the event may show nevertheless.
   * @throws LOSSY_STATE with the path, and VALUE_TOO_LARGE, before anything is written; STORE_UNAVAILABLE when surely
   * nothing was; UPDATE_AMBIGUOUS when that is unknown: append again with the same `id`
   */
  async append(
    key: string,
    event: E,
    o: { /** Same id, same event. */ id?: string | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<{ id: string }> {
    checkKey(key);
    if (o.id !== undefined) checkText('id', o.id);
    const value = encodeEvent(key, o.id, event);
    const position = this.#positions.next(this.#clock.now());
    await this.#calls.put(key, eventsOf(key) + position, value, { signal: o.signal, appends: true });
    return { id: o.id ?? position };
  }

  /**
   * The state after all events that the store shows, in the order of time and writer, each id once; `events` says how
   * many. Waits while what the store shows does not fit together, which heals by itself.
   * @throws UPDATE_TIMEOUT after `timeoutMs`, CORRUPT_RECORD, INVALID_STATE, STORE_UNAVAILABLE, what `reduce` throws
   */
  async read(
    key: string,
    o: {
      /** Waits until this event shows. An id that was forgotten never does. */
      atLeast?: string | undefined;
      /** Over everything, in ms. Minimum 1. @default graceMs: what was appended before shows by then */
      timeoutMs?: number | undefined;
    } = {},
  ): Promise<{ state: S; events: number }> {
    checkKey(key);
    const { atLeast } = o;
    if (atLeast !== undefined) checkText('atLeast', atLeast);
    const timeoutMs = checkNumber('timeoutMs', o.timeoutMs ?? this.#graceMs, 1);
    const { view } = await this.#look(key, timeoutMs, false, (seen) => atLeast === undefined || shows(seen, atLeast));
    const { state, count } = foldEvents(view.base, view.events, this.#reducer);
    return { state, events: count };
  }

  /**
   * Folds events that are older than `graceMs`, the 1,000 oldest at most, into a new snapshot, and deletes what was
   * folded so long before that everybody sees it: so the events of one call are deleted by a later one. Safe to call at
   * any time, from several places at once, and to die in.
   * @returns how many events went into a snapshot, and how many were deleted
   * @throws as `read` does; LOSSY_STATE, VALUE_TOO_LARGE when the state cannot be stored; what `exclusively` throws
   */
  async compact(key: string): Promise<{ folded: number; removed: number }> {
    checkKey(key);
    const task = async (): Promise<{ folded: number; removed: number }> => {
      const { view, atMs } = await this.#look(key, this.#graceMs, true, () => true);
      const settings = { key, calls: this.#calls, graceMs: this.#graceMs, rememberMs: this.#rememberMs };
      const now = (): number => this.#clock.now();
      const next = (): string => this.#positions.next(now());
      return compactView<S, E>({ ...settings, ...this.#reducer, now, next }, view, atMs);
    };
    return this.#exclusively === undefined ? task() : this.#exclusively(key, task);
  }

  /** Looks until what it sees fits together and is enough. */
  #look(
    key: string,
    timeoutMs: number,
    compacts: boolean,
    isEnough: (view: View) => boolean,
  ): Promise<{ view: View; atMs: number }> {
    const known = new Map<string, string>();
    let attempts = 0;
    const late = (): unknown => new UpdateTimeoutError({ key, timeoutMs, attempts, cause: undefined });
    return within(this.#clock, timeoutMs, late, async (signal) => {
      for (;;) {
        attempts++;
        const atMs = Math.floor(this.#clock.now());
        const request: Look = { key, calls: this.#calls, nowMs: atMs, graceMs: this.#graceMs, compacts, known, signal };
        const view = await look(request);
        if (view !== undefined && isEnough(view)) return { view, atMs };
        await this.#clock.sleep(
          patience.delayMs(attempts, () => 0),
          signal,
        );
      }
    });
  }
}

function checkKey(key: string): void {
  if (typeof key !== 'string') refuseType('key', 'a string', key);
}
