import type { Clock } from '@chunks/base';
import { seededRandom } from '@chunks/base/testing';
import type { VersionedStore } from '@chunks/state';
import { faultyStore, STORE_FAULTS, type StoreCallCounts, type StoreFault } from '@chunks/state/testing';
import { passOn } from '../../src/testing/pass-on.ts';

/** Faults from a list, then none. */
export function scripted(
  inner: VersionedStore,
  writes: StoreFault[],
  reads: StoreFault[] = [],
  clock?: Clock,
): VersionedStore & { readonly counts: StoreCallCounts } {
  const script = { write: [...writes], read: [...reads] };
  return faultyStore(inner, { next: (call) => script[call].shift() ?? 'none', clock });
}

/** Calls that hang cost real time on real stores: they are left to the virtual clock of exactly-once.test.ts. */
export const QUICK_FAULTS: readonly StoreFault[] = STORE_FAULTS.filter((fault) => !fault.startsWith('hang'));

type Bench = () => { open(): VersionedStore };

/** The same bench, each case with a seed of its own, on which one call in three goes wrong. */
export function oneInThreeLost(bench: Bench, seed: number): Bench {
  let cases = 0;
  return () => {
    const random = seededRandom(seed + ++cases);
    const next = (): StoreFault =>
      random() < 0.33 ? (QUICK_FAULTS[Math.floor(random() * QUICK_FAULTS.length)] as StoreFault) : 'none';
    const { open } = bench();
    return { open: () => faultyStore(open(), { next, lateMs: () => 20 }) };
  };
}

/** Keeps every value that was committed, per key in order. */
export function recording(
  inner: VersionedStore,
): VersionedStore & { readonly history: { key: string; value: string }[] } {
  const history: { key: string; value: string }[] = [];
  return {
    ...passOn(inner),
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
