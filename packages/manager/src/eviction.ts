import { type Linked, LinkedList } from '@chunks/base';
import type { Core } from './core.ts';
import type { Downloads } from './downloads.ts';
import { DiskBudgetError } from './errors.ts';
import type { FileEntry } from './file-entry.ts';
import type { Slot } from './slot.ts';
import { emitSlotEvent } from './telling.ts';

class Use implements Linked<Use> {
  previous: Use | undefined = undefined;
  next: Use | undefined = undefined;
  readonly file: FileEntry;
  readonly chunk: number;
  constructor(file: FileEntry, chunk: number) {
    this.file = file;
    this.chunk = chunk;
  }
}

/** The chunks of one file that were used since the start, and up to where the others have been evicted. */
interface FileUses {
  readonly uses: Map<number, Use>;
  unusedFrom: number;
}

/**
 * Keeps what is stored within a limit. Room is made before a chunk is fetched: first by files that nobody has opened
 * since the start, then by chunks that nobody has used since then, then by the least recently used. Chunks that are
 * pinned, wanted, under way or being read stay.
 */
export class DiskBudget {
  readonly #core: Core;
  readonly #downloads: Downloads;
  readonly #maxBytes: number;
  /** Loads a file that is stored but that nobody opened, so that its chunks can go. */
  readonly #load: (id: string) => Promise<void>;
  readonly #files = new WeakMap<FileEntry, FileUses>();
  readonly #lru: LinkedList<Use> = new LinkedList<Use>();
  #usedBytes = 0;
  #measured: Promise<void> | undefined;
  #unopened: string[] | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(core: Core, downloads: Downloads, maxBytes: number, load: (id: string) => Promise<void>) {
    this.#core = core;
    this.#downloads = downloads;
    this.#maxBytes = maxBytes;
    this.#load = load;
  }

  /** One after the other: two that make room at once would both count on the same bytes. */
  reserve(slot: Slot): Promise<void> {
    const turn = this.#turn.then(() => this.#reserve(slot));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  touch(file: FileEntry, chunk: number): void {
    // A reader that has not yet noticed the end: what is dropped would be the next victim for ever.
    if (file.ended !== undefined) return;
    const { uses } = this.#usesOf(file);
    let use = uses.get(chunk);
    if (use === undefined) uses.set(chunk, (use = new Use(file, chunk)));
    else this.#lru.remove(use);
    this.#lru.push(use);
  }

  /** A generation is over: its bytes leave the store as a whole. */
  drop(file: FileEntry): void {
    const files = this.#files.get(file);
    for (const use of files?.uses.values() ?? []) this.#lru.remove(use);
    this.#files.delete(file);
    this.#usedBytes -= file.heldBytes;
    file.heldBytes = 0;
  }

  /** One chunk's bytes are gone. */
  released(file: FileEntry, chunk: number, bytes: number): void {
    const { uses } = this.#usesOf(file);
    const use = uses.get(chunk);
    if (use !== undefined) this.#lru.remove(use);
    uses.delete(chunk);
    this.#usedBytes -= bytes;
    file.heldBytes -= bytes;
  }

  /** Chunks that were passed over as pinned may go from now on. */
  rescan(file: FileEntry): void {
    this.#usesOf(file).unusedFrom = 0;
  }

  /** Asks the store once what is in use, before anything is fetched or removed. */
  measure(): Promise<void> {
    this.#measured ??= this.#core.settings.store.usage().then(
      (bytes) => {
        this.#usedBytes = bytes;
      },
      (error: unknown) => {
        this.#measured = undefined;
        throw error;
      },
    );
    return this.#measured;
  }

  async #reserve(slot: Slot): Promise<void> {
    const { file, chunk, size } = slot;
    // Of a file of unknown length nothing is known to make room for; it is asked again before its chunk is marked.
    if (file.certainty === 'unknown' || size === 0) return;
    file.throwIfEnded();
    this.touch(file, chunk);
    if (slot.reserved) return;
    const refusal = (o?: { cause: unknown }): DiskBudgetError =>
      new DiskBudgetError({ fileId: file.id, neededBytes: size, maxBytes: this.#maxBytes, ...o });
    while (this.#usedBytes + size > this.#maxBytes) {
      const victim = await this.#victim();
      if (victim === undefined) throw refusal();
      await this.#evict(victim.file, victim.chunk).catch((cause: unknown) => {
        throw refusal({ cause });
      });
    }
    file.throwIfEnded();
    slot.reserved = true;
    file.heldBytes += size;
    this.#usedBytes += size;
  }

  async #victim(): Promise<{ file: FileEntry; chunk: number } | undefined> {
    const { files, settings } = this.#core;
    for (;;) {
      const unopened = this.#neverUsed((file) => !file.opened);
      if (unopened !== undefined) return unopened;
      this.#unopened ??= await settings.repository.listFiles();
      const id = this.#unopened.shift();
      if (id === undefined) break;
      if (!files.has(id)) await this.#load(id);
    }
    const neverUsed = this.#neverUsed((file) => file.opened);
    if (neverUsed !== undefined) return neverUsed;
    for (const use of this.#lru) if (isEvictable(use.file, use.chunk)) return use;
    return undefined;
  }

  #neverUsed(among: (file: FileEntry) => boolean): { file: FileEntry; chunk: number } | undefined {
    for (const file of this.#core.files.values()) {
      if (!among(file)) continue;
      const of = this.#usesOf(file);
      const { coverage } = file;
      for (let chunk = of.unusedFrom; chunk < coverage.count; chunk++) {
        chunk = coverage.nextPresent(chunk);
        of.unusedFrom = chunk;
        if (chunk < coverage.count && !of.uses.has(chunk) && isEvictable(file, chunk)) return { file, chunk };
      }
      of.unusedFrom = coverage.count;
    }
    return undefined;
  }

  /** Forgotten before it is removed: a crash in between leaves bytes that nobody claims, never the other way round. */
  async #evict(file: FileEntry, chunk: number): Promise<void> {
    const slot = file.slot(chunk);
    const bytes = slot.reserved || file.coverage.has(chunk) ? slot.size : 0;
    await this.#downloads.occupy(slot, () => file.track(this.#remove(slot)));
    if (file.ended !== undefined) return;
    this.released(file, chunk, bytes);
    this.#core.counters.evictions++;
    emitSlotEvent(this.#core, 'evicted', slot, {});
  }

  async #remove(slot: Slot): Promise<void> {
    const { file, chunk, range } = slot;
    const { repository, store } = this.#core.settings;
    const chunks = { firstChunk: chunk, endChunk: chunk + 1 };
    if (file.coverage.unmark(chunk)) {
      await repository.unmarkChunks(file.id, file.generation, chunks).catch((error: unknown) => {
        file.coverage.mark(chunk);
        throw error;
      });
    }
    // Until the store has let go of them, the bytes count, whoever claims them.
    slot.reserved = true;
    this.#core.counters.bytesWasted += slot.received;
    slot.received = 0;
    await store.remove(file.id, file.generation, chunks, range);
    slot.reserved = false;
  }

  #usesOf(file: FileEntry): FileUses {
    let of = this.#files.get(file);
    if (of === undefined) this.#files.set(file, (of = { uses: new Map(), unusedFrom: 0 }));
    return of;
  }
}

const isEvictable = (file: FileEntry, chunk: number): boolean =>
  file.certainty !== 'unknown' && !file.pinned?.has(chunk) && (file.slots.get(chunk)?.unused ?? true);

/** Takes a mark back whose bytes are not there. */
export async function forgetChunk(core: Core, file: FileEntry, chunk: number): Promise<void> {
  if (!file.coverage.unmark(chunk)) return;
  const { startByte, endByte } = file.geometry.rangeOf(chunk);
  core.budget?.released(file, chunk, endByte - startByte);
  const chunks = { firstChunk: chunk, endChunk: chunk + 1 };
  await file.track(core.settings.repository.unmarkChunks(file.id, file.generation, chunks));
}
