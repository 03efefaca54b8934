import { open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { AssemblyReport } from '../protocol.ts';

/** What must survive kill −9 about an upload, beside its chunks. */
export interface UploadRecord {
  readonly format: 1;
  readonly id: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly contentType: string;
  readonly chunkSizeBytes: number;
  readonly createdAtMs: number;
  readonly assembly?: AssemblyReport | undefined;
}

/** Made by the server alone, so that nothing a client sends ever becomes part of a path. */
export const UPLOAD_ID: RegExp = /^[0-9a-f]{24}$/;

/** One small JSON file an upload, published by temp and rename: it is the old one or the new one, never half of one. */
export class RecordFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async loadAll(): Promise<UploadRecord[]> {
    const records: UploadRecord[] = [];
    for (const name of await readdir(this.#directory)) {
      const path = join(this.#directory, name);
      // A temp is what a crash left of a save that was never acknowledged.
      if (name.endsWith('.temp')) await rm(path);
      else if (name.endsWith('.json')) records.push(JSON.parse(await readFile(path, 'utf8')) as UploadRecord);
    }
    return records.sort((a, b) => a.createdAtMs - b.createdAtMs);
  }

  async save(record: UploadRecord): Promise<void> {
    const path = this.#path(record.id);
    const temp = `${path}.temp`;
    const file = await open(temp, 'w');
    try {
      await file.writeFile(JSON.stringify(record));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temp, path);
    await this.#syncDirectory();
  }

  /** From now on it counts as gone, even after a crash; what was to be told of that is told when `remove` is called. */
  async markRemoved(id: string): Promise<void> {
    await rename(this.#path(id), this.#mark(id)).catch((error: NodeJS.ErrnoException) => {
      // Marked before, or never saved.
      if (error.code !== 'ENOENT') throw error;
    });
    await this.#syncDirectory();
  }

  /** Ids that a crash left marked. */
  async marked(): Promise<string[]> {
    const names = await readdir(this.#directory);
    return names.filter((name) => name.endsWith('.removed')).map((name) => name.slice(0, -'.removed'.length));
  }

  /** The record and its mark. */
  async remove(id: string): Promise<void> {
    await rm(this.#path(id), { force: true });
    await rm(this.#mark(id), { force: true });
    await this.#syncDirectory();
  }

  #mark(id: string): string {
    return join(this.#directory, `${id}.removed`);
  }

  #path(id: string): string {
    return join(this.#directory, `${id}.json`);
  }

  // A rename is durable only when the directory is.
  async #syncDirectory(): Promise<void> {
    // Windows opens no directories, and needs no such sync.
    const directory = await open(this.#directory, 'r').catch(() => undefined);
    try {
      await directory?.sync();
    } finally {
      await directory?.close();
    }
  }
}
