import { access, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type ByteSource, checkInteger, checkOneOf, checkText, systemClock } from '@chunks/base';
import { type Arrived, type ChunkWriteOptions, receive } from './arrival.ts';
import { SyncFailedError, UnsafePathError, WriteFailedError } from './errors.ts';
import { codeOf, type FileFacts, type FilePort, lstatAll, nodeFiles, remove, syncDirectory } from './file-port.ts';
import { checkDigest, crcHex } from './hasher.ts';
import { isOver, newMark } from './owner.ts';
import type { StoredChunk } from './types.ts';
import {
  type ChunkName,
  checkId,
  chunkName,
  FINISHED_MARKER,
  OPEN_MARKER,
  PART_SUFFIX,
  parseChunkName,
  removeUpload,
} from './upload-layout.ts';

// Each look that fails means that a chunk was replaced meanwhile; nobody replaces chunks that fast for long.
const MAX_LOOKS = 100;

/**
 * The chunks of one upload, each in a file of its own under `root/id/`, in any order, by any number of writers at
 * once. A chunk that is listed is whole: it was measured and summed when it arrived, and put in place in one step.
 *
 * @example
 * const upload = await ChunkDirectory.open({ root: 'uploads', id: 'f3a9' });
 * await upload.write(1, request.body, { size: 8_388_608 });
 * const left = await upload.missing(12); // [0, 2, 3, …]
 */
export class ChunkDirectory {
  readonly id: string;
  /** Absolute: `root/id`. */
  readonly path: string;
  readonly #root: string;
  readonly #durable: boolean;
  readonly #files: FilePort;
  // What lies there by index, as far as this object knows: what its writes replace.
  readonly #known = new Map<number, string[]>();

  private constructor(root: string, id: string, durable: boolean, files: FilePort) {
    this.#root = root;
    this.id = id;
    this.path = join(root, id);
    this.#durable = durable;
    this.#files = files;
  }

  /**
   * Opens the upload, and makes it (and the root) if it is not there. What a process that died left half written in it
   * is taken away.
   *
   * @param o.durability `full` (the default): a chunk's write resolves when it would survive a power cut. `none`: when
   * it survives the death of the process.
   * @param o.files for tests that make file calls fail. @default the host's file system
   * @throws UnsafePathError for an id that is no plain name, and when root or folder is a symbolic link.
   */
  static async open(o: {
    root: string;
    id: string;
    durability?: 'full' | 'none' | undefined;
    files?: FilePort | undefined;
  }): Promise<ChunkDirectory> {
    const root = resolve(checkText('root', o.root));
    const durable = checkOneOf('durability', o.durability ?? 'full', ['full', 'none']) === 'full';
    const upload = new ChunkDirectory(root, checkId(o.id), durable, o.files ?? nodeFiles);
    const made = await mkdir(root, { recursive: true });
    await mkdir(upload.path).catch((error) => {
      if (codeOf(error) !== 'EEXIST') throw error;
    });
    for (const path of [root, upload.path]) {
      const fact = await upload.#files.lstat(path);
      if (!fact.isDirectory()) throw new UnsafePathError({ paths: [path], why: 'must be a folder and no link' });
    }
    await upload.#mark();
    if (durable && made !== undefined) await upload.#confirmUpTo(dirname(made));
    await upload.#read();
    return upload;
  }

