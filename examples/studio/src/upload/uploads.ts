import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { ChunkDirectory } from '@chunks/assemble';
import type { KeyedMutex } from '@chunks/locks';
import { HttpProblem } from '../http/problem.ts';
import { describeError, type Log } from '../log.ts';
import type { AssemblyReport } from '../protocol.ts';
import { RecordFiles, UPLOAD_ID, type UploadRecord } from './record.ts';
import { Upload } from './upload.ts';

interface UploadLimits {
  readonly chunkSizeBytes: number;
  readonly maxFileBytes: number;
  /** Unfinished uploads at a time. */
  readonly maxOpenUploads: number;
  /** Chunks of one upload: each is a file on disk and an entry in memory. */
  readonly maxChunks: number;
}

/** What others do when something happens to an upload; each may be called again after a crash, so it is idempotent. */
export interface UploadHooks {
  created(record: UploadRecord): Promise<void>;
  assembled(record: UploadRecord): Promise<void>;
  removed(id: string): Promise<void>;
  /** Something to show has changed. */
  changed(id: string): void;
  /** Bytes of a chunk came in. */
  received(bytes: number): void;
  /** A body was `refused` for its length, or assembling `failed` because chunks and total do not fit. */
  sizeMismatch(mismatch: SizeMismatch): void;
}

export interface SizeMismatch {
  readonly outcome: 'refused' | 'failed';
  readonly id: string;
  readonly index?: number | undefined;
  readonly expected: number;
  readonly actual: number;
}

export interface UploadsOptions {
  readonly directory: string;
  readonly limits: UploadLimits;
  readonly locks: KeyedMutex;
  readonly hooks: UploadHooks;
  readonly log: Log;
}

/**
 * For every lock here: how long a request waits before it is told to come again, and renewal for as long as the holder
 * lives, because syncing a chunk or copying a big file may take long.
 */
export const LOCK_OPTIONS: { timeoutMs: number; leaseMs: number; maxHoldMs: number } = {
  timeoutMs: 10_000,
  leaseMs: 30_000,
  maxHoldMs: 24 * 60 * 60_000,
};

/** Every upload there is: created, found, removed; loaded again after a restart. */
export class Uploads {
  readonly options: UploadsOptions;
  readonly chunksRoot: string;
  readonly filesRoot: string;
  readonly #records: RecordFiles;
  readonly #uploads = new Map<string, Upload>();
  /** Accepted, and not yet in the map. */
  readonly #opening = new Set<UploadRecord>();

  private constructor(options: UploadsOptions) {
    this.options = options;
    this.chunksRoot = join(options.directory, 'chunks');
    this.filesRoot = join(options.directory, 'files');
    this.#records = new RecordFiles(join(options.directory, 'records'));
  }

  /** Takes up what the last run left, in whatever state it was killed. */
  static async open(options: UploadsOptions): Promise<Uploads> {
    for (const name of ['chunks', 'files', 'records']) await mkdir(join(options.directory, name), { recursive: true });
    const uploads = new Uploads(options);
    for (const record of await uploads.#records.loadAll()) {
      const finished = record.assembly !== undefined;
      // Of a finished one only what a crash left is opened, to be removed: nothing that would have to last.
      const durability = finished ? 'none' : 'full';
      const chunks = await ChunkDirectory.open({ root: uploads.chunksRoot, id: record.id, durability });
      const stored = finished ? [] : (await chunks.list()).map((chunk) => chunk.index);
      uploads.#uploads.set(record.id, new Upload(record, chunks, stored));
      await options.hooks.created(record);
      if (!finished) continue;
      await options.hooks.assembled(record);
      await chunks.remove();
    }
    await uploads.#finishRemovals();
    await uploads.#removeOrphans();
    return uploads;
  }

  /** @throws HttpProblem 413, 429 or 507 when there is no room for it. */
  async create(request: { name: string; sizeBytes: number; contentType: string }): Promise<Upload> {
    const { chunkSizeBytes } = this.options.limits;
    const id = randomBytes(12).toString('hex');
    const record: UploadRecord = { format: 1, id, ...request, chunkSizeBytes, createdAtMs: Date.now() };
    await this.#reserve(record);
    const upload = await this.#openChunks(record).finally(() => this.#opening.delete(record));
    try {
      await this.#records.save(record);
      await this.options.hooks.created(record);
    } catch (error) {
      await this.remove(upload);
      throw error;
    }
    this.options.hooks.changed(id);
    return upload;
  }

