import { readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '@chunks/base/testing';
import type { ChunkFile } from '../../src/types.ts';

/** A folder for one test, gone afterwards. */
export async function inTemp<T>(task: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'chunks-assemble-'));
  try {
    return await task(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

// Prime, so that repeating it never lines up with a buffer.
const BLOCK_BYTES = 65_521;

export function randomBytes(size: number, seed: number): Buffer {
  const random = seededRandom(seed);
  const block = Buffer.from(Uint8Array.from({ length: Math.min(size, BLOCK_BYTES) }, () => Math.floor(random() * 256)));
  return size <= BLOCK_BYTES ? block : Buffer.alloc(size, block);
}

export interface Laid {
  readonly chunks: ChunkFile[];
  readonly whole: Buffer;
  readonly totalBytes: number;
}

/** Chunk files of those sizes with random bytes; their names say nothing of their order. */
export async function layChunks(folder: string, sizes: readonly number[], seed = 1): Promise<Laid> {
  const parts = sizes.map((size, index) => randomBytes(size, seed * 1000 + index));
  const chunks = await Promise.all(
    parts.map(async (bytes, index) => {
      const path = join(folder, `part-${(index * 7919) % 1009}-${index}`);
      await writeFile(path, bytes);
      return { index, path };
    }),
  );
  const whole = Buffer.concat(parts);
  return { chunks, whole, totalBytes: whole.length };
}

/** The content, or undefined when there is none. */
export async function contentOf(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Names of this package's temporary files and claims in a folder. */
export async function debris(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.startsWith('.assemble-') || name.endsWith('.part'));
}

/** Paths inside the folder that this process holds open; undefined where the system does not tell. */
export function heldOpen(folder: string): string[] | undefined {
  // Synchronously: asked thousands of times, and the asking must open nothing that it then counts.
  const follow = (fd: string): string => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  };
  try {
    return readdirSync('/proc/self/fd')
      .map(follow)
      .filter((path) => path.startsWith(folder));
  } catch {
    return undefined;
  }
}
