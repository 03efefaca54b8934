import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { UsageError } from './options.ts';

export interface DataFolder {
  readonly path: string;
  /** Another studio has the folder that would have been the first choice. */
  readonly insteadOf?: string | undefined;
  release(): void;
}

const MAX_TRIES = 20;
const SQLITE_BUSY = 5;

/**
 * Makes a folder this process's own: locks and lists of a studio live in its memory, so two on one folder would undo
 * each other's work. The claim is a file lock that SQLite holds: it goes with the process, however that ends.
 */
function claim(path: string): DataFolder | undefined {
  try {
    mkdirSync(path, { recursive: true });
    const database = new DatabaseSync(join(path, 'in-use.sqlite'), { timeout: 0 });
    if (takeLock(database)) return { path, release: () => database.close() };
    database.close();
    return undefined;
  } catch (error) {
    throw new UsageError(`${path} cannot hold the data: ${(error as Error).message}`);
  }
}

function takeLock(database: DatabaseSync): boolean {
  try {
    database.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return false;
    throw error;
  }
}

/** The folder asked for, or the first free one of `.studio-data`, `.studio-data-2`, … @throws UsageError when it is taken */
export function claimDataFolder(asked: string | undefined, workingFolder: string): DataFolder {
  const first = resolve(workingFolder, asked ?? '.studio-data');
  for (let number = 1; number <= (asked === undefined ? MAX_TRIES : 1); number++) {
    const path = number === 1 ? first : `${first}-${number}`;
    const folder = claim(path);
    if (folder !== undefined) return number === 1 ? folder : { ...folder, insteadOf: first };
  }
  throw new UsageError(`${first} is in use by another studio; give this one a folder of its own with --data`);
}
