/// <reference lib="esnext.disposable" preserve="true" />
import { resolve } from 'node:path';
import { checkOneOf, checkText, systemClock } from '@chunks/base';
import type { VersionedStore } from '../store.ts';
import { nodeFiles } from './fs/files.ts';
import { nameOf } from './fs/key-name.ts';
import { Records } from './fs/records.ts';
import { ticks } from './fs/ticks.ts';

/** How {@link fsStore} writes. */
export interface FsStoreOptions {
  /**
   * Whether an acknowledged write is on the disk (`fsync` of the file and its folders), and survives a power cut.
   * Without it, it survives the end of every process, `kill -9` included, and waits for no disk.
   * @default true
   */
  sync?: boolean | undefined;
}

/**
 * Records in a directory, one folder a key, the value in a file that any tool can read: for several processes of one
 * machine, without a lock and without a server. The directory is made on first use.
 *
 * - A write is atomic by one rename: whoever is killed, at any moment, leaves the old value or the new one whole. What
 *   else is left of him the next write of that key takes away, or, of a key that was never created, the next process
 *   after an hour.
 * - Any key: its letters become lower-case ASCII, so that `a` and `A` stay two keys on file systems that know only one;
 *   long ones become a digest.
 * - A full disk, a missing permission, a read-only file system: a failure that says that nothing was written.
 * - `watch` goes by the file system's own events and sees every process.
 *
 * Linux and macOS, on a local file system: there a rename is one step for all. NFS and SMB clients send a rename again
 * when its reply is lost and cache what they list: not for them. Nor for Windows, which moves no folder whose files
 * are open. On an overlay file system the directory must be on a volume or have been made in the upper layer.
 *
 * @throws TypeError | RangeError when the directory is no non-empty string or `sync` no boolean.
 * @example
 * const state = createState({ store: fsStore('data/state'), initial: () => ({ count: 0 }) });
 */
export function fsStore(directory: string, options: FsStoreOptions = {}): VersionedStore {
  const sync = checkOneOf('sync', options.sync ?? true, [true, false]);
  // Resolved at once: the process may go elsewhere.
  const path = resolve(checkText('directory', directory));
  const records = new Records({ directory: path, files: nodeFiles(sync), now: systemClock.now });
  return {
    name: 'fs',
    capabilities: { watch: true, list: true, remove: true, durable: sync ? 'sync' : 'async' },
    read: (key, { signal }) => records.read(key, signal),
    write: (key, value, expected, { signal }) => records.write(key, value, expected, signal),
    remove: (key, expected) => records.remove(key, expected),
    list: (prefix, { signal }) => records.list(prefix, signal),
    async *watch(key, { signal }) {
      signal.throwIfAborted();
      await records.open();
      yield* ticks(records.keys, nameOf(key), signal);
    },
  };
}