  async #openChunks(record: UploadRecord): Promise<Upload> {
    const chunks = await ChunkDirectory.open({ root: this.chunksRoot, id: record.id });
    const upload = new Upload(record, chunks, []);
    this.#uploads.set(record.id, upload);
    return upload;
  }

  /** @throws HttpProblem 404 */
  get(id: string): Upload {
    const upload = this.#uploads.get(id);
    if (upload === undefined) throw new HttpProblem(404, 'unknown-upload', 'There is no upload of that id');
    return upload;
  }

  find(id: string): Upload | undefined {
    return this.#uploads.get(id);
  }

  list(): Upload[] {
    return [...this.#uploads.values()];
  }

  /** Where the assembled file lies, or will. */
  pathOf(id: string): string {
    return join(this.filesRoot, id);
  }

  async saveAssembly(upload: Upload, assembly: AssemblyReport): Promise<void> {
    const record = { ...upload.record, assembly };
    await this.#records.save(record);
    upload.record = record;
  }

  /** Waits for who is publishing or assembling, then removes every trace. */
  async remove(upload: Upload): Promise<void> {
    await this.options.locks.run(`upload:${upload.id}`, () => this.removeLocked(upload), LOCK_OPTIONS);
  }

  /**
   * To be called under the upload's lock. The record is marked first, so that a crash leaves no half upload; the data go
   * before the others are told, because telling them takes room on a disk that may be full. What fails is called again.
   */
  async removeLocked(upload: Upload): Promise<void> {
    const { id } = upload;
    if (this.#uploads.get(id) !== upload) return;
    upload.removed = true;
    await this.#records.markRemoved(id);
    await upload.chunks.remove();
    await rm(this.pathOf(id), { force: true });
    await this.options.hooks.removed(id);
    await this.#records.remove(id);
    this.#uploads.delete(id);
    this.options.hooks.changed(id);
  }

  async #reserve(record: UploadRecord): Promise<void> {
    const { limits, directory } = this.options;
    const { sizeBytes } = record;
    const { bavail, bsize } = await statfs(directory);
    // No await from here on: of many requests at once, each must see those that were accepted before it.
    if (sizeBytes > limits.maxFileBytes) {
      const detail = `A file here has at most ${limits.maxFileBytes} bytes, this one has ${sizeBytes}`;
      throw new HttpProblem(413, 'file-too-large', detail);
    }
    if (Math.ceil(sizeBytes / limits.chunkSizeBytes) > limits.maxChunks) {
      const detail = `That would be more than ${limits.maxChunks} chunks; a larger --chunk-size would do`;
      throw new HttpProblem(413, 'too-many-chunks', detail);
    }
    const open = this.list().filter((upload) => upload.record.assembly === undefined);
    const count = open.length + this.#opening.size;
    if (count >= limits.maxOpenUploads) {
      const detail = `${count} uploads are open; finish or delete one first`;
      throw new HttpProblem(429, 'too-many-uploads', detail, { 'retry-after': '60' });
    }
    // Chunks and the assembled file are on disk together for a while: each upload needs its size twice.
    let promised = open.reduce((sum, upload) => sum + 2 * upload.record.sizeBytes - upload.storedBytes, 0);
    for (const opening of this.#opening) promised += 2 * opening.sizeBytes;
    const free = bavail * bsize - promised;
    if (free < 2 * sizeBytes) {
      const detail = `It needs ${2 * sizeBytes} bytes while it is assembled, ${Math.max(0, free)} are free`;
      throw new HttpProblem(507, 'disk-full', detail);
    }
    this.#opening.add(record);
  }

  /** Tells the others of removals that a crash, or a full disk, kept from being told. */
  async #finishRemovals(): Promise<void> {
    const { hooks, log } = this.options;
    for (const id of await this.#records.marked()) {
      try {
        await hooks.removed(id);
        await this.#records.remove(id);
      } catch (error) {
        // It stays marked: no reason not to start.
        log('removal-failed', { id, error: describeError(error) });
      }
    }
  }

  /** What a crash in the middle of a removal left without a record. Chunk folders are the sweeper's. */
  async #removeOrphans(): Promise<void> {
    for (const name of await readdir(this.filesRoot)) {
      if (UPLOAD_ID.test(name) && !this.#uploads.has(name)) await rm(join(this.filesRoot, name), { force: true });
    }
  }
}
