import { ChunkUnavailableError, SizeMismatchError, UnsafePathError } from './errors.ts';
import { codeOf, type FileFacts, type FilePort } from './file-port.ts';
import { compareDigest, type Hasher, newHasher } from './hasher.ts';
import type { PlannedChunk } from './plan.ts';
import type { Settings } from './settings.ts';
import type { Digest } from './types.ts';
import type { Target } from './write-all.ts';

/** What an engine does: every byte of the chunks into the open file, each at its place. */
export interface CopyJob extends Target {
  readonly chunks: readonly PlannedChunk[];
  readonly bufferBytes: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly digests: CopyDigests | undefined;
  wrote(chunk: PlannedChunk, bytes: number): void;
}

/** Refuses a file that is not the one that was planned: swapped, replaced or changed in between. */
export function checkOpened(chunk: PlannedChunk, fact: FileFacts): void {
  if (!fact.isFile() || fact.dev !== chunk.dev || fact.ino !== chunk.ino) {
    throw new UnsafePathError({ paths: [chunk.path], indices: [chunk.index], why: 'became another file meanwhile' });
  }
  if (fact.size !== chunk.size) {
    throw new SizeMismatchError({ index: chunk.index, expected: chunk.size, actual: fact.size });
  }
}

export function openFailed(chunk: PlannedChunk, cause: unknown): Error {
  // ELOOP: the file gave way to a link, which O_NOFOLLOW does not follow.
  if (codeOf(cause) === 'ELOOP') {
    return new UnsafePathError({ paths: [chunk.path], indices: [chunk.index], why: 'became a link meanwhile' });
  }
  return new ChunkUnavailableError({ index: chunk.index, cause });
}

export const readFailed = (chunk: PlannedChunk, cause: unknown): Error =>
  new ChunkUnavailableError({ index: chunk.index, cause });

/** Closes what was only read: an error then tells nothing about any data. */
export async function closeChunk(files: FilePort, fd: number): Promise<void> {
  await files.close(fd).catch(() => undefined);
}

/** A chunk that ends before its size was cut while it was read. */
export const endedEarly = (chunk: PlannedChunk, actual: number): Error =>
  new SizeMismatchError({ index: chunk.index, expected: chunk.size, actual });

/** Digests taken on the way, in the order of the file. */
export class CopyDigests {
  readonly #whole: Hasher | undefined;
  readonly #wanted: Digest | undefined;
  readonly #algorithm: Digest['algorithm'] | undefined;
  readonly #perChunk: boolean;
  #chunk: Hasher | undefined;

  private constructor(settings: Settings) {
    const { whole } = settings;
    this.#wanted = typeof whole === 'object' ? whole : undefined;
    this.#algorithm = typeof whole === 'object' ? whole.algorithm : whole;
    this.#whole = this.#algorithm === undefined ? undefined : newHasher(this.#algorithm);
    this.#perChunk = settings.verifyChunks;
  }

  /** Undefined when nothing was asked for, so that engines may take short cuts. */
  static of(settings: Settings): CopyDigests | undefined {
    return settings.whole !== undefined || settings.verifyChunks ? new CopyDigests(settings) : undefined;
  }

  start(chunk: PlannedChunk): void {
    if (this.#perChunk && chunk.digest !== undefined) this.#chunk = newHasher(chunk.digest.algorithm);
  }

  update(bytes: Uint8Array): void {
    this.#whole?.update(bytes);
    this.#chunk?.update(bytes);
  }

  /** @throws DigestMismatchError */
  end(chunk: PlannedChunk): void {
    if (this.#chunk !== undefined && chunk.digest !== undefined) {
      compareDigest(chunk.digest, this.#chunk.hex(), chunk.index);
    }
    this.#chunk = undefined;
  }

  /** @returns the digest of the whole, if that was asked for. @throws DigestMismatchError */
  finish(): Digest | undefined {
    if (this.#whole === undefined || this.#algorithm === undefined) return undefined;
    const hex = this.#whole.hex();
    if (this.#wanted !== undefined) compareDigest(this.#wanted, hex);
    return { algorithm: this.#algorithm, hex };
  }
}
