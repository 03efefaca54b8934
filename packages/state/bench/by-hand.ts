// What a careful user writes today, without lost replies in mind: the two that updates are measured against.
import type { VersionedStore } from '@chunks/state';

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Changes a record; may take its time. */
export type Change<T> = (state: T) => void | Promise<void>;

/** Waits of a retry loop, in ms. */
export interface Tuning {
  readonly baseMs: number;
  readonly maxMs: number;
}

/** Read, change, write if nobody was faster, else wait a random while and try again. */
export async function fullJitter<T>(
  store: VersionedStore,
  key: string,
  initial: () => T,
  change: Change<T>,
  { baseMs, maxMs }: Tuning,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    const record = await store.read(key, { signal });
    const state: T = record ? JSON.parse(record.value) : initial();
    await change(state);
    const reply = await store.write(key, JSON.stringify(state), record?.revision, { signal });
    if ('revision' in reply) return;
    await sleep(Math.random() * Math.min(maxMs, baseMs * 2 ** attempt));
  }
}

/** The best by hand within one process: in turn, on the record that the last write left; no other process may write. */
export function inTurn<T>(
  store: VersionedStore,
  key: string,
  initial: () => T,
  signal: AbortSignal,
): (change: Change<T>) => Promise<void> {
  let last: Promise<unknown> = Promise.resolve();
  let text = JSON.stringify(initial());
  let revision: string | undefined;
  return (change) => {
    const mine = last.then(async () => {
      signal.throwIfAborted();
      const state: T = JSON.parse(text);
      await change(state);
      text = JSON.stringify(state);
      const reply = await store.write(key, text, revision, { signal });
      if ('conflict' in reply) throw new Error('another process came in between');
      revision = reply.revision;
    });
    last = mine;
    return mine;
  };
}

/** The waits with which a crowd of loops on this store ends soonest, out of twelve. */
export async function tune(crowd: (tuning: Tuning) => Promise<void>): Promise<Tuning> {
  let best: Tuning & { tookMs: number } = { baseMs: 0, maxMs: 0, tookMs: Number.POSITIVE_INFINITY };
  for (const baseMs of [0.5, 2, 8, 32]) {
    for (const maxMs of [50, 200, 1_000]) {
      const startMs = performance.now();
      await crowd({ baseMs, maxMs });
      const tookMs = performance.now() - startMs;
      if (tookMs < best.tookMs) best = { baseMs, maxMs, tookMs };
    }
  }
  return { baseMs: best.baseMs, maxMs: best.maxMs };
}
