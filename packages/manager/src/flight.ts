import { refuseType } from '@chunks/base';
import type { Core } from './core.ts';
import { BadOriginError } from './errors.ts';
import type { Slot } from './slot.ts';
import type { FileFacts } from './types.ts';

/** What a flight needs of the parts around it. */
export interface FlightPort {
  /** Takes in what the origin says of the file. @throws when it is not this generation any more */
  learn(slot: Slot, facts: FileFacts): void;
  /** Makes room for the chunk. @throws DiskBudgetError (rejects) */
  reserve(slot: Slot): Promise<void>;
  /** Bytes of the chunk are readable now. */
  arrived(slot: Slot): void;
}

/**
 * One attempt to get one chunk: from the origin into the store, and then into the coverage.
 * Whatever the fetch function does, nothing of it is stored after {@link abort} or after it settled.
 */
export class Flight {
  readonly slot: Slot;
  /** The bytes are complete: from here on it is not stopped any more, only finished. */
  landing = false;
  /** Its chunk was given to another flight: nothing that it still does counts. */
  abandoned = false;
  readonly #core: Core;
  readonly #port: FlightPort;
  readonly #controller = new AbortController();
  #accepting = true;
  /** Where the next write goes, from the chunk's start: set with the place that the fetch is told to begin at. */
  #at = 0;
  #writes: Promise<void> = Promise.resolve();
  /** An answer that must not be stored, also when the fetch function hides it. */
  #broken: BadOriginError | undefined;

  constructor(core: Core, port: FlightPort, slot: Slot) {
    this.#core = core;
    this.#port = port;
    this.slot = slot;
  }

  abort(reason: unknown): void {
    this.#accepting = false;
    this.#controller.abort(reason);
  }

  /** Resolves when the chunk is stored and marked; rejects with whatever came in between. */
  async run(): Promise<void> {
    const { slot } = this;
    const { file } = slot;
    await file.ready;
    await this.#port.reserve(slot);
    this.#throwIfAborted();
    // All bytes may be here already, when only the commit failed or the abort came with the last one.
    if (slot.received < slot.size || file.certainty === 'unknown') await this.#fetch();
    this.#throwIfAborted();
    if (this.#broken !== undefined) throw this.#broken;
    if (slot.received < slot.size || file.certainty === 'unknown') {
      throw this.#problem(`the body ended after ${slot.received} of ${slot.size} bytes`);
    }
    await this.#port.reserve(slot);
    this.#throwIfAborted();
    this.landing = true;
    if (slot.size > 0) await file.track(this.#land());
  }

  async #fetch(): Promise<void> {
    const { slot } = this;
    const { file, chunk, range } = slot;
    this.#at = slot.received;
    const job = {
      fileId: file.id,
      generation: file.certainty === 'certain' ? file.generation : undefined,
      chunk,
      chunks: { firstChunk: chunk, endChunk: chunk + 1 },
      range,
      resumeFromByte: range.startByte + this.#at,
      attempt: slot.attempts + 1,
      priority: slot.priority,
    };
    const context = {
      signal: this.#controller.signal,
      write: (bytes: Uint8Array) => this.#write(bytes),
      setFile: (facts: FileFacts) => this.#setFile(facts),
    };
    try {
      await this.#core.settings.fetchChunk(job, context);
    } finally {
      this.#accepting = false;
      // Writes that the fetch did not wait for still count: what was accepted is kept.
      await this.#writes.catch(() => undefined);
    }
    await this.#writes;
  }

  #setFile(facts: FileFacts): void {
    if (!this.#accepting) throw this.#refusal();
    this.#port.learn(this.slot, facts);
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (!(bytes instanceof Uint8Array)) refuseType('bytes', 'a Uint8Array', bytes);
    const { slot } = this;
    const { counters } = this.#core;
    if (!this.#accepting) {
      counters.bytesWasted += bytes.byteLength;
      throw this.#refusal();
    }
    if (slot.file.certainty === 'unknown') {
      throw (this.#broken = this.#problem('bytes came before setFile said how long the file is'));
    }
    if (this.#at + bytes.byteLength > slot.size) {
      // An answer that is too long is not the one that was asked for: none of its bytes can be trusted.
      this.#accepting = false;
      counters.bytesWasted += bytes.byteLength + slot.received;
      slot.received = 0;
      throw (this.#broken = this.#problem(`the body is longer than the ${slot.size} bytes of the chunk`));
    }
    const from = this.#at;
    this.#at += bytes.byteLength;
    const stored = this.#writes.then(() => this.#store(from, bytes));
    this.#writes = stored;
    this.#writes.catch(() => undefined);
    await stored;
    // Stored all the same, since it was on its way: but the fetch must learn that it is over.
    this.#throwIfAborted();
  }

  async #store(from: number, bytes: Uint8Array): Promise<void> {
    const { slot } = this;
    const { file, chunk } = slot;
    const { generation } = file;
    const { store } = this.#core.settings;
    this.#throwIfAborted();
    await file.track(store.write(file.id, generation, chunk, slot.range.startByte + from, bytes));
    const isOther = file.ended !== undefined || file.generation !== generation;
    // Bytes count only where they continue what is there: a gap would be read as if it were filled.
    if (this.abandoned || this.#broken !== undefined || isOther || slot.received !== from) {
      this.#core.counters.bytesWasted += bytes.byteLength;
      throw this.#problem('its bytes are of no use any more');
    }
    slot.received = from + bytes.byteLength;
    this.#core.counters.bytesFetched += bytes.byteLength;
    this.#port.arrived(slot);
  }

  /** Durable first, then remembered: a crash in between loses the mark and never invents one. */
  async #land(): Promise<void> {
    const { file, chunk, size } = this.slot;
    const { store, repository } = this.#core.settings;
    await store.commit(file.id, file.generation, chunk);
    if (file.ended !== undefined) return;
    // Meanwhile the origin may have told its generation for the first time.
    await file.ready;
    await repository.markChunks(file.id, file.generation, [{ chunk, size }]);
    if (file.ended === undefined) file.coverage.mark(chunk);
  }

  #throwIfAborted(): void {
    this.#controller.signal.throwIfAborted();
  }

  #refusal(): unknown {
    const { signal } = this.#controller;
    return signal.aborted ? signal.reason : this.#problem('bytes came after the fetch was over');
  }

  #problem(problem: string): BadOriginError {
    return new BadOriginError({ fileId: this.slot.file.id, problem });
  }
}
