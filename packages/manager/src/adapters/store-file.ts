/// <reference lib="esnext.disposable" preserve="true" />
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type ByteRange, checkOneOf, checkText } from '@chunks/base';
import type { ChunkStore } from '../types.ts';

export interface FileChunkStoreOptions {
  /**
   * `full`: a chunk counts as stored once it is on the disk (fdatasync), so that a power cut loses no marked chunk.
   * `none`: once the system has it; that survives a killed process, not a power cut.
   * @default 'full'
   */
  durability?: 'full' | 'none' | undefined;
}

/** Open files cost descriptors: those used longest ago are closed. */
const MAX_OPEN_FILES = 64;
const READ_BYTES = 256 * 1024;
const BLOCK_BYTES = 512;

const run = promisify(execFile);

// Ids and generations come from outside: as hashes they can neither leave the folder nor be too long for a name.
const nameOf = (text: string): string => createHash('sha256').update(JSON.stringify(text)).digest('hex').slice(0, 40);

/** One generation's file: its operations, and the handle they share. */
interface OpenFile {
  readonly handle: Promise<FileHandle>;
  users: number;
}

/** Handles by path, opened when needed; one that is in use is never closed. */
class Handles {
  readonly #open = new Map<string, OpenFile>();

  async use<T>(path: string, create: boolean, task: (handle: FileHandle) => Promise<T>): Promise<T> {
    let file = this.#open.get(path);
    // Moved to the end: the first of the map is the one used longest ago.
    this.#open.delete(path);
    file ??= { handle: openFile(path, create), users: 0 };
    this.#open.set(path, file);
    file.users++;
    try {
      return await task(await file.handle);
    } catch (error) {
      // What could not be opened is tried anew the next time.
      await file.handle.catch(() => this.#open.get(path) === file && this.#open.delete(path));
      throw error;
    } finally {
      file.users--;
      await this.#closeSome();
    }
  }

  async close(path: string): Promise<void> {
    const file = this.#open.get(path);
    this.#open.delete(path);
    await file?.handle.then((handle) => handle.close()).catch(() => undefined);
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#open.keys()].map((path) => this.close(path)));
  }

  async #closeSome(): Promise<void> {
    for (const [path, file] of this.#open) {
      if (this.#open.size <= MAX_OPEN_FILES) return;
      if (file.users === 0) await this.close(path);
    }
  }
}

async function openFile(path: string, create: boolean): Promise<FileHandle> {
  if (!create) return open(path, 'r+');
  await mkdir(dirname(path), { recursive: true });
  // Neither truncated when it is there nor refused when it is not.
  return open(path, constants.O_RDWR | constants.O_CREAT);
}

/** Runs what concerns one chunk one after the other, and chunks side by side. */
class Lanes {
  readonly #tails = new Map<string, Promise<unknown>>();
  readonly #removals = new Map<string, Promise<unknown>>();

