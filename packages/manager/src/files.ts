import { checkText } from '@chunks/base';
import type { Core } from './core.ts';
import type { Downloads } from './downloads.ts';
import { BadOriginError, GenerationChangedError, ManagerClosedError, UnknownFileError } from './errors.ts';
import { FileEntry, generationOfLength } from './file-entry.ts';
import { ChunkGeometry } from './geometry.ts';
import { describe, entryFromDescription, entryFromHints, probeEntry } from './opening.ts';
import { SharedTask } from './shared-task.ts';
import type { Slot } from './slot.ts';
import type { FileFacts, OpenOptions } from './types.ts';

/** Which files there are, and which generation of each is the current one. */
export class Files {
  readonly #core: Core;
  readonly #downloads: Downloads;
  readonly #opening = new Map<string, SharedTask<FileEntry>>();
  readonly #loading = new Map<string, Promise<FileEntry | undefined>>();
  /** By id: a removal that is still going on. */
  readonly #leaving = new Map<string, Promise<unknown>>();

  constructor(core: Core, downloads: Downloads) {
    this.#core = core;
    this.#downloads = downloads;
  }

  /** @throws UnknownFileError | ManagerClosedError */
  get(id: string): FileEntry {
    this.#checkOpen(id);
    const entry = this.#core.files.get(checkText('fileId', id));
    if (entry?.opened) return entry;
    throw new UnknownFileError({ fileId: id });
  }

