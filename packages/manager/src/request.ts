import { type ChunkSpan, type Deferred, deferred, onAbort } from '@chunks/base';
import type { Core } from './core.ts';
import type { Downloads } from './downloads.ts';
import { WaitTimeoutError } from './errors.ts';
import type { FileEntry } from './file-entry.ts';
import { PRIORITY_NAMES, type Priority } from './priority.ts';
import { Demand, type DemandListener } from './slot.ts';
import type { RangeTicket } from './types.ts';

export interface RequestSettings {
  readonly priority: Priority;
  readonly owner: string | undefined;
  readonly signal: AbortSignal | undefined;
}

const noop = (): void => undefined;

/** An AbortError as the platform makes them, one for each who gets it. */
const cancelled = (): DOMException => new DOMException('The request was cancelled', 'AbortError');

/** One caller's demand for all the missing chunks of a span. Settles once. */
export class ChunkRequest implements RangeTicket, DemandListener {
  readonly done: Promise<void>;
  readonly missing: readonly ChunkSpan[];
  /** When it began, or when bytes of one of its chunks last arrived. */
  progressAtMs: number;
  readonly #core: Core;
  readonly #downloads: Downloads;
  readonly #settled: Deferred<void> = deferred<void>();
  readonly #demands: Demand[] = [];
  readonly #priority: Priority;
  readonly #sinceMs: number;
  #left = 0;
  #isSettled = false;
  #isWithdrawn = false;
  #unlisten: () => void = noop;

  constructor(core: Core, downloads: Downloads, file: FileEntry, span: ChunkSpan, o: RequestSettings) {
    this.#core = core;
    this.#downloads = downloads;
    this.#priority = o.priority;
    this.#sinceMs = core.settings.clock.now();
    this.progressAtMs = this.#sinceMs;
    this.done = this.#settled.promise;
    this.done.catch(noop);
    this.missing = [...file.coverage.gaps(span)];
    if (o.signal?.aborted) {
      this.#settle(() => this.#settled.reject(o.signal?.reason));
      return;
    }
    for (const { firstChunk, endChunk } of this.missing) {
      this.#left += endChunk - firstChunk;
      for (let chunk = firstChunk; chunk < endChunk; chunk++) {
        this.#demands.push(new Demand(file, chunk, { ...o, listener: this }));
      }
    }
    if (this.#left === 0) {
      this.#settle(() => this.#settled.resolve());
      return;
    }
    this.#unlisten = onAbort(o.signal, () => this.fail(o.signal?.reason));
    for (const demand of this.#demands) {
      // A listener that hears of the first ones may abort: the others are not wanted then.
      if (this.#isWithdrawn) return;
      downloads.want(demand);
    }
  }

  cancel(): boolean {
    return this.fail(cancelled());
  }

  /** Withdraws all of it with that reason. @returns false when it was settled already */
  fail(reason: unknown): boolean {
    const first = this.#settle(() => this.#settled.reject(reason));
    this.#isWithdrawn = true;
    this.#unlisten();
    // Also after a failed chunk has settled it: the others were still wanted.
    for (const demand of this.#demands) this.#downloads.release(demand);
    return first;
  }

  [Symbol.dispose](): void {
    this.cancel();
  }

  onProgress(): void {
    this.progressAtMs = this.#core.settings.clock.now();
  }

  onDone(): void {
    this.onProgress();
    if (--this.#left > 0) return;
    this.#unlisten();
    const { counters, settings } = this.#core;
    this.#settle(() => {
      counters.wait[PRIORITY_NAMES[this.#priority]].record(settings.clock.now() - this.#sinceMs);
      this.#settled.resolve();
    });
  }

  /** The caller learns at once; the chunks that can be had are got all the same. */
  onFailed(makeError: () => unknown): void {
    if (--this.#left === 0) this.#unlisten();
    this.#settle(() => this.#settled.reject(makeError()));
  }

  #settle(how: () => void): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    how();
    return true;
  }
}

/** Calls back once nothing has progressed for `timeoutMs`. @returns what stops it */
export function watchProgress(
  core: Core,
  timeoutMs: number,
  progressAtMs: () => number,
  onTimeout: (waitedMs: number) => void,
): () => void {
  const { clock } = core.settings;
  const check = (): void => {
    const waitedMs = clock.now() - progressAtMs();
    // Bytes only move a number: one timer a wait, not one a write.
    if (waitedMs >= timeoutMs) onTimeout(waitedMs);
    else cancel = clock.after(timeoutMs - waitedMs, check);
  };
  let cancel = clock.after(timeoutMs, check);
  return () => cancel();
}

/** Waits until a request is served; whatever ends the wait ends the request. */
export async function waitFor(core: Core, file: FileEntry, request: ChunkRequest, timeoutMs: number): Promise<void> {
  const stop = watchProgress(
    core,
    timeoutMs,
    () => request.progressAtMs,
    (waitedMs) => request.fail(new WaitTimeoutError({ fileId: file.id, waitedMs })),
  );
  core.counters.waiters++;
  try {
    await request.done;
  } finally {
    core.counters.waiters--;
    stop();
    request.cancel();
  }
}

/** Withdraws everybody's demand for these chunks, or one owner's. @returns how many there were */
export function cancelDemands(
  downloads: Downloads,
  file: FileEntry,
  span: ChunkSpan,
  owner: string | undefined,
): number {
  let count = 0;
  for (const slot of [...file.slots.values()]) {
    if (slot.chunk < span.firstChunk || slot.chunk >= span.endChunk) continue;
    for (const demand of [...slot.demands]) {
      if (owner !== undefined && demand.owner !== owner) continue;
      // A request for several chunks may have withdrawn this one when the one before ended it.
      if (!downloads.release(demand)) continue;
      count++;
      demand.listener.onFailed(cancelled);
    }
  }
  return count;
}
