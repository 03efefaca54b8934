import { lstat, readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  type Clock,
  checkFunction,
  checkInteger,
  checkNumber,
  checkText,
  type Exclusively,
  type MaybePromise,
  systemClock,
} from '@chunks/base';
import { UnsafePathError } from './errors.ts';
import { codeOf } from './file-port.ts';
import { FINISHED_MARKER, OPEN_MARKER, REMOVING_PREFIX, removeUpload } from './upload-layout.ts';

export interface SweepOptions {
  /** The folder in which {@link ChunkDirectory} keeps uploads. */
  root: string;
  /** An upload is stale when nothing in it changed for longer than this. @default 2 h */
  olderThanMs?: number | undefined;
  /** Whether somebody works on it now. Asked before an upload is removed, twice: the second time inside `exclusively`. */
  isActive?: ((id: string) => MaybePromise<boolean>) | undefined;
  /** The lock that writers take, too: `locks.run.bind(locks)`. Everything is looked at again inside it. */
  exclusively?: Exclusively | undefined;
  /** Tells what would be removed, and removes nothing. @default false */
  dryRun?: boolean | undefined;
  /** Stops there; the next sweep goes on. @default no limit */
  maxRemovals?: number | undefined;
  /** Ends the sweep between two uploads and rejects with the signal's own reason; what is removed stays removed. */
  signal?: AbortSignal | undefined;
  /** @default the system's */
  clock?: Clock | undefined;
}

export interface SweepResult {
  /** Ids, in order of name. */
  removed: string[];
  /** Of the files removed. */
  bytes: number;
  /** Uploads that stay: finished, active or too young. */
  kept: number;
  /** Folders and links that are no uploads, and stale uploads that could not be removed; with the reason. */
  skipped: { id: string; reason: string }[];
}

/** What is known of an upload without touching it. */
interface Look {
  readonly finished: boolean;
  /** The newest change of the folder or of anything in it. */
  readonly newestMs: number;
  readonly bytes: number;
}

const DEFAULT_AGE_MS = 2 * 60 * 60_000;

/**
 * Removes uploads that nobody goes on with. Only folders that a {@link ChunkDirectory} made are touched, never a
 * finished or an active one; links are never followed, and other files in the root are left alone. Also takes away
 * what a removal that was cut short has left.
 *
 * @throws TypeError | RangeError for bad options; UnsafePathError when the root is a link or no folder.
 * One upload that cannot be looked at or removed is listed in `skipped` and stops nothing.
 * @example
 * const { removed, bytes } = await sweepStale({ root: 'uploads', isActive: (id) => sessions.has(id) });
 */
export async function sweepStale(o: SweepOptions): Promise<SweepResult> {
  const root = checkSweep(o);
  const limit = o.maxRemovals ?? Number.POSITIVE_INFINITY;
  const result: SweepResult = { removed: [], bytes: 0, kept: 0, skipped: [] };
  o.signal?.throwIfAborted();
  for (const entry of (await entries(root)).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    o.signal?.throwIfAborted();
    const id = entry.name;
    if (entry.isSymbolicLink()) result.skipped.push({ id, reason: 'a link' });
    if (!entry.isDirectory()) continue;
    try {
      if (!id.startsWith(REMOVING_PREFIX)) await judge(o, root, id, result, limit);
      else if (o.dryRun !== true) await rm(join(root, id), { recursive: true, force: true });
    } catch (error) {
      result.skipped.push({ id, reason: String(error) });
    }
  }
  return result;
}

/** Checks the options; @returns the absolute root. */
export function checkSweep(o: SweepOptions): string {
  if (o.olderThanMs !== undefined) checkNumber('olderThanMs', o.olderThanMs, 0);
  if (o.maxRemovals !== undefined) checkInteger('maxRemovals', o.maxRemovals, 0);
  if (o.isActive !== undefined) checkFunction('isActive', o.isActive);
  if (o.exclusively !== undefined) checkFunction('exclusively', o.exclusively);
  return resolve(checkText('root', o.root));
}

async function entries(root: string): Promise<import('node:fs').Dirent[]> {
  try {
    if (!(await lstat(root)).isDirectory())
      throw new UnsafePathError({ paths: [root], why: 'must be a folder and no link' });
    return await readdir(root, { withFileTypes: true });
  } catch (error) {
    // No upload has come yet.
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

async function judge(o: SweepOptions, root: string, id: string, result: SweepResult, limit: number): Promise<void> {
  const first = await look(join(root, id));
  if (first === undefined) return void result.skipped.push({ id, reason: 'not an upload' });
  if (!(await isStale(o, id, first))) return void result.kept++;
  if (result.removed.length >= limit) return void result.skipped.push({ id, reason: 'maxRemovals reached' });
  const bytes = await alone(o, id, async () => {
    // Looked at again: before the lock was given, a writer may have come and gone.
    const again = await look(join(root, id));
    if (again === undefined || !(await isStale(o, id, again))) return undefined;
    if (o.dryRun !== true) await removeUpload(root, id);
    return again.bytes;
  });
  if (bytes === undefined) return void result.kept++;
  result.removed.push(id);
  result.bytes += bytes;
}

const alone: <T>(o: SweepOptions, id: string, task: () => Promise<T>) => Promise<T> = (o, id, task) =>
  o.exclusively === undefined ? task() : o.exclusively(id, task);

async function isStale(o: SweepOptions, id: string, { finished, newestMs }: Look): Promise<boolean> {
  const ageMs = (o.clock ?? systemClock).now() - newestMs;
  if (finished || ageMs <= (o.olderThanMs ?? DEFAULT_AGE_MS)) return false;
  return !(await o.isActive?.(id));
}

/** Undefined when it is no upload. */
async function look(folder: string): Promise<Look | undefined> {
  const names = await readdir(folder);
  const finished = names.includes(FINISHED_MARKER);
  if (!finished && !names.includes(OPEN_MARKER)) return undefined;
  let newestMs = (await lstat(folder)).mtimeMs;
  let bytes = 0;
  for (const name of names) {
    const fact = await lstat(join(folder, name)).catch((error) => {
      // Replaced meanwhile, which the folder's own time tells of.
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (fact === undefined) continue;
    newestMs = Math.max(newestMs, fact.mtimeMs);
    if (fact.isFile()) bytes += fact.size;
  }
  return { finished, newestMs, bytes };
}
