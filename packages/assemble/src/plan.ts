import { dirname, relative, resolve, sep } from 'node:path';
import { cutSize, expectedCount, inOrder, place } from './chunk-order.ts';
import {
  ChunkUnavailableError,
  DestinationExistsError,
  InsufficientSpaceError,
  MissingChunksError,
  type SizeMismatch,
  SizeMismatchError,
  UnsafePathError,
  WriteFailedError,
} from './errors.ts';
import { codeOf, type FileFacts, lstatAll } from './file-port.ts';
import { type AssembleInput, type AssembleSettings, checkSettings, type Engine, type Settings } from './settings.ts';
import type { ChunkFile, Digest } from './types.ts';

/** A chunk as it was found: the very file (device and inode) that is to be copied, and where its bytes go. */
export interface PlannedChunk {
  readonly index: number;
  readonly path: string;
  readonly size: number;
  readonly startByte: number;
  readonly dev: number;
  readonly ino: number;
  readonly digest: Digest | undefined;
}

export interface Plan {
  readonly chunks: readonly PlannedChunk[];
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly engine: Engine;
}

// One slice of the inline engine: it holds the event loop for some 4 ms at the speed of a warm page cache, and costs
// no thread pool round trips, which for small files are most of the time. Beyond that, a server's other work must go on.
const INLINE_UP_TO_BYTES = 8 * 2 ** 20;

const chooseEngine = (wanted: 'auto' | Engine, totalBytes: number): Engine =>
  wanted !== 'auto' ? wanted : totalBytes <= INLINE_UP_TO_BYTES ? 'inline' : 'async';

/** What {@link planAssembly} found. */
export interface AssemblyPlan {
  readonly totalBytes: number;
  readonly chunks: number;
  /** Space that the assembly will take beside the chunks. */
  readonly needBytes: number;
  readonly freeBytes: number;
  /** The engine that would be used. */
  readonly engine: Engine;
}

/**
 * Every check of {@link assembleFile}, nothing written. An error lists all offenders of its kind; kinds are looked for
 * in the order duplicate, extra, missing, unsafe, unreadable, wrong size, destination, space.
 *
 * @throws AssembleError and TypeError | RangeError as assembleFile does.
 * @example
 * const { needBytes, freeBytes } = await planAssembly({ chunks: await upload.list(), totalBytes, destination });
 */
export async function planAssembly(options: AssembleInput & AssembleSettings): Promise<AssemblyPlan> {
  const settings = checkSettings(options);
  const plan = await makePlan(settings);
  return {
    totalBytes: plan.totalBytes,
    chunks: plan.chunks.length,
    needBytes: plan.totalBytes,
    freeBytes: plan.freeBytes,
    engine: plan.engine,
  };
}

export async function makePlan(settings: Settings): Promise<Plan> {
  const { manifest, signal } = settings;
  const ordered = inOrder(manifest.chunks, expectedCount(manifest));
  signal?.throwIfAborted();
  const facts = await inspect(settings, ordered);
  signal?.throwIfAborted();
  checkSizes(settings, ordered, facts);
  const sizes = facts.map((fact) => fact.size);
  const placed = place(sizes, manifest.totalBytes);
  const chunks = ordered.map((chunk, i): PlannedChunk => {
    const { size, dev, ino } = facts[i] as FileFacts;
    const path = resolve(chunk.path);
    return { index: chunk.index, path, size, dev, ino, digest: chunk.digest, startByte: placed[i]?.startByte ?? 0 };
  });
  await checkDestination(settings, chunks);
  const freeBytes = await checkSpace(settings);
  const { totalBytes } = manifest;
  return { chunks, totalBytes, freeBytes, engine: chooseEngine(settings.engine, totalBytes) };
}

