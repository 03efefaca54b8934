import { randomBytes } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { checkText } from '@chunks/base';
import { UnsafePathError } from './errors.ts';
import { crcHex } from './hasher.ts';

// How an upload lies on disk: one folder `root/id/` with
//   upload.open or upload.finished     what the folder is: one file, renamed once, so that no crash can show both or none
//   <index>-<size>-<crc32>-<stamp>.chunk   a whole chunk
//   <owner's tag>.part                 a chunk that is still arriving
// and whatever else the user keeps beside them.

export const OPEN_MARKER = 'upload.open';
export const FINISHED_MARKER = 'upload.finished';
export const PART_SUFFIX = '.part';
/** Of folders that are being removed; with a dot, which no id starts with. */
export const REMOVING_PREFIX = '.removing-';

const MAX_ID_BYTES = 200;

/**
 * An id is one plain name: it becomes a folder's name as it is.
 * @throws TypeError | RangeError | UnsafePathError
 */
export function checkId(id: string): string {
  checkText('id', id);
  const why = id.startsWith('.')
    ? 'an id must not start with a dot'
    : /[/\\]/.test(id)
      ? 'an id must not hold separators'
      : /\p{Cc}/u.test(id)
        ? 'an id must not hold control characters'
        : /\p{Cs}/u.test(id)
          ? 'an id must not hold lone surrogates: no file name can, and two ids would share a folder'
          : Buffer.byteLength(id) > MAX_ID_BYTES
            ? `an id must not be longer than ${MAX_ID_BYTES} bytes`
            : undefined;
  if (why !== undefined) throw new UnsafePathError({ paths: [id], why });
  return id;
}

export interface ChunkName {
  readonly name: string;
  readonly index: number;
  readonly size: number;
  readonly crc32: number;
  /** Rises with time: of two chunks of one index the later one counts. */
  readonly stamp: string;
}

const NAME = /^(0|[1-9]\d{0,15})-(0|[1-9]\d{0,15})-([0-9a-f]{8})-([0-9a-z]{11}[0-9a-f]{8})\.chunk$/;

let lastStamp = 0;

/** Microseconds of the wall clock, and rising with every call even within one millisecond or when the clock steps back. */
const nextStamp = (nowMs: number): number => (lastStamp = Math.max(lastStamp + 1, Math.floor(nowMs) * 1000));

/**
 * Size and CRC-32 stand in the chunk's own name, because the rename that publishes the chunk then publishes them, too:
 * no second file that could be lost, be torn or speak of other bytes, and none to sync. The stamp makes every write's
 * name unique, so that whoever replaces a chunk never takes away one that came later.
 */
export function chunkName(index: number, size: number, crc32: number, nowMs: number): ChunkName {
  const stamp = nextStamp(nowMs).toString(36).padStart(11, '0') + randomBytes(4).toString('hex');
  return { name: `${index}-${size}-${crcHex(crc32)}-${stamp}.chunk`, index, size, crc32, stamp };
}

/** Undefined for every other name. */
export function parseChunkName(name: string): ChunkName | undefined {
  const [, index, size, crc, stamp] = NAME.exec(name) ?? [];
  if (index === undefined || size === undefined || crc === undefined || stamp === undefined) return undefined;
  return { name, index: Number(index), size: Number(size), crc32: Number.parseInt(crc, 16), stamp };
}

/**
 * Removes an upload's folder. It vanishes in one step first: nobody ever sees half an upload, and what a crash leaves
 * is known by its name.
 */
export async function removeUpload(root: string, id: string): Promise<void> {
  const aside = join(root, `${REMOVING_PREFIX}${randomBytes(6).toString('hex')}`);
  try {
    await rename(join(root, id), aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  // rm takes links away and follows none.
  await rm(aside, { recursive: true, force: true });
}
