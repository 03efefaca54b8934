import { existsSync, type FSWatcher, watch } from 'node:fs';
import { basename, join } from 'node:path';
import { onAbort } from '@chunks/base';

/** Two watchers: one sees the key's folder come and go, the other what moves in it. */
class FolderWatch {
  readonly #outer: FSWatcher;
  readonly #path: string;
  readonly #rung: () => void;
  #inner: FSWatcher | undefined;
  /** Why nothing can be told any more. */
  failure: { readonly error: unknown } | undefined;

  constructor(keys: string, name: string, rung: () => void) {
    this.#path = join(keys, name);
    this.#rung = rung;
    const gone = basename(keys);
    this.#outer = watch(keys, (_, changed) => {
      if (changed === gone && !existsSync(keys)) this.#fail(new Error(`${keys} was removed or replaced`));
      if (changed === name || changed === null) this.#look();
    }).on('error', (error) => this.#fail(error));
    this.#look();
  }

  close(): void {
    this.#outer.close();
    this.#inner?.close();
  }

  #look(): void {
    this.#inner?.close();
    this.#inner = undefined;
    try {
      this.#inner = watch(this.#path, this.#rung).on('error', (error) => this.#fail(error));
    } catch (error) {
      // Not there: the other one tells when it comes.
      if ((error as { code?: unknown }).code !== 'ENOENT') this.#fail(error);
    }
    // What happened before it listened.
    this.#rung();
  }

  #fail(error: unknown): void {
    this.failure ??= { error };
    this.#rung();
  }
}

/**
 * Ticks when it listens, and whenever the folder `name` in `keys` comes, goes, or changes its content.
 * @throws the system's own error when it cannot watch, or no longer; the signal's reason
 */
export async function* ticks(keys: string, name: string, signal: AbortSignal): AsyncGenerator<void> {
  signal.throwIfAborted();
  let isRung = false;
  let wake = (): void => undefined;
  const ring = (): void => {
    isRung = true;
    wake();
  };
  const folder = new FolderWatch(keys, name, ring);
  const unlink = onAbort(signal, ring);
  try {
    for (;;) {
      if (!isRung) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      isRung = false;
      signal.throwIfAborted();
      if (folder.failure !== undefined) throw folder.failure.error;
      yield;
    }
  } finally {
    unlink();
    folder.close();
  }
}
