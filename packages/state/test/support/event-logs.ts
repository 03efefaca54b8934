import type { Clock, VirtualClock } from '@chunks/base';
import { type AppendStore, EventLog, type EventLogOptions } from '@chunks/state/event-log';

/** How often each event was folded, by its name. */
export interface Tally {
  times: Record<string, number>;
}

export interface Named {
  name: string;
}

export type TallyLog = EventLog<Tally, Named>;

/** A log of names that counts how often it folded each. */
export const tallyLog = (store: AppendStore, clock: Clock, o: Partial<EventLogOptions<Tally, Named>> = {}): TallyLog =>
  new EventLog<Tally, Named>({
    store,
    clock,
    initial: () => ({ times: {} }),
    reduce: ({ times }, { name }) => {
      times[name] = (times[name] ?? 0) + 1;
    },
    ...o,
  });

/** What of it was appended and not counted, and what was counted more than once or out of nothing. */
export function faultsOf(state: Tally, appended: Iterable<string>): { lost: string[]; doubled: string[] } {
  const names = new Set(appended);
  return {
    lost: [...names].filter((name) => state.times[name] === undefined),
    doubled: Object.keys(state.times).filter((name) => state.times[name] !== 1 || !names.has(name)),
  };
}

export const faultless: ReturnType<typeof faultsOf> = { lost: [], doubled: [] };

/** Moves a virtual clock on until the promise settles. */
export async function drive<T>(clock: VirtualClock, promise: Promise<T>, stepMs = 50): Promise<T> {
  let isSettled = false;
  const end = (): void => {
    isSettled = true;
  };
  promise.then(end, end);
  for (let i = 0; !isSettled && i < 200_000; i++) await clock.advance(stepMs);
  if (!isSettled) throw new Error('never settled');
  return promise;
}

/** A process that dies when it has written so often: the last write is done, and nothing happens any more. */
export function dying(inner: AppendStore, afterWrites: number): { store: AppendStore; isDead: () => boolean } {
  let writes = 0;
  const never = <T>(): Promise<T> => new Promise<T>(() => undefined);
  const live = <T>(call: () => Promise<T>): Promise<T> => (writes >= afterWrites ? never() : call());
  const write = async (call: () => Promise<void>): Promise<void> => {
    if (writes >= afterWrites) return never();
    writes++;
    const isLast = writes >= afterWrites;
    await call();
    if (isLast) return never();
  };
  return {
    isDead: () => writes >= afterWrites,
    store: {
      name: `dying ${inner.name}`,
      get: (key) => live(() => inner.get(key)),
      list: (prefix, cursor) => live(() => inner.list(prefix, cursor)),
      put: (key, value) => write(() => inner.put(key, value)),
      delete: (key) => write(() => inner.delete(key)),
    },
  };
}

/** A compaction by a process of its own; resolves when it is done or dead. @returns whether it lived to the end */
export async function compactOrDie(
  store: AppendStore,
  clock: VirtualClock,
  key: string,
  afterWrites: number,
  o: Partial<EventLogOptions<Tally, Named>> = {},
): Promise<boolean> {
  const dier = dying(store, afterWrites);
  let isOver = false;
  let problem: unknown;
  tallyLog(dier.store, clock, o)
    .compact(key)
    .then(
      () => {
        isOver = true;
      },
      (error: unknown) => {
        isOver = true;
        problem = error;
      },
    );
  while (!isOver && !dier.isDead()) await clock.advance(50);
  if (problem !== undefined && !dier.isDead()) throw problem;
  return !dier.isDead();
}
