import type { Core } from './core.ts';
import type { FileEntry } from './file-entry.ts';
import { Flight, type FlightPort } from './flight.ts';
import { ChunkQueue } from './queue.ts';
import type { Demand, Slot } from './slot.ts';
import { type EventDetails, emitSlotEvent, isRetryable, type SlotEvent, waitersError } from './telling.ts';

/**
 * Turns demand into fetches: one at a time for a chunk, at most `concurrency` in all and `perFile` of one file, in the
 * queue's order. A chunk is under way as long as somebody wants it, and no longer.
 */
export class Downloads {
  readonly queue: ChunkQueue = new ChunkQueue();
  readonly #core: Core;
  readonly #port: FlightPort;
  /** The flights that hold a place among the `concurrency`. */
  readonly #placed = new Set<Flight>();
  #pumping = false;
  /** Chunks that wait for their next attempt. */
  #resting = 0;
  #busy = false;

  constructor(core: Core, port: Omit<FlightPort, 'arrived'>) {
    this.#core = core;
    this.#port = { ...port, arrived: (slot) => this.#arrived(slot) };
  }

  get active(): number {
    return this.#placed.size;
  }

  /** Adds one who wants a chunk that is not here. It joins what is under way, and makes it more urgent if need be. */
  want(demand: Demand): void {
    const { file } = demand;
    // Whoever asks in the moment in which a generation ends: nobody serves its queue any more.
    if (file.ended !== undefined) {
      demand.listener.onFailed(file.ended);
      return;
    }
    const slot = file.slot(demand.chunk);
    slot.join(demand);
    if (slot.demands.size === 1) slot.priority = demand.priority;
    else this.#core.counters.shared++;
    if (slot.phase === 'idle') this.#begin(slot);
    else this.raise(demand, demand.priority);
  }

  /** Makes one's demand more urgent; never less. */
  raise(demand: Demand, priority: Demand['priority']): void {
    const { slot } = demand;
    demand.priority = Math.min(demand.priority, priority) as Demand['priority'];
    if (slot === undefined || slot.priority <= priority) return;
    slot.priority = priority;
    if (slot.phase === 'queued') this.queue.raise(slot.file.id, slot.chunk, priority);
  }

  /** Takes one's demand back; with the last one the fetch stops, and its bytes so far stay. @returns false when it was over */
  release(demand: Demand): boolean {
    const { slot } = demand;
    if (slot === undefined) return false;
    slot.leave(demand);
    if (slot.demands.size === 0) this.#withdraw(slot);
    return true;
  }

  /** Ends everything that is under way for a generation that is over. */
  retire(file: FileEntry, makeError: () => unknown): void {
    for (const slot of [...file.slots.values()]) {
      const demands = slot.takeDemands();
      this.#withdraw(slot);
      for (const demand of demands) demand.listener.onFailed(makeError);
    }
  }

  /** Keeps fetches off an unused chunk while the task runs; whoever wants it meanwhile is served afterwards. */
  async occupy(slot: Slot, task: () => Promise<void>): Promise<void> {
    slot.phase = 'evicting';
    try {
      await task();
    } finally {
      slot.phase = 'idle';
      this.#next(slot);
    }
  }

