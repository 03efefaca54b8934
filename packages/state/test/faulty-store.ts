import type { Clock } from '@chunks/base';
import type { VersionedStore } from '@chunks/state';

/** What one store call does instead of answering. */
export type Fault =
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
  | 'resend-blind';

export const FAULTS: readonly Fault[] = [
  'none',
  'refuse',
  'lose-request',
  'lose-reply',
  'land-late',
  'hang-after',
  'hang-before',
  'resend',
  'resend-blind',
];

export interface Counts {
  reads: number;
  writes: number;
}

const never = <T>(): Promise<T> => new Promise(() => undefined);

/** A store whose calls go wrong as `next` says, one fault a call. Counts what it was asked. */
export function faultyStore(
  inner: VersionedStore,
  o: { next: (call: 'read' | 'write') => Fault; clock?: Clock; lateMs?: () => number },
): VersionedStore & { readonly counts: Counts } {
  const counts: Counts = { reads: 0, writes: 0 };
  const lost = (): Error => new Error('the connection was cut');
  return {
    ...inner,
    name: `faulty ${inner.name}`,
    counts,
    async read(key, options) {
      counts.reads++;
      const fault = o.next('read');
      if (fault === 'hang-after' || fault === 'hang-before') return never();
      if (fault === 'none' || fault === 'resend' || fault === 'resend-blind') return inner.read(key, options);
      throw lost();
    },
    async write(key, value, expected, options) {
      counts.writes++;
      const fault = o.next('write');
      const write = () => inner.write(key, value, expected, options);
      if (fault === 'none') return write();
      if (fault === 'refuse') throw Object.assign(lost(), { definite: true });
      if (fault === 'lose-request') throw lost();
      if (fault === 'hang-before') return never();
      if (fault === 'land-late') {
        o.clock?.after(o.lateMs?.() ?? 100, () => void write());
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

/** Faults from a list, then none. */
export function scripted(
  inner: VersionedStore,
  writes: Fault[],
  reads: Fault[] = [],
  clock?: Clock,
): VersionedStore & { readonly counts: Counts } {
  const script = { write: [...writes], read: [...reads] };
  return faultyStore(inner, { next: (call) => script[call].shift() ?? 'none', ...(clock && { clock }) });
}

/** Keeps every value that was committed, per key in order. */
export function recording(
  inner: VersionedStore,
): VersionedStore & { readonly history: { key: string; value: string }[] } {
  const history: { key: string; value: string }[] = [];
  return {
    ...inner,
    history,
    async write(key, value, expected, o) {
      const reply = await inner.write(key, value, expected, o);
      if ('revision' in reply) history.push({ key, value });
      return reply;
    },
  };
}

/** Moves a virtual clock on until the promise settles. */
export async function drive<T>(clock: { advance(ms: number): Promise<void> }, promise: Promise<T>): Promise<T> {
  let settled = false;
  const end = () => {
    settled = true;
  };
  promise.then(end, end);
  for (let i = 0; !settled && i < 20_000; i++) await clock.advance(20);
  if (!settled) throw new Error('never settled');
  return promise;
}

/** The code of an error, or its message. */
export const codeOf = (error: unknown): string =>
  (error as { code?: string }).code ?? (error as Error).message ?? String(error);

/** How each promise ended: its value, or the code of its error. */
export async function outcomes<T>(promises: readonly Promise<T>[]): Promise<(T | string)[]> {
  return Promise.all(promises.map((promise) => promise.catch(codeOf)));
}