async function inspect(settings: Settings, chunks: readonly ChunkFile[]): Promise<FileFacts[]> {
  const inside = await containment(settings);
  const missing: number[] = [];
  const unsafe: ChunkFile[] = [];
  const facts: FileFacts[] = [];
  const paths = chunks.map((chunk) => resolve(chunk.path));
  for (const [i, found] of (await lstatAll(settings.files, paths)).entries()) {
    const chunk = chunks[i] as ChunkFile;
    const { index, key } = chunk;
    try {
      if (found.status === 'rejected') throw found.reason;
      if (found.value.isFile() && (await inside(paths[i] as string))) facts.push(found.value);
      else unsafe.push(chunk);
    } catch (cause) {
      if (codeOf(cause) !== 'ENOENT') throw new ChunkUnavailableError({ index, key, cause });
      missing.push(index);
    }
  }
  if (missing.length > 0) throw new MissingChunksError({ indices: missing, count: missing.length });
  if (unsafe.length > 0) {
    throw new UnsafePathError({
      paths: unsafe.map((chunk) => chunk.path),
      indices: unsafe.map((chunk) => chunk.index),
      why: 'chunks must be plain files, no links, inside the root',
    });
  }
  return facts;
}

/** Asks whether a path leads into the root, links on the way resolved; each directory is asked for once. */
async function containment({ root, files }: Settings): Promise<(path: string) => Promise<boolean>> {
  if (root === undefined) return async () => true;
  const why = 'the root must be a directory and no link';
  let home: string;
  try {
    if (!(await files.lstat(root)).isDirectory()) throw new UnsafePathError({ paths: [root], why });
    home = await files.realpath(root);
  } catch (cause) {
    if (cause instanceof UnsafePathError) throw cause;
    throw new UnsafePathError({ paths: [root], why: `${why}: ${String(cause)}` });
  }
  const known = new Map<string, boolean>();
  return async (path) => {
    const directory = dirname(path);
    let answer = known.get(directory);
    if (answer === undefined) {
      const way = relative(home, await files.realpath(directory));
      answer = way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && resolve(home, way) !== way);
      known.set(directory, answer);
    }
    return answer;
  };
}

function checkSizes({ manifest }: Settings, chunks: readonly ChunkFile[], facts: readonly FileFacts[]): void {
  const wrong: SizeMismatch[] = [];
  for (const [i, chunk] of chunks.entries()) {
    const { totalBytes, chunkSizeBytes } = manifest;
    const cut = chunkSizeBytes === undefined ? undefined : cutSize(chunk.index, totalBytes, chunkSizeBytes);
    const actual = facts[i]?.size ?? 0;
    const expected = [chunk.size, cut].find((size) => size !== undefined && size !== actual);
    if (expected !== undefined) wrong.push({ index: chunk.index, expected, actual });
  }
  const [first, ...others] = wrong;
  if (first !== undefined) throw new SizeMismatchError(first, others);
}

/** @throws DestinationExistsError | UnsafePathError when nothing may or can be put there. */
export async function checkDestination(settings: Settings, chunks: readonly PlannedChunk[]): Promise<void> {
  const { destination, files, overwrite } = settings;
  let there: FileFacts;
  try {
    there = await files.lstat(destination);
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return;
    throw new WriteFailedError({ path: destination, cause });
  }
  if (!overwrite || there.isDirectory()) throw new DestinationExistsError({ path: destination });
  const same = chunks.find((chunk) => chunk.dev === there.dev && chunk.ino === there.ino);
  if (same !== undefined) {
    throw new UnsafePathError({
      paths: [destination],
      indices: [same.index],
      why: 'the destination is one of the chunks',
    });
  }
}

async function checkSpace({ destination, files, manifest }: Settings): Promise<number> {
  let freeBytes: number;
  try {
    const { bavail, bsize } = await files.statfs(dirname(destination));
    freeBytes = bavail * bsize;
  } catch (cause) {
    throw new WriteFailedError({ path: destination, cause });
  }
  const needBytes = manifest.totalBytes;
  if (freeBytes < needBytes) throw new InsufficientSpaceError({ needBytes, freeBytes });
  return freeBytes;
}