  #begin(slot: Slot): void {
    slot.attempts = 0;
    slot.failed = false;
    this.#enqueue(slot);
  }

  #enqueue(slot: Slot): void {
    slot.phase = 'queued';
    this.queue.push(slot.file.id, slot.chunk, slot.priority);
    this.#emit('queued', slot, {});
    this.#schedule();
  }

  /** In a microtask of its own: of all that is asked for in one go, the most urgent starts first. */
  #schedule(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    const { concurrency, perFile } = this.#core.settings;
    const { files } = this.#core;
    while (this.active < concurrency) {
      const next = this.queue.pop((id) => (files.get(id) as FileEntry).active < perFile);
      if (next === undefined) break;
      this.#start((files.get(next.file) as FileEntry).slot(next.chunk));
    }
    if (this.active > 0 || this.queue.size > 0 || this.#resting > 0) this.#busy = true;
    else if (this.#busy) {
      this.#busy = false;
      this.#core.events.emit('idle', {});
    }
  }

  #start(slot: Slot): void {
    const flight = new Flight(this.#core, this.#port, slot);
    slot.phase = 'fetching';
    slot.flight = flight;
    this.#placed.add(flight);
    slot.file.active++;
    this.#busy = true;
    this.#emit('started', slot, { attempt: slot.attempts + 1 });
    flight.run().then(
      () => this.#landed(flight),
      (error: unknown) => this.#crashed(flight, error),
    );
  }

  #withdraw(slot: Slot): void {
    if (slot.phase === 'queued') this.queue.cancel(slot.file.id, slot.chunk);
    else if (slot.phase === 'backoff') {
      this.#resting--;
      slot.cancelTimer();
    } else {
      if (slot.phase === 'fetching' && slot.flight?.landing === false) this.#leave(slot, slot.flight);
      return;
    }
    slot.phase = 'idle';
    this.#emit('cancelled', slot, {});
    slot.file.tidy(slot);
    this.#schedule();
  }

  /**
   * Who has read the last byte leaves before the fetch has said that it was the last: what is complete may still land,
   * and is stopped only when the fetch does not come to its end.
   */
  #leave(slot: Slot, flight: Flight): void {
    const isComplete = slot.file.certainty !== 'unknown' && slot.received === slot.size;
    if (!isComplete || slot.file.ended !== undefined) {
      this.#stop(slot, flight);
      return;
    }
    const { clock, abandonAfterMs } = this.#core.settings;
    slot.cancelTimer();
    slot.cancelTimer = clock.after(abandonAfterMs, () => {
      if (slot.demands.size === 0 && !flight.landing) this.#stop(slot, flight);
    });
  }

  /** The slot of the manager's is free at once; the chunk itself only when the fetch has settled or is given up. */
  #stop(slot: Slot, flight: Flight): void {
    slot.phase = 'stopping';
    const { clock, abandonAfterMs } = this.#core.settings;
    slot.cancelTimer();
    slot.cancelTimer = clock.after(abandonAfterMs, () => {
      flight.abandoned = true;
      this.#core.counters.abandoned++;
      this.#over(slot);
    });
    this.#free(flight);
    flight.abort(new DOMException('Nobody wants this chunk any more', 'AbortError'));
    this.#emit('cancelled', slot, {});
  }

  #landed(flight: Flight): void {
    const { slot } = flight;
    slot.cancelTimer();
    this.#free(flight);
    slot.flight = undefined;
    slot.phase = 'idle';
    if (slot.file.ended !== undefined) return;
    const bytes = slot.size;
    slot.received = 0;
    slot.reserved = false;
    const demands = slot.takeDemands();
    this.#emit('chunk', slot, { bytes });
    for (const demand of demands) demand.listener.onDone();
    slot.file.tidy(slot);
  }

  #crashed(flight: Flight, error: unknown): void {
    const { slot } = flight;
    if (flight.abandoned) return;
    if (slot.received === 0 && slot.reserved) this.#unreserve(slot);
    slot.cancelTimer();
    if (slot.phase === 'stopping') {
      this.#over(slot);
      return;
    }
    this.#free(flight);
    slot.flight = undefined;
    slot.phase = 'idle';
    if (slot.file.ended !== undefined) return;
    slot.attempts++;
    // Whoever wanted it may have left while it was landing.
    if (slot.demands.size === 0) slot.file.tidy(slot);
    else if (slot.attempts < this.#core.settings.attempts && isRetryable(error)) this.#retry(slot, error);
    else this.#giveUp(slot, error);
  }

  #retry(slot: Slot, cause: unknown): void {
    const { backoff, clock, random } = this.#core.settings;
    const { attempts } = slot;
    const delayMs = backoff.delayMs(attempts, random);
    slot.phase = 'backoff';
    this.#resting++;
    slot.cancelTimer = clock.after(delayMs, () => {
      this.#resting--;
      this.#enqueue(slot);
    });
    this.#core.counters.retries++;
    this.#emit('retry', slot, { attempts, cause, delayMs });
  }

  #giveUp(slot: Slot, cause: unknown): void {
    slot.failed = true;
    const { attempts } = slot;
    const demands = slot.takeDemands();
    this.#emit('failed', slot, { attempts, cause });
    for (const demand of demands) demand.listener.onFailed(() => waitersError(slot, attempts, cause));
  }

  /** After a stopped fetch: those who came meanwhile are served now. */
  #over(slot: Slot): void {
    slot.flight = undefined;
    slot.phase = 'idle';
    this.#next(slot);
  }

  #next(slot: Slot): void {
    if (slot.demands.size > 0) this.#begin(slot);
    else slot.file.tidy(slot);
  }

  #emit<E extends SlotEvent>(event: E, slot: Slot, more: EventDetails<E>): void {
    emitSlotEvent(this.#core, event, slot, more);
  }

  /** A chunk of which nothing came takes no room. */
  #unreserve(slot: Slot): void {
    slot.reserved = false;
    if (slot.file.ended === undefined) this.#core.budget?.released(slot.file, slot.chunk, slot.size);
  }

  #free(flight: Flight): void {
    if (!this.#placed.delete(flight)) return;
    flight.slot.file.active--;
    this.#schedule();
  }

  #arrived(slot: Slot): void {
    slot.progressAtMs = this.#core.settings.clock.now();
    for (const demand of slot.demands) demand.listener.onProgress();
    this.#emit('progress', slot, { bytes: slot.received });
  }
}
