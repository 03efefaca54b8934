import { resolve } from 'node:path';
import { checkFunction, checkInteger, checkOneOf, checkText, refuseType } from '@chunks/base';
import { checkManifest } from './chunk-order.ts';
import { type FilePort, nodeFiles } from './file-port.ts';
import { checkAlgorithm, checkDigest } from './hasher.ts';
import type { ChunkFile, Digest, Manifest } from './types.ts';

/** A total is required: a missing last chunk must show. */
export type AssembleInput =
  | { chunks: Manifest<ChunkFile>; totalBytes?: undefined }
  | { chunks: Iterable<ChunkFile>; totalBytes: number };

/**
 * What has reached the disk when the promise resolves.
 * - `full`: the bytes and the directory entry; survives a power cut.
 * - `file`: the bytes; after a power cut the name may be missing, but never names a torn file.
 * - `none`: nothing for certain; survives a killed process, not a power cut.
 */
export type Durability = 'full' | 'file' | 'none';

/** Where the copying runs: on the calling thread in slices, or on the thread pool. */
export type Engine = 'inline' | 'async';

/** Called after each piece that was written. */
export interface AssembleProgress {
  readonly bytes: number;
  readonly totalBytes: number;
  /** Index of the chunk that the piece is of. */
  readonly chunk: number;
  readonly chunks: number;
}

export interface AssembleSettings {
  /** The file to make. Its directory must exist. */
  destination: string;
  /** Chunks must lie inside this directory, which is not a symbolic link itself. */
  root?: string | undefined;
  /** Replace what lies at the destination, in one step. @default false */
  overwrite?: boolean | undefined;
  /** @default 'full' */
  durability?: Durability | undefined;
  /** @default 'auto': `inline` up to 8 MiB, `async` beyond */
  engine?: 'auto' | Engine | undefined;
  /**
   * Bytes moved by one call, 4 KiB to 64 MiB; never the chunk size.
   * @default 256 KiB for `inline`, which has one such buffer, 1 MiB for `async`, which has four
   */
  bufferBytes?: number | undefined;
  /**
   * Digests, taken in the same pass as the copy.
   * - `chunks`: each chunk must match its own `digest`. Off by default: chunks are checked when they arrive.
   * - `whole`: an algorithm, to have the digest in the result, or a digest that the file must match before it is
   *   published. By default a manifest's own `digest`, if it has one.
   */
  verify?: { chunks?: boolean | undefined; whole?: Digest | Digest['algorithm'] | undefined } | undefined;
  /** Permissions of the new file, less the process's umask. @default 0o666 */
  mode?: number | undefined;
  /** Ends the work, removes what was written, and rejects with the signal's own reason. */
  signal?: AbortSignal | undefined;
  /** An error that it throws ends the assembly. */
  onProgress?: ((progress: AssembleProgress) => void) | undefined;
  /** For tests that make file calls fail. @default the host's file system */
  files?: FilePort | undefined;
}

/** Options after every check, defaults filled in. */
export interface Settings {
  readonly destination: string;
  readonly root: string | undefined;
  readonly overwrite: boolean;
  readonly durability: Durability;
  readonly engine: 'auto' | Engine;
  readonly bufferBytes: number | undefined;
  readonly verifyChunks: boolean;
  readonly whole: Digest | Digest['algorithm'] | undefined;
  readonly mode: number;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((progress: AssembleProgress) => void) | undefined;
  readonly files: FilePort;
  readonly manifest: Manifest<ChunkFile>;
}

const isIterable = (value: unknown): value is Iterable<ChunkFile> =>
  typeof value === 'object' && value !== null && Symbol.iterator in value;

function readInput(o: AssembleInput): Manifest<ChunkFile> {
  if (isIterable(o.chunks)) {
    checkInteger('totalBytes', o.totalBytes, 0);
    return { version: 1, id: '', totalBytes: o.totalBytes as number, chunks: [...o.chunks] };
  }
  if (o.totalBytes !== undefined) refuseType('totalBytes', 'absent with a manifest, which has its own', o.totalBytes);
  checkManifest(o.chunks);
  return o.chunks;
}

/** @throws TypeError | RangeError naming option, rule and value. */
export function checkSettings(o: AssembleInput & AssembleSettings): Settings {
  const manifest = readInput(o);
  for (const [i, chunk] of manifest.chunks.entries()) checkText(`chunks[${i}].path`, chunk?.path);
  if (o.bufferBytes !== undefined) checkInteger('bufferBytes', o.bufferBytes, 4096, 64 * 2 ** 20);
  if (o.onProgress !== undefined) checkFunction('onProgress', o.onProgress);
  const whole = o.verify?.whole ?? manifest.digest;
  if (typeof whole === 'string') checkAlgorithm('verify.whole', whole);
  else if (whole !== undefined) checkDigest('verify.whole', whole);
  if (o.verify?.chunks === true) {
    for (const [i, chunk] of manifest.chunks.entries()) checkDigest(`chunks[${i}].digest`, chunk.digest as Digest);
  }
  return {
    destination: resolve(checkText('destination', o.destination)),
    root: o.root === undefined ? undefined : resolve(checkText('root', o.root)),
    overwrite: o.overwrite ?? false,
    durability: checkOneOf('durability', o.durability ?? 'full', ['full', 'file', 'none']),
    engine: checkOneOf('engine', o.engine ?? 'auto', ['auto', 'inline', 'async']),
    bufferBytes: o.bufferBytes,
    verifyChunks: o.verify?.chunks ?? false,
    whole,
    mode: checkInteger('mode', o.mode ?? 0o666, 0, 0o7777),
    signal: o.signal,
    onProgress: o.onProgress,
    files: o.files ?? nodeFiles,
    manifest,
  };
}
