/** What makes a file the same one after a reload, as far as a browser can tell without reading it. */
export interface FileFacts {
  readonly name: string;
  readonly size: number;
  readonly lastModified: number;
}

/** An upload that this browser began and has not seen finished. */
export interface Unfinished extends FileFacts {
  readonly id: string;
}

/** The part of `localStorage` that is used. */
export interface Keeper {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

const KEY = 'chunks-studio:unfinished';
const MAX_KEPT = 20;

export function fingerprint(file: FileFacts): string {
  return JSON.stringify([file.name, file.size, file.lastModified]);
}

/** Why this file cannot go on with that upload, in words; undefined when it can. */
export function whyNotTheSame(kept: FileFacts, file: FileFacts): string | undefined {
  if (file.size !== kept.size) {
    return `“${file.name}” has ${file.size} bytes, but the unfinished upload is of ${kept.size} bytes: it is another file.`;
  }
  if (file.name !== kept.name) return `This file is called “${file.name}”, the unfinished one “${kept.name}”.`;
  if (file.lastModified !== kept.lastModified) {
    return `“${file.name}” was changed since its upload began: old and new chunks must not be mixed.`;
  }
  return undefined;
}

/** Unfinished uploads of this browser, newest first; storage that is full, blocked or unreadable only forgets. */
export class UploadMemory {
  readonly #keeper: Keeper;

  constructor(keeper: Keeper) {
    this.#keeper = keeper;
  }

  list(): Unfinished[] {
    try {
      const kept: unknown = JSON.parse(this.#keeper.getItem(KEY) ?? '[]');
      return Array.isArray(kept) ? kept.filter(isUnfinished) : [];
    } catch {
      return [];
    }
  }

  find(file: FileFacts): Unfinished | undefined {
    const wanted = fingerprint(file);
    return this.list().find((upload) => fingerprint(upload) === wanted);
  }

  remember(id: string, file: FileFacts): void {
    const wanted = fingerprint(file);
    const others = this.list().filter((upload) => upload.id !== id && fingerprint(upload) !== wanted);
    this.#save([{ id, name: file.name, size: file.size, lastModified: file.lastModified }, ...others]);
  }

  forget(id: string): void {
    this.#save(this.list().filter((upload) => upload.id !== id));
  }

  #save(uploads: readonly Unfinished[]): void {
    try {
      this.#keeper.setItem(KEY, JSON.stringify(uploads.slice(0, MAX_KEPT)));
    } catch {
      // A private window may refuse: the upload itself goes on, only a reload would start it anew.
    }
  }
}

function isUnfinished(value: unknown): value is Unfinished {
  if (typeof value !== 'object' || value === null) return false;
  const { id, name, size, lastModified } = value as Partial<Unfinished>;
  return (
    typeof id === 'string' && typeof name === 'string' && Number.isSafeInteger(size) && typeof lastModified === 'number'
  );
}