  run<T>(path: string, chunk: number, task: () => Promise<T>): Promise<T> {
    const lane = `${chunk}:${path}`;
    const result = (this.#tails.get(lane) ?? this.#removals.get(path) ?? Promise.resolve()).then(task);
    const tail = result.catch(() => undefined);
    this.#tails.set(lane, tail);
    void tail.then(() => this.#tails.get(lane) === tail && this.#tails.delete(lane));
    return result;
  }

  /** Runs what concerns the whole file after all that was asked for before, and before all that is asked for later. */
  runAlone(path: string, task: () => Promise<void>): Promise<void> {
    const before = [...this.#tails].flatMap(([lane, tail]) => (lane.endsWith(`:${path}`) ? [tail] : []));
    for (const lane of [...this.#tails.keys()]) if (lane.endsWith(`:${path}`)) this.#tails.delete(lane);
    const result = Promise.all([...before, this.#removals.get(path)]).then(task);
    const removal = result.catch(() => undefined);
    this.#removals.set(path, removal);
    void removal.then(() => this.#removals.get(path) === removal && this.#removals.delete(path));
    return result;
  }
}

async function writeAll(handle: FileHandle, offset: number, bytes: Uint8Array): Promise<void> {
  // A write may stop short, as before a full disk: only the next one says why.
  for (let at = 0; at < bytes.byteLength; ) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.byteLength - at, offset + at);
    if (bytesWritten === 0) throw new Error(`nothing more could be written at byte ${offset + at}`);
    at += bytesWritten;
  }
}

/** A name is on the disk only when its folder is. */
async function syncFolders(directory: string, path: string): Promise<void> {
  // Windows does not open folders, and keeps names by itself.
  if (process.platform === 'win32') return;
  for (const folder of [dirname(path), directory]) {
    const handle = await open(folder, constants.O_RDONLY);
    await handle.sync().finally(() => handle.close());
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );

/** Gives the blocks of a range back to the file system; Node itself has no call for it. */
async function punchHole(path: string, range: ByteRange): Promise<void> {
  const length = range.endByte - range.startByte;
  try {
    await run('fallocate', ['--punch-hole', '--offset', `${range.startByte}`, '--length', `${length}`, path]);
  } catch (cause) {
    throw new Error('a part of a file cannot be freed here: that needs the command fallocate (Linux)', { cause });
  }
}

/**
 * Keeps bytes in a folder, one sparse file a generation, written in place: it takes as much disk as is stored, and a
 * file that is complete is the original. The folder is made on first use; one process at a time writes to it.
 * Freeing single chunks (a `diskBudget`) needs Linux and its command `fallocate`; whole files are freed everywhere.
 *
 * @throws TypeError | RangeError when the directory is no non-empty string or the durability unknown
 * @example
 * const manager = new ChunkManager({ fetchChunk, store: fileChunkStore('cache') });
 */
export function fileChunkStore(directory: string, options: FileChunkStoreOptions = {}): ChunkStore {
  checkText('directory', directory);
  const isDurable = checkOneOf('durability', options.durability ?? 'full', ['full', 'none']) === 'full';
  const handles = new Handles();
  const lanes = new Lanes();
  const syncedNames = new Set<string>();
  const pathOf = (fileId: string, generation: string): string => join(directory, nameOf(fileId), nameOf(generation));

  const removeFile = (path: string): Promise<void> =>
    lanes.runAlone(path, async () => {
      await handles.close(path);
      syncedNames.delete(path);
      await rm(path, { force: true });
      // Gone with its last generation; another one keeps it.
      await rmdir(dirname(path)).catch(() => undefined);
    });

  return {
    write(fileId, generation, chunk, offset, bytes) {
      const path = pathOf(fileId, generation);
      return lanes.run(path, chunk, () => handles.use(path, true, (handle) => writeAll(handle, offset, bytes)));
    },
    async commit(fileId, generation, chunk) {
      if (!isDurable) return;
      const path = pathOf(fileId, generation);
      await lanes.run(path, chunk, () => handles.use(path, false, (handle) => handle.datasync()));
      if (syncedNames.has(path)) return;
      await syncFolders(directory, path);
      syncedNames.add(path);
    },
    async *read(fileId, generation, range) {
      const path = pathOf(fileId, generation);
      for (let at = range.startByte; at < range.endByte; ) {
        const piece = new Uint8Array(Math.min(READ_BYTES, range.endByte - at));
        const { bytesRead } = await handles.use(path, false, (handle) => handle.read(piece, 0, piece.length, at));
        if (bytesRead === 0) throw new Error(`the file ends at byte ${at}`);
        at += bytesRead;
        yield bytesRead === piece.length ? piece : piece.slice(0, bytesRead);
      }
    },
    async remove(fileId, generation, chunks, range) {
      const path = pathOf(fileId, generation);
      if (chunks === undefined || range === undefined) return removeFile(path);
      await lanes.run(path, chunks.firstChunk, async () => {
        if (await exists(path)) await punchHole(path, range);
      });
    },
    async usage() {
      let bytes = 0;
      const names = await readdir(directory, { recursive: true, withFileTypes: true }).catch((error) => {
        if (error.code === 'ENOENT') return [];
        throw error;
      });
      for (const entry of names) {
        if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).blocks * BLOCK_BYTES;
      }
      return bytes;
    },
    close: () => handles.closeAll(),
  };
}
