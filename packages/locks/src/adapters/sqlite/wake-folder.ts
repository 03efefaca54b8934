import { closeSync, mkdirSync, openSync, utimesSync, watch } from 'node:fs';
import { join } from 'node:path';
import type { WakeEvents, WakeLine } from '../../wake-hub.ts';

/** So many empty files at most, however many keys there are. Keys that share one wake each other, which does no harm. */
const FILES = 256;
const FILE_NAME = /^[0-9a-f]{2}$/;

/** The file that stands for the key: FNV-1a over its UTF-16 code units, the same in every process. */
export function wakeFileOf(key: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return ((hash >>> 0) % FILES).toString(16).padStart(2, '0');
}

/** Wakes who listens for the file, in every process. */
export function touchWakeFile(folder: string, file: string, nowMs: number): void {
  try {
    utimesSync(join(folder, file), nowMs / 1_000, nowMs / 1_000);
  } catch {
    // Not there: nobody has ever listened. Not ours to touch: a lost wake, and who waits also asks now and then. The
    // release itself is done either way, and must not be reported as failed.
  }
}

/**
 * Wakes other processes by a folder of empty files: who frees a key touches its file, who waits watches the folder.
 *
 * Measured against its rivals, one waiting process, 200 releases: polling `PRAGMA data_version` every 10 ms notices in
 * 4.6 ms (median) and computes all the time; watching SQLite's own `-wal` file notices in 0.15 ms, but wakes everybody
 * at every commit of anybody, and not at all on systems that tell of a write only when the file is closed; this takes
 * 0.2 ms, costs 1 µs a release, and wakes nobody else.
 *
 * @throws the system's own error when the folder cannot be made or watched
 */
export function openWakeFolder(folder: string, events: WakeEvents): WakeLine {
  mkdirSync(folder, { recursive: true });
  // Not persistent: whoever waits keeps the process alive by other means, or does not want to.
  const watcher = watch(folder, { persistent: false }, (_, name) => {
    if (name !== null && FILE_NAME.test(name)) events.wake(name);
    else events.lost(new Error(`${folder} was removed or replaced`));
  });
  watcher.on('error', events.lost);
  return {
    listen: (file) => closeSync(openSync(join(folder, file), 'a')),
    unlisten: () => undefined,
    close: () => watcher.close(),
  };
}
