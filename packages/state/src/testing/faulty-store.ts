import { type Clock, systemClock } from '@chunks/base';
import type { VersionedStore } from '../store.ts';
import { passOn } from './pass-on.ts';

/** What one store call does instead of answering. */
export type StoreFault =
  | 'none'
  /** Fails and says that nothing was written. */
  | 'refuse'
  /** The request is lost: an error, nothing written. */
  | 'lose-request'
  /** The reply is lost: written, then an error. */
  | 'lose-reply'
  /** An error now, written some time later, if it still fits then. */
  | 'land-late'
  /** Written, and never an answer. */
  | 'hang-after'
  /** Nothing written, and never an answer. */
  | 'hang-before'
  /** The client resends by itself after a lost reply: conflict, with what it just wrote. */
  | 'resend'
  /** The same, but without saying what stands there. */
  | 'resend-blind'
  /** The answer comes late. */
  | 'delay'
  /** A read answers what stood there before the last write through this wrapper. No store may do so: to be caught. */
  | 'stale';

/** All that a store may do to its callers: everything but `stale`. */
export const STORE_FAULTS: readonly StoreFault[] = [
  'none',
  'refuse',
  'lose-request',
  'lose-reply',
  'land-late',
  'hang-after',
  'hang-before',
  'resend',
  'resend-blind',
  'delay',
];

/** What goes wrong, and when. */
export interface FaultyStoreOptions {
  /** Asked for each call, in the order of arrival. */
  next: (call: 'read' | 'write') => StoreFault;
  /** For what is late. @default the host's clock */
  clock?: Clock | undefined;
  /** How late that is, in ms. @default 100 */
  lateMs?: (() => number) | undefined;
  /** A key takes one write in so many ms; one that comes earlier is refused. @default 0, no limit */
  writeEveryMs?: number | undefined;
}

/** What the wrapper was asked. */
export interface StoreCallCounts {
  reads: number;
  writes: number;
}

type Found = Awaited<ReturnType<VersionedStore['read']>>;

const never = <T>(): Promise<T> => new Promise(() => undefined);
const lost = (): Error => new Error('the connection was cut');
const refused = (why: string): Error => Object.assign(new Error(why), { definite: true });

/**
 * A store whose reads and writes go wrong as `next` says, one fault a call; its other calls are left alone. Counts what
 * it was asked.
 * @example
 * const store = faultyStore(memoryStore(), { next: (call) => (call === 'write' ? 'lose-reply' : 'none') });
 */
export function faultyStore(
  inner: VersionedStore,
  options: FaultyStoreOptions,
): VersionedStore & { readonly counts: StoreCallCounts } {
  const { next, clock = systemClock, lateMs = () => 100, writeEveryMs = 0 } = options;
  const counts: StoreCallCounts = { reads: 0, writes: 0 };
  // What was written last through this wrapper, and before that.
  const last = new Map<string, Found>();
  const before = new Map<string, Found>();
  const wroteMs = new Map<string, number>();

  function limit(key: string): void {
    if (writeEveryMs === 0) return;
    const nowMs = clock.now();
    if (nowMs - (wroteMs.get(key) ?? Number.NEGATIVE_INFINITY) < writeEveryMs) throw refused('too many writes');
    wroteMs.set(key, nowMs);
  }

  return {
    ...passOn(inner),
    name: `faulty ${inner.name}`,
    counts,
    async read(key, o) {
      counts.reads++;
      const fault = next('read');
      if (fault === 'hang-after' || fault === 'hang-before') return never();
      if (fault === 'stale' && before.has(key)) return before.get(key);
      if (fault === 'delay') await clock.sleep(lateMs());
      else if (!['none', 'stale', 'resend', 'resend-blind'].includes(fault)) throw lost();
      return inner.read(key, o);
    },
    async write(key, value, expected, o) {
      counts.writes++;
      const fault = next('write');
      limit(key);
      const write = async (): ReturnType<VersionedStore['write']> => {
        const reply = await inner.write(key, value, expected, o);
        if ('revision' in reply) {
          before.set(key, last.get(key));
          last.set(key, { value, revision: reply.revision });
        }
        return reply;
      };
      if (fault === 'none' || fault === 'stale') return write();
      if (fault === 'delay') return write().finally(() => clock.sleep(lateMs()));
      if (fault === 'refuse') throw refused('refused');
      if (fault === 'lose-request') throw lost();
      if (fault === 'hang-before') return never();
      if (fault === 'land-late') {
        // What becomes of it nobody hears.
        clock.after(lateMs(), () => void write().catch(() => undefined));
        throw lost();
      }
      await write();
      if (fault === 'hang-after') return never();
      if (fault === 'lose-reply') throw lost();
      const again = await write();
      return fault === 'resend-blind' && 'conflict' in again ? { conflict: true } : again;
    },
  };
}
