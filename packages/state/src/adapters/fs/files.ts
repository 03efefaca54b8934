import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, rmdir, stat, unlink } from 'node:fs/promises';

/** What is asked of the file system, each call one step of which others see all or nothing, except `write`. */
export interface Files {
  /** The names in a folder. */
  list(folder: string): Promise<string[]>;
  read(file: string): Promise<string>;
  /** A file that must not be there yet. */
  write(file: string, text: string): Promise<void>;
  /** A folder, and those above it. @returns the first that was not there */
  make(folder: string): Promise<string | undefined>;
  /** Takes the place of an empty folder, of no other. */
  move(from: string, to: string): Promise<void>;
  removeFile(file: string): Promise<void>;
  /** Only if it is empty. */
  removeFolder(folder: string): Promise<void>;
  /** With all that is in it; no harm if it is not there. */
  erase(folder: string): Promise<void>;
  /** From here on what was moved into or out of the folder survives a power cut. */
  sync(folder: string): Promise<void>;
  changedMs(folder: string): Promise<number>;
}

/** Works on a file, which is closed however that ends. */
async function opened(file: string, flags: 'r' | 'wx', work: (handle: FileHandle) => Promise<void>): Promise<void> {
  const handle = await open(file, flags);
  try {
    await work(handle);
  } finally {
    await handle.close();
  }
}

/** @param isSynced whether what was written is to survive a power cut */
export function nodeFiles(isSynced: boolean): Files {
  return {
    list: (folder) => readdir(folder),
    read: (file) => readFile(file, 'utf8'),
    write: (file, text) =>
      opened(file, 'wx', async (handle) => {
        await handle.writeFile(text);
        if (isSynced) await handle.sync();
      }),
    make: (folder) => mkdir(folder, { recursive: true }),
    move: rename,
    removeFile: unlink,
    removeFolder: rmdir,
    erase: (folder) => rm(folder, { recursive: true, force: true }),
    sync: async (folder) => {
      if (isSynced) await opened(folder, 'r', (handle) => handle.sync());
    },
    changedMs: async (folder) => (await stat(folder)).mtimeMs,
  };
}
