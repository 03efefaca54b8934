import type { ByteRange, OwnBytes } from '@chunks/base';
import type { FileEntry } from './file-entry.ts';
import type { CachedFile, ReadOptions } from './types.ts';

type Read = (file: FileEntry, range?: ByteRange | undefined, o?: ReadOptions) => ReadableStream<OwnBytes>;

/** What openFile gives: bound to one generation, whatever becomes current later. */
export class FileHandle implements CachedFile {
  readonly #file: FileEntry;
  readonly #read: Read;

  constructor(file: FileEntry, read: Read) {
    this.#file = file;
    this.#read = read;
  }

  get id(): string {
    return this.#file.id;
  }

  get generation(): string {
    return this.#file.generation;
  }

  get totalBytes(): number {
    return this.#file.geometry.totalBytes;
  }

  get chunkSizeBytes(): number {
    return this.#file.geometry.chunkSizeBytes;
  }

  read(range?: ByteRange | undefined, o?: ReadOptions): ReadableStream<OwnBytes> {
    return this.#read(this.#file, range, o);
  }
}
