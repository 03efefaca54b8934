import { crc32 } from 'node:zlib';
import type { ByteSource } from '@chunks/base';
import { SizeMismatchError, SyncFailedError, WriteFailedError } from './errors.ts';
import { type FilePort, flags } from './file-port.ts';
import { compareDigest, newHasher } from './hasher.ts';
import { piecesUntil } from './pieces.ts';
import type { Digest } from './types.ts';
import { type Target, writeAll } from './write-all.ts';

/** What an arriving chunk must be; both are checked before it shows. */
export interface ChunkWriteOptions {
  /** In bytes. A source that gives more is stopped there. */
  size?: number | undefined;
  digest?: Digest | undefined;
  /** Ends the write and rejects with the signal's own reason; nothing stays. */
  signal?: AbortSignal | undefined;
}

/** Counted while the bytes came: summing a chunk later would mean reading it again. */
export interface Arrived {
  readonly size: number;
  readonly crc32: number;
}

/** Everything of a chunk's way to the disk but its name: into a new file, checked, synced, closed. */
export async function receive(
  files: FilePort,
  o: ChunkWriteOptions & { path: string; data: ByteSource; durable: boolean },
): Promise<Arrived> {
  const { path } = o;
  const fd = await files.open(path, flags.createNew, 0o666).catch((cause) => {
    throw new WriteFailedError({ path, cause });
  });
  let arrived: Arrived;
  try {
    arrived = await fill({ files, fd, path }, o.data, o);
    if (o.durable) {
      await files.fdatasync(fd).catch((cause) => {
        throw new SyncFailedError({ path, published: false, cause });
      });
    }
  } catch (error) {
    await files.close(fd).catch(() => undefined);
    throw error;
  }
  // An error here may be the last word on data that was written: it counts.
  await files.close(fd).catch((cause) => {
    throw new WriteFailedError({ path, cause });
  });
  return arrived;
}

async function fill(target: Target, data: ByteSource, o: ChunkWriteOptions): Promise<Arrived> {
  const hasher = o.digest === undefined ? undefined : newHasher(o.digest.algorithm);
  let size = 0;
  let crc = 0;
  for await (const piece of piecesUntil(data, o.signal)) {
    // Before the write: a source without end must not fill the disk.
    if (o.size !== undefined && size + piece.length > o.size) {
      throw new SizeMismatchError({ expected: o.size, actual: size + piece.length });
    }
    await writeAll(target, piece, size);
    size += piece.length;
    crc = crc32(piece, crc);
    hasher?.update(piece);
  }
  if (o.size !== undefined && size !== o.size) throw new SizeMismatchError({ expected: o.size, actual: size });
  if (o.digest !== undefined && hasher !== undefined) compareDigest(o.digest, hasher.hex());
  return { size, crc32: crc };
}
