import { WriteFailedError } from './errors.ts';
import type { FilePort } from './file-port.ts';

// A disk that fills up gives the count that still fitted, without an error; the error comes with the next call. So a
// short count is never the end: both loops go on from it until all bytes are out or the system says why not.

/** Where bytes go. */
export interface Target {
  readonly files: FilePort;
  readonly fd: number;
  /** For messages. */
  readonly path: string;
}

const failed = (path: string, wanted: number, written: number, cause: unknown): WriteFailedError =>
  new WriteFailedError({ path, wanted, written, cause });

// A call that moves nothing and says nothing could be repeated for ever.
const checkCount = (count: number): number => {
  if (count === 0) throw new Error('the system wrote 0 bytes');
  return count;
};

/**
 * Writes all the bytes at that position.
 * @param stopped asked before each call; when it says so, the rest is left.
 * @throws WriteFailedError with the count so far.
 */
export async function writeAll(
  { files, fd, path }: Target,
  bytes: Uint8Array,
  position: number,
  stopped?: () => boolean,
): Promise<void> {
  const wanted = bytes.length;
  for (let put = 0; put < wanted && stopped?.() !== true; ) {
    try {
      put += checkCount(await files.write(fd, bytes, put, wanted - put, position + put));
    } catch (cause) {
      throw failed(path, wanted, put, cause);
    }
  }
}

/** {@link writeAll} on the calling thread; only the first `wanted` bytes of the buffer. */
export function writeAllSync({ files, fd, path }: Target, buffer: Uint8Array, wanted: number, position: number): void {
  for (let put = 0; put < wanted; ) {
    try {
      put += checkCount(files.writeSync(fd, buffer, put, wanted - put, position + put));
    } catch (cause) {
      throw failed(path, wanted, put, cause);
    }
  }
}
