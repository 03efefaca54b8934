import { closeSync, type FSWatcher, mkdirSync, openSync, utimesSync, watch } from 'node:fs';
import { join } from 'node:path';

/** So many empty files at most, however many keys there are. Keys that share one wake each other, which does no harm. */
const FILES = 256;

/** FNV-1a over UTF-16 code units; the same in every process. */
function fileNameOf(key: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return ((hash >>> 0) % FILES).toString(16).padStart(2, '0');
}

interface Watching {
  readonly file: string;
  readonly wake: () => void;
}

/**
 * Wakes other processes by a folder of empty files: who frees a key touches its file, who waits watches the folder.
 *
 * Measured against its rivals, one waiting process, 200 releases: polling `PRAGMA data_version` every 10 ms notices in
 * 4.6 ms (median) and computes all the time; watching SQLite's own `-wal` file notices in 0.15 ms, but wakes everybody
 * at every commit of anybody, and not at all on systems that tell of a write only when the file is closed; this takes
 * 0.2 ms, costs 1 µs a release, and wakes nobody else.
 */
export class WakeFolder {
  readonly #folder: string;
  readonly #watching = new Set<Watching>();
  #watcher: FSWatcher | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Wakes who watches the key, in every process. */
  touch(key: string, nowMs: number): void {
    try {
      utimesSync(join(this.#folder, fileNameOf(key)), nowMs / 1_000, nowMs / 1_000);
    } catch {
      // Not there: nobody has ever watched. Not ours to touch: a lost wake, and who waits also asks now and then. The
      // release itself is done either way, and must not be reported as failed.
    }
  }

  /** @throws the system's own error when the folder cannot be made or watched; the next call tries again. */
  watch(key: string, wake: () => void): () => void {
    const watching: Watching = { file: fileNameOf(key), wake };
    mkdirSync(this.#folder, { recursive: true });
    closeSync(openSync(join(this.#folder, watching.file), 'a'));
    this.#watcher ??= this.#open();
    this.#watching.add(watching);
    return () => {
      this.#watching.delete(watching);
      if (this.#watching.size === 0) this.#end();
    };
  }

  /** Wakes nobody any more. */
  close(): void {
    this.#watching.clear();
    this.#end();
  }

  #open(): FSWatcher {
    // Not persistent: whoever waits keeps the process alive by other means, or does not want to.
    const watcher = watch(this.#folder, { persistent: false }, (_, name) => {
      if (name === null || /^[0-9a-f]{2}$/.test(name)) this.#wake(name);
      else this.#broken(watcher);
    });
    watcher.on('error', () => this.#broken(watcher));
    return watcher;
  }

  /** The folder has gone, or the system stopped telling: everybody looks once, and the next watch opens it anew. */
  #broken(watcher: FSWatcher): void {
    if (this.#watcher !== watcher) return;
    this.#end();
    this.#wake(null);
  }

  #end(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #wake(file: string | null): void {
    for (const watching of [...this.#watching]) {
      if ((file === null || watching.file === file) && this.#watching.has(watching)) watching.wake();
    }
  }
}