  /** Makes the folder known as an upload, which the sweeper asks for. */
  async #mark(): Promise<void> {
    if (await exists(join(this.path, FINISHED_MARKER))) return;
    const made = await writeFile(join(this.path, OPEN_MARKER), '', { flag: 'wx' }).then(
      () => true,
      (error) => {
        if (codeOf(error) !== 'EEXIST') throw error;
        return false;
      },
    );
    if (!made || !this.#durable) return;
    await syncDirectory(this.#files, this.path);
    await syncDirectory(this.#files, this.#root);
  }

  /** The entries of the folders above that were made with the root. */
  async #confirmUpTo(top: string): Promise<void> {
    for (let path = dirname(this.#root); ; path = dirname(path)) {
      await syncDirectory(this.#files, path);
      if (path === top || path === dirname(path)) return;
    }
  }

  async #read(): Promise<void> {
    const now = systemClock.now();
    for (const name of await this.#files.readdir(this.path)) {
      const chunk = parseChunkName(name);
      if (chunk !== undefined) this.#known.set(chunk.index, [...(this.#known.get(chunk.index) ?? []), name]);
      if (!name.endsWith(PART_SUFFIX)) continue;
      const path = join(this.path, name);
      const fact = await this.#files.lstat(path).catch(() => undefined);
      const over = fact !== undefined && isOver(name.slice(0, -PART_SUFFIX.length), now - fact.mtimeMs);
      if (over) await remove(this.#files, path);
    }
  }

  /**
   * Stores a chunk: temporary file, checks, sync, rename. A torn chunk never shows; an existing index is replaced, and
   * of two writers of one index the later one wins. Bytes are taken as they come, one piece in memory at a time.
   *
   * Cancel: an abort, and any error of the source, leaves nothing of this write and the chunk of before in place.
   *
   * @throws TypeError | RangeError for a bad index or bad options.
   * @throws SizeMismatchError | DigestMismatchError when the bytes are not what was promised.
   * @throws WriteFailedError | SyncFailedError when the disk fails; and whatever the source throws.
   */
  async write(index: number, data: ByteSource, o: ChunkWriteOptions = {}): Promise<StoredChunk> {
    checkInteger('index', index, 0);
    if (o.size !== undefined) checkInteger('size', o.size, 0);
    if (o.digest !== undefined) checkDigest('digest', o.digest);
    o.signal?.throwIfAborted();
    const mark = newMark();
    const part = join(this.path, mark.tag + PART_SUFFIX);
    try {
      const arrived = await receive(this.#files, { ...o, path: part, data, durable: this.#durable });
      o.signal?.throwIfAborted();
      return await this.#publish(part, index, arrived);
    } catch (error) {
      await remove(this.#files, part).catch(() => undefined);
      throw error;
    } finally {
      mark.release();
    }
  }

  async #publish(part: string, index: number, arrived: Arrived): Promise<StoredChunk> {
    const chunk = chunkName(index, arrived.size, arrived.crc32, systemClock.now());
    const path = join(this.path, chunk.name);
    await this.#files.rename(part, path).catch((cause) => {
      throw new WriteFailedError({ path, cause });
    });
    // Read and set with nothing between: of two writers of one index, each takes away only what came before it.
    const replaced = this.#known.get(index) ?? [];
    this.#known.set(index, [chunk.name]);
    if (this.#durable) {
      await syncDirectory(this.#files, this.path).catch((cause) => {
        throw new SyncFailedError({ path, published: true, cause });
      });
    }
    // After the sync: until the new one is certain, the old one is what a power cut leaves.
    for (const name of replaced) await remove(this.#files, join(this.path, name)).catch(() => undefined);
    return stored(path, chunk);
  }

  /** The chunks that are whole, by ascending index, as they lie on disk now. */
  async list(): Promise<StoredChunk[]> {
    for (let attempt = 1; ; attempt++) {
      const names = (await this.#files.readdir(this.path)).map(parseChunkName).filter((name) => name !== undefined);
      const paths = names.map(({ name }) => join(this.path, name));
      const facts = await lstatAll(this.#files, paths);
      const lost = facts.find((fact) => fact.status === 'rejected');
      if (lost === undefined) return this.#latest(names, facts);
      // Replaced after the names were read: its successor has a name that only a new look will show.
      if (codeOf(lost.reason) !== 'ENOENT' || attempt === MAX_LOOKS) throw lost.reason;
    }
  }

  #latest(names: readonly ChunkName[], facts: readonly PromiseSettledResult<FileFacts>[]): StoredChunk[] {
    const latest = new Map<number, ChunkName>();
    for (const [i, chunk] of names.entries()) {
      const fact = facts[i];
      if (fact?.status !== 'fulfilled' || !fact.value.isFile()) continue;
      // Without durability a power cut can leave a file shorter than its name says.
      if (fact.value.size !== chunk.size) continue;
      const other = latest.get(chunk.index);
      if (other === undefined || other.stamp < chunk.stamp) latest.set(chunk.index, chunk);
    }
    const sorted = [...latest.values()].sort((a, b) => a.index - b.index);
    return sorted.map((chunk) => stored(join(this.path, chunk.name), chunk));
  }

  /** Which of the indices 0 … count − 1 are not there, ascending. */
  async missing(count: number): Promise<number[]> {
    checkInteger('count', count, 0, 2 ** 32);
    const there = new Set((await this.list()).map((chunk) => chunk.index));
    const missing: number[] = [];
    for (let index = 0; index < count; index++) if (!there.has(index)) missing.push(index);
    return missing;
  }

  /** Tells the sweeper that this upload is complete and is kept until somebody removes it. Idempotent. */
  async markFinished(): Promise<void> {
    const finished = join(this.path, FINISHED_MARKER);
    try {
      await this.#files.rename(join(this.path, OPEN_MARKER), finished);
    } catch (cause) {
      if (codeOf(cause) === 'ENOENT' && (await exists(finished))) return;
      throw new WriteFailedError({ path: finished, cause });
    }
    if (this.#durable) await syncDirectory(this.#files, this.path);
  }

  /** Removes the upload with all that lies in its folder. Idempotent. */
  async remove(): Promise<void> {
    await removeUpload(this.#root, this.id);
    this.#known.clear();
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

function stored(path: string, { index, size, crc32 }: ChunkName): StoredChunk {
  return { index, path, size, crc32, digest: { algorithm: 'crc32', hex: crcHex(crc32) } };
}