  /** The current generation, once its length is known. Everybody who opens a file at once shares one opening. */
  async open(o: OpenOptions): Promise<FileEntry> {
    for (;;) {
      o.signal?.throwIfAborted();
      this.#checkOpen(o.id);
      const entry = this.#core.files.get(o.id);
      if (entry?.opened && saysWhatIsAsked(entry, o) && !this.#isStale(entry, o)) return entry;
      const running = this.#opening.get(o.id);
      if (running === undefined) return this.#start(o).join(o.signal);
      // Somebody else's opening may have been with other hints, or end with its last caller: looked at again after it.
      await (running.isAborted ? running.over : running.join(o.signal));
    }
  }

  /** What the origin told a fetch. @throws GenerationChangedError | BadOriginError */
  learn(slot: Slot, facts: FileFacts): void {
    const { file } = slot;
    const { generation, id } = file;
    const current = this.#take(file, facts);
    if (current !== file) throw new GenerationChangedError({ fileId: id, from: generation, to: current?.generation });
    file.checkedAtMs = this.#core.settings.clock.now();
  }

  /** A file as it is stored, opened or not; once, however many ask. */
  async load(id: string): Promise<FileEntry | undefined> {
    const { files, settings } = this.#core;
    await this.#leaving.get(id);
    const known = files.get(id);
    if (known !== undefined) return known;
    let loading = this.#loading.get(id);
    if (loading === undefined) {
      loading = settings.repository.loadFile(id).then((row) => {
        const entry = row && FileEntry.fromRow(row);
        if (entry !== undefined) files.set(id, entry);
        return entry;
      });
      this.#loading.set(id, loading);
      const over = (): void => {
        this.#loading.delete(id);
      };
      loading.then(over, over);
    }
    return loading;
  }

  /** Forgets a file and frees its bytes. Its readers end with UNKNOWN_FILE. @returns false when there was none */
  async remove(id: string): Promise<boolean> {
    this.#checkOpen(id);
    const opening = this.#opening.get(checkText('fileId', id));
    opening?.abort(new UnknownFileError({ fileId: id }));
    // What is loaded ends before this returns; what is only stored has to be loaded, because the store frees it by its
    // generation.
    let entry = this.#core.files.get(id);
    if (entry === undefined) {
      await opening?.over;
      entry = await this.load(id);
    }
    if (entry === undefined) return false;
    this.#end(entry, () => new UnknownFileError({ fileId: id }));
    await this.#leave(entry);
    return true;
  }

  /** Ends everything with MANAGER_CLOSED and waits until nothing is under way in store and repository. */
  async close(): Promise<void> {
    const { files, settings } = this.#core;
    const openings = [...this.#opening.values()];
    for (const [id, opening] of this.#opening) opening.abort(new ManagerClosedError({ fileId: id }));
    const entries = [...files.values()];
    for (const entry of entries) this.#end(entry, () => new ManagerClosedError({ fileId: entry.id }));
    await Promise.allSettled(openings.map((opening) => opening.over));
    await Promise.allSettled(this.#leaving.values());
    for (const entry of entries) {
      await entry.ready.catch(() => undefined);
      await entry.quiesce();
    }
    await settings.repository.close?.();
    await settings.store.close?.();
  }

  #start(o: OpenOptions): SharedTask<FileEntry> {
    const task = new SharedTask((signal) => this.#open(o, signal));
    this.#opening.set(o.id, task);
    void task.over.then(() => this.#opening.delete(o.id));
    return task;
  }

  async #open(o: OpenOptions, signal: AbortSignal): Promise<FileEntry> {
    const core = this.#core;
    await core.budget?.measure();
    let entry = core.files.get(o.id) ?? (await this.load(o.id));
    if (entry !== undefined) entry = await this.#refresh(entry, o, signal);
    signal.throwIfAborted();
    if (entry === undefined) {
      entry =
        entryFromHints(core, o) ??
        (core.settings.describeFile === undefined
          ? await probeEntry(core, this.#downloads, o, signal)
          : await entryFromDescription(core, o, signal));
      signal.throwIfAborted();
      if (core.files.get(o.id) !== entry) this.#adopt(entry, undefined);
      entry.checkedAtMs = core.settings.clock.now();
    }
    await entry.ready;
    signal.throwIfAborted();
    entry.throwIfEnded();
    entry.opened = true;
    return entry;
  }

  /** A file that is stored, held against what the caller or the origin says of it; undefined when it is to be asked anew. */
  async #refresh(entry: FileEntry, o: OpenOptions, signal: AbortSignal): Promise<FileEntry | undefined> {
    if (!saysWhatIsAsked(entry, o)) return this.#take(entry, { totalBytes: o.totalBytes, generation: o.generation });
    if (!this.#isStale(entry, o)) return entry;
    const answer = await describe(this.#core, entry, signal);
    signal.throwIfAborted();
    // It may have changed meanwhile, by what a fetch was told.
    const current = this.#core.files.get(o.id);
    const taken =
      current === undefined || answer === undefined || answer === 'unchanged' ? current : this.#take(current, answer);
    if (taken !== undefined) taken.checkedAtMs = this.#core.settings.clock.now();
    return taken;
  }

  #isStale(entry: FileEntry, o: OpenOptions): boolean {
    // A caller that names the generation has asked the origin itself.
    if (this.#core.settings.describeFile === undefined || o.generation !== undefined) return false;
    if (entry.checkedAtMs === Number.NEGATIVE_INFINITY) return true;
    return this.#core.settings.clock.now() - entry.checkedAtMs > (o.maxAgeMs ?? Number.POSITIVE_INFINITY);
  }

  /**
   * Takes in what somebody says of a file.
   * @returns the same entry when it is the same file still, else its successor, or undefined when its length is unknown.
   */
  #take(entry: FileEntry, facts: FileFacts): FileEntry | undefined {
    const totalBytes = facts.totalBytes ?? (entry.certainty === 'unknown' ? undefined : entry.geometry.totalBytes);
    const isOtherLength = totalBytes !== entry.geometry.totalBytes;
    const lengthOnly = facts.generation === null || (facts.generation === undefined && isOtherLength);
    const byLength = totalBytes === undefined ? undefined : generationOfLength(totalBytes);
    const generation = (lengthOnly ? byLength : facts.generation) ?? undefined;
    if (entry.certainty === 'unknown') return this.#reveal(entry, totalBytes, generation, facts);
    if (generation === undefined || (generation === entry.generation && !isOtherLength)) {
      if (facts.generation !== undefined) entry.certainty = 'certain';
      return entry;
    }
    if (generation === entry.generation) {
      const problem = `says ${totalBytes} bytes instead of ${entry.geometry.totalBytes}, and the same generation`;
      throw new BadOriginError({ fileId: entry.id, problem });
    }
    if (entry.certainty === 'assumed' && !isOtherLength && entry.untouched) {
      return this.#become(entry, { generation, totalBytes: entry.geometry.totalBytes, certainty: 'certain' });
    }
    return this.#replace(entry, generation, facts.totalBytes);
  }

  /** The first fetch of an unknown file says what it is. */
  #reveal(
    entry: FileEntry,
    totalBytes: number | undefined,
    generation: string | undefined,
    facts: FileFacts,
  ): FileEntry {
    if (totalBytes === undefined) {
      throw new BadOriginError({ fileId: entry.id, problem: 'does not say how long the file is' });
    }
    const certainty = facts.generation === undefined ? 'assumed' : 'certain';
    this.#become(entry, { generation: generation ?? generationOfLength(totalBytes), totalBytes, certainty });
    entry.onKnown();
    return entry;
  }

  #become(entry: FileEntry, facts: Parameters<FileEntry['become']>[0]): FileEntry {
    const from = entry.certainty === 'unknown' ? undefined : entry.generation;
    entry.become(facts);
    this.#adopt(entry, from);
    return entry;
  }

  #replace(entry: FileEntry, generation: string, totalBytes: number | undefined): FileEntry | undefined {
    const { id } = entry;
    const from = entry.generation;
    this.#end(entry, () => new GenerationChangedError({ fileId: id, from, to: generation }));
    if (totalBytes === undefined) {
      void this.#leave(entry).catch(() => undefined);
      return undefined;
    }
    const geometry = new ChunkGeometry({ totalBytes, chunkSizeBytes: this.#core.settings.chunkSizeBytes });
    const next = new FileEntry({ id, generation, geometry, certainty: 'certain' });
    next.opened = entry.opened;
    next.checkedAtMs = this.#core.settings.clock.now();
    this.#adopt(next, from, entry);
    return next;
  }

  /** Makes it the current generation. Fetches wait until the repository knows, and what was before has left the store. */
  #adopt(entry: FileEntry, from: string | undefined, before?: FileEntry | undefined): void {
    const { repository, store } = this.#core.settings;
    const { id, generation } = entry;
    this.#core.files.set(id, entry);
    const settle = async (earlier: Promise<void>): Promise<void> => {
      await earlier;
      await before?.ready.catch(() => undefined);
      await before?.quiesce();
      await repository.upsertFile(entry.toRow());
      if (before !== undefined) await store.remove(id, before.generation);
    };
    entry.ready = settle(entry.ready);
    entry.ready.catch((cause: unknown) => this.#end(entry, () => new UnknownFileError({ fileId: id, cause })));
    this.#core.events.emit('generation', { fileId: id, from, to: generation });
  }

  #end(entry: FileEntry, makeError: () => unknown): void {
    if (entry.ended !== undefined) return;
    entry.ended = makeError;
    this.#downloads.retire(entry, makeError);
    if (this.#core.files.get(entry.id) === entry) this.#core.files.delete(entry.id);
    for (const cursor of entry.cursors.values()) cursor.unlisten();
    this.#core.budget?.drop(entry);
  }

  /** Forgotten first: a crash in between leaves bytes that nobody claims, never the other way round. */
  async #leave(entry: FileEntry): Promise<void> {
    const { repository, store } = this.#core.settings;
    const leave = async (): Promise<void> => {
      await entry.ready.catch(() => undefined);
      await entry.quiesce();
      await repository.removeFile(entry.id);
      await store.remove(entry.id, entry.generation);
    };
    const leaving = leave();
    const settled = leaving.catch(() => undefined);
    this.#leaving.set(entry.id, settled);
    void settled.then(() => this.#leaving.get(entry.id) === settled && this.#leaving.delete(entry.id));
    await leaving;
  }

  #checkOpen(id: string): void {
    if (this.#core.closed) throw new ManagerClosedError({ fileId: id });
  }
}

/** Whether a file is what the caller says it is, as far as it says so. */
const saysWhatIsAsked = (entry: FileEntry, o: OpenOptions): boolean =>
  (o.generation === undefined || o.generation === entry.generation) &&
  (o.totalBytes === undefined || o.totalBytes === entry.geometry.totalBytes);
