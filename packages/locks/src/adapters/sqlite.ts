/// <reference lib="esnext.disposable" preserve="true" />
import { type Clock, checkInteger, checkNumber, checkText, refuseRange, systemClock } from '@chunks/base';
import type { LeaseDriver } from '../lease-driver.ts';
import { WakeHub } from '../wake-hub.ts';
import { Transactions } from './sqlite/transactions.ts';
import { openWakeFolder, touchWakeFile, wakeFileOf } from './sqlite/wake-folder.ts';

/** How {@link sqliteLeases} waits for others. */
export interface SqliteLeasesOptions {
  /**
   * How long one call may wait, in ms, for another process to let go of the database file; then it rejects with
   * SQLite's own error, and the locker says LOCK_UNAVAILABLE. It waits beside the event loop, not inside it.
   * @default 2_000
   */
  busyTimeoutMs?: number | undefined;
  /** Must be the same for all processes on the file. @default the host's clock and timers */
  clock?: Clock | undefined;
  /** In [0, 1), for the waits between two tries of a busy file. @default Math.random */
  random?: (() => number) | undefined;
}

/**
 * Leases in a SQLite file through `node:sqlite`, for several processes of one machine. Opened on first use.
 *
 * - Fair: waiters of all processes stand in one line per key, in the file. Release and expiry hand the key on to the
 *   first in the same transaction. A place that was not asked for within 15 s lapses.
 * - Waiters are woken through the folder `<path>-wake`, which holds at most 256 empty files.
 * - Time is the machine's clock, which all processes share. Tokens rise over restarts and power cuts (WAL,
 *   `synchronous = FULL`); a record goes when its token is a day old and the next new key comes.
 * - A file that is removed or replaced while open makes the next call reject and the one after it open what is there
 *   then: leases of the old file are lost, and their renewal says so.
 * - A write to the disk blocks the event loop as every call to `node:sqlite` does; calls that come together share one.
 *
 * Tables: `chunks_leases`, `chunks_lease_line`. Not for network file systems, where WAL does not work.
 *
 * @throws TypeError | RangeError when the path is no non-empty string or `:memory:`, or the timeout no integer ≥ 0.
 * @example
 * const locker = leaseLocker(sqliteLeases('data/locks.sqlite'));
 * await locker.run('video-7', async (lock) => rebuild('video-7', lock.token));
 */
export function sqliteLeases(path: string, options: SqliteLeasesOptions = {}): LeaseDriver {
  if (checkText('path', path) === ':memory:') {
    refuseRange('path', 'a file that other processes can open; memoryLeases() is for one process', path);
  }
  const { clock = systemClock, random = Math.random } = options;
  const busyTimeoutMs = checkInteger('busyTimeoutMs', options.busyTimeoutMs ?? 2_000, 0, 2 ** 31 - 1);
  const folder = `${path}-wake`;
  const hub = new WakeHub((events) => openWakeFolder(folder, events), clock);
  const onFreed = (key: string, nowMs: number): void => touchWakeFile(folder, wakeFileOf(key), nowMs);
  const transactions = new Transactions({ path, busyTimeoutMs, clock, random, onFreed });

  return {
    name: 'sqlite',
    modes: ['exclusive'],
    acquire: async (key, holder, leaseMs, { signal }) => {
      checkText('key', key);
      checkText('holder', holder);
      checkNumber('leaseMs', leaseMs, 1);
      const answer = await transactions.run((table, nowMs) => table.acquire(key, holder, leaseMs, nowMs), signal);
      hub.heal();
      return answer;
    },
    renew: async (key, holder, token, leaseMs) => {
      checkNumber('leaseMs', leaseMs, 1);
      return transactions.run((table, nowMs) => table.renew(key, holder, token, leaseMs, nowMs));
    },
    release: (key, holder, token) => transactions.run((table, nowMs) => table.release(key, holder, token, nowMs)),
    inspect: (key) => transactions.run((table, nowMs) => table.inspect(key, nowMs)),
    watch: (key, wake) => hub.watch(wakeFileOf(key), wake),
    close: async () => {
      await hub.close();
      await transactions.close();
    },
  };
}
