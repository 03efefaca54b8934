import { basename, dirname } from 'node:path';
import type { Files } from '../../../src/adapters/fs/files.ts';

/** What runs when is for the test to say: each call waits here before each of its steps. */
export type Turn = () => Promise<void>;

class Folder {
  readonly names: Map<string, Folder | { text: string }> = new Map();
  isGone = false;
}

const failure = (code: string, path: string): Error => Object.assign(new Error(`${code}: ${path}`), { code });

/**
 * A POSIX file system in memory, as unkind as one may be: a path is looked up first and used a step later, when the
 * folder that was found may bear another name or be gone; a listing is made in two halves, and what is renamed meanwhile
 * shows twice or not at all; a file is there before its content.
 */
export class MemoryDisk {
  readonly #root = new Folder();

  /** The files as one process sees them. */
  files(turn: Turn): Files {
    return {
      list: async (path) => {
        await turn();
        const folder = this.#folder(path);
        const names: string[] = [];
        // Half of all places, then the other half: a name may move back over the place reached.
        for (const isHalf of [(name: string) => /[0-7]$/.test(name), (name: string) => !/[0-7]$/.test(name)]) {
          await turn();
          names.push(...[...folder.names.keys()].filter(isHalf));
        }
        return names;
      },
      read: async (path) => {
        const folder = await this.#found(path, turn);
        const file = folder.names.get(basename(path));
        if (file === undefined || file instanceof Folder) throw failure('ENOENT', path);
        return file.text;
      },
      write: async (path, text) => {
        const folder = await this.#found(path, turn);
        if (folder.isGone) throw failure('ENOENT', path);
        if (folder.names.has(basename(path))) throw failure('EEXIST', path);
        const file = { text: '' };
        folder.names.set(basename(path), file);
        await turn();
        file.text = text;
      },
      make: async (path) => {
        await turn();
        let made: string | undefined;
        let at = '';
        for (const name of path.split('/').slice(1)) {
          const folder = this.#folder(at);
          at += `/${name}`;
          if (folder.names.has(name)) continue;
          folder.names.set(name, new Folder());
          made ??= at;
        }
        return made;
      },
      move: async (from, to) => {
        await turn();
        const [source, target] = [this.#folder(dirname(from)), this.#folder(dirname(to))];
        await turn();
        const moved = source.names.get(basename(from));
        if (moved === undefined || target.isGone) throw failure('ENOENT', from);
        const there = target.names.get(basename(to));
        if (there instanceof Folder && there.names.size > 0) throw failure('ENOTEMPTY', to);
        if (there instanceof Folder) there.isGone = true;
        source.names.delete(basename(from));
        target.names.set(basename(to), moved);
      },
      removeFile: async (path) => {
        const folder = await this.#found(path, turn);
        if (!folder.names.delete(basename(path))) throw failure('ENOENT', path);
      },
      removeFolder: async (path) => {
        const above = await this.#found(path, turn);
        const folder = above.names.get(basename(path));
        if (!(folder instanceof Folder)) throw failure('ENOENT', path);
        if (folder.names.size > 0) throw failure('ENOTEMPTY', path);
        folder.isGone = true;
        above.names.delete(basename(path));
      },
      erase: async (path) => {
        const above = await this.#found(path, turn);
        const folder = above.names.get(basename(path));
        if (!(folder instanceof Folder)) return;
        // One by one, the innermost first.
        for (const inner of folder.names.values()) {
          for (const name of inner instanceof Folder ? [...inner.names.keys()] : []) {
            await turn();
            (inner as Folder).names.delete(name);
          }
        }
        await turn();
        for (const inner of folder.names.values()) if (inner instanceof Folder) inner.isGone = true;
        folder.names.clear();
        folder.isGone = true;
        above.names.delete(basename(path));
      },
      sync: async (path) => {
        await turn();
        this.#folder(path);
      },
      changedMs: async () => 0,
    };
  }

  /** The paths of all files and folders. */
  paths(folder: Folder = this.#root, above = ''): string[] {
    return [...folder.names].flatMap(([name, inner]) => [
      `${above}/${name}`,
      ...(inner instanceof Folder ? this.paths(inner, `${above}/${name}`) : []),
    ]);
  }

  async #found(path: string, turn: Turn): Promise<Folder> {
    await turn();
    const folder = this.#folder(dirname(path));
    await turn();
    return folder;
  }

  #folder(path: string): Folder {
    let at: Folder = this.#root;
    for (const name of path.split('/').slice(1)) {
      const next = name === '' ? at : at.names.get(name);
      if (!(next instanceof Folder)) throw failure('ENOENT', path);
      at = next;
    }
    return at;
  }
}

/** Lets one waiting step happen after the other, in the order that chance says. */
export class Turns {
  readonly #waiting: Map<Turn, (() => void)[]> = new Map();

  /** @param stepsLeft the process dies instead of its next step after so many */
  process(stepsLeft: number): Turn {
    let left = stepsLeft;
    const turn: Turn = () =>
      new Promise((resolve) => {
        if (left-- > 0) this.#waiting.set(turn, [...(this.#waiting.get(turn) ?? []), resolve]);
      });
    return turn;
  }

  /** One step of this process. @returns whether there was one to take */
  async step(turn: Turn): Promise<boolean> {
    const [go, ...rest] = this.#waiting.get(turn) ?? [];
    if (rest.length > 0) this.#waiting.set(turn, rest);
    else this.#waiting.delete(turn);
    go?.();
    await settled();
    return go !== undefined;
  }

  /** Until nobody waits any more: one process for some steps, then another. */
  async run(random: () => number): Promise<void> {
    await settled();
    while (this.#waiting.size > 0) {
      const turns = [...this.#waiting.keys()];
      const turn = turns[Math.floor(random() * turns.length)] as Turn;
      for (let steps = 1 + Math.floor(24 * random() ** 3); steps > 0; steps--) await this.step(turn);
    }
  }
}

/** Whatever can go on without a turn of its own goes on. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await undefined;
}
