import * as fs from 'node:fs';
import { promisify } from 'node:util';

/** What is asked of a file's state: of Node's Stats, and spelled out, so that users need no Node types. */
export interface FileFacts {
  readonly size: number;
  readonly dev: number;
  readonly ino: number;
  readonly mtimeMs: number;
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

/** A position in bytes, and the bytes moved by one call, which may be fewer than asked for. */
type Transfer = (fd: number, buffer: Uint8Array, offset: number, length: number, position: number) => Promise<number>;
type TransferSync = (fd: number, buffer: Uint8Array, offset: number, length: number, position: number) => number;

/**
 * The few file calls that are used, so that a test can fail any of them. The synchronous ones are the `inline`
 * engine's copy loop; descriptors are plain numbers, closed by whoever opened them.
 */
export interface FilePort {
  /** Shows in diagnostics. */
  readonly name: string;
  open(path: string, flags: number, mode?: number): Promise<number>;
  close(fd: number): Promise<void>;
  fstat(fd: number): Promise<FileFacts>;
  read: Transfer;
  write: Transfer;
  fdatasync(fd: number): Promise<void>;
  fsync(fd: number): Promise<void>;
  lstat(path: string): Promise<FileFacts>;
  realpath(path: string): Promise<string>;
  readdir(path: string): Promise<string[]>;
  statfs(path: string): Promise<{ readonly bavail: number; readonly bsize: number }>;
  link(from: string, to: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  openSync(path: string, flags: number): number;
  closeSync(fd: number): void;
  fstatSync(fd: number): FileFacts;
  readSync: TransferSync;
  writeSync: TransferSync;
}

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = fs.constants;

/** Open flags. Where a system has no such flag (Windows), it is 0. */
export const flags: { readonly readChunk: number; readonly createNew: number; readonly readDirectory: number } = {
  /** A chunk: never through a link, and never waiting for the other end of a pipe. */
  readChunk: O_RDONLY | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0),
  /** A file that must not exist: of two that create it, one does. */
  createNew: O_WRONLY | O_CREAT | O_EXCL,
  readDirectory: O_RDONLY | (O_DIRECTORY ?? 0),
};

const read = promisify(fs.read);
const write = promisify(fs.write);

/** The host's own file system. */
export const nodeFiles: FilePort = {
  name: 'node:fs',
  open: promisify(fs.open) as FilePort['open'],
  close: promisify(fs.close),
  fstat: promisify(fs.fstat) as FilePort['fstat'],
  read: async (fd, buffer, offset, length, position) => (await read(fd, buffer, offset, length, position)).bytesRead,
  write: async (fd, buffer, offset, length, position) =>
    (await write(fd, buffer, offset, length, position)).bytesWritten,
  fdatasync: promisify(fs.fdatasync),
  fsync: promisify(fs.fsync),
  lstat: promisify(fs.lstat) as FilePort['lstat'],
  realpath: promisify(fs.realpath.native) as FilePort['realpath'],
  readdir: promisify(fs.readdir) as FilePort['readdir'],
  statfs: promisify(fs.statfs) as FilePort['statfs'],
  link: promisify(fs.link),
  rename: promisify(fs.rename),
  unlink: promisify(fs.unlink),
  openSync: fs.openSync,
  closeSync: fs.closeSync,
  fstatSync: fs.fstatSync,
  readSync: fs.readSync,
  writeSync: fs.writeSync as FilePort['writeSync'],
};

export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code;

// Asked one after the other, each answer costs a round trip to the thread pool: 50 ms for 512 files, against 4 ms.
const ASKED_AT_ONCE = 256;

/** The state of each path, or why there is none, in the same order. */
export async function lstatAll(files: FilePort, paths: readonly string[]): Promise<PromiseSettledResult<FileFacts>[]> {
  const results: PromiseSettledResult<FileFacts>[] = [];
  for (let at = 0; at < paths.length; at += ASKED_AT_ONCE) {
    const asked = paths.slice(at, at + ASKED_AT_ONCE).map((path) => files.lstat(path));
    results.push(...(await Promise.allSettled(asked)));
  }
  return results;
}

/** Takes a file away; that it was gone already is as good. */
export async function remove(files: FilePort, path: string): Promise<void> {
  try {
    await files.unlink(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** Makes a directory's entries durable. */
export async function syncDirectory(files: FilePort, path: string): Promise<void> {
  // Windows cannot open a directory; there a rename is durable with the journal of the file system.
  if (process.platform === 'win32') return;
  const fd = await files.open(path, flags.readDirectory);
  try {
    await files.fsync(fd);
  } finally {
    await files.close(fd);
  }
}
