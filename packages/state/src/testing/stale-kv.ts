import { type Clock, checkFunction, checkInteger, checkNumber, systemClock } from '@chunks/base';
import type { KvNamespace } from '../event-log/kv-namespace.ts';

/** How bad {@link staleKv} is. */
export interface StaleKvOptions {
  /** Places from which it is read, each with views of its own. @default 3 */
  colos?: number | undefined;
  /** How old what a place is shown may be, in ms. @default 60_000 */
  lagMs?: number | undefined;
  /** A key takes one write in so many ms, deletions included; one that comes earlier is answered 429. @default 1_000 */
  writeEveryMs?: number | undefined;
  /** Keys in one page of a list. @default 1_000 */
  pageSize?: number | undefined;
  /** How long a call takes at most each way, in ms: calls overtake each other. @default 0 */
  latencyMs?: number | undefined;
  /** @default the host's */
  clock?: Clock | undefined;
  /** In [0, 1). A seeded one makes the same run again. @default Math.random */
  random?: (() => number) | undefined;
}

/** A store in the shape of Workers KV, and what only a test may know of it. */
export interface StaleKv {
  /** The places. */
  readonly colos: readonly KvNamespace[];
  /** What is really there. */
  truth(): ReadonlyMap<string, string>;
  /** What all places were asked. */
  readonly counts: { get: number; put: number; list: number; delete: number; refused: number };
}

interface Change {
  readonly atMs: number;
  readonly value: string | null;
}

/** An answer that a place keeps for a while. */
interface Kept extends Change {
  readonly untilMs: number;
}

/**
 * Workers KV at its worst, in memory, for tests: each place is shown each key as it was at some instant of the last
 * `lagMs`, keeps that answer for some time of its own, and is told by `list` about other instants than by `get`. That
 * holds for absence too: what was looked for too early stays missing, what was deleted stays. So writes show late, in
 * any order, and not for ever. A write that another one of the same key preceded by less than a second is refused.
 * @throws RangeError | TypeError naming the option, the rule and the value
 * @example
 * const clock = new VirtualClock();
 * const kv = staleKv({ clock, colos: 2 });
 * const logs = kv.colos.map((colo) => new EventLog({ store: workersKvLog(colo), initial, reduce, clock }));
 */
export function staleKv(options: StaleKvOptions = {}): StaleKv {
  const { clock = systemClock, random = Math.random } = options;
  const colos = checkInteger('colos', options.colos ?? 3, 1);
  const lagMs = checkNumber('lagMs', options.lagMs ?? 60_000, 0);
  const writeEveryMs = checkNumber('writeEveryMs', options.writeEveryMs ?? 1_000, 0);
  const pageSize = checkInteger('pageSize', options.pageSize ?? 1_000, 1);
  const latencyMs = checkNumber('latencyMs', options.latencyMs ?? 0, 0);
  checkFunction('random', random);
  // A key that was deleted stays in it.
  const keys = new Map<string, Change[]>();
  let sorted: string[] = [];
  const counts = { get: 0, put: 0, list: 0, delete: 0, refused: 0 };

  const travel = (): Promise<void> => (latencyMs > 0 ? clock.sleep(random() * latencyMs) : Promise.resolve());

  function change(key: string, value: string | null): void {
    const changes = keys.get(key) ?? [];
    const last = changes.at(-1);
    const atMs = clock.now();
    if (last !== undefined && atMs - last.atMs < writeEveryMs) {
      counts.refused++;
      throw new Error(`KV ${value === null ? 'DELETE' : 'PUT'} failed: 429 Too Many Requests`);
    }
    // What nobody can be shown any more.
    while (changes.length > 1 && (changes[1] as Change).atMs <= atMs - lagMs) changes.shift();
    keys.set(key, [...changes, { atMs, value }]);
  }

  // Where the keys begin that do not sort before this text.
  function indexOf(text: string): number {
    if (sorted.length !== keys.size) sorted = [...keys.keys()].sort();
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sorted[middle] as string) < text) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function show(kept: Map<string, Kept>, key: string): string | null {
    const nowMs = clock.now();
    const changes = keys.get(key) ?? [];
    const before = kept.get(key);
    if (before !== undefined && nowMs < before.untilMs) return before.value;
    const asOfMs = nowMs - random() * lagMs;
    const value = changes.findLast(({ atMs }) => atMs <= asOfMs)?.value ?? null;
    kept.set(key, { value, atMs: asOfMs, untilMs: nowMs + random() * (asOfMs + lagMs - nowMs) });
    return value;
  }

  function colo(): KvNamespace {
    const gets = new Map<string, Kept>();
    const lists = new Map<string, Kept>();
    return {
      async get(key) {
        counts.get++;
        await travel();
        const value = show(gets, key);
        await travel();
        return value;
      },
      async put(key, value) {
        counts.put++;
        await travel();
        change(key, value);
        await travel();
      },
      async delete(key) {
        counts.delete++;
        await travel();
        change(key, null);
        await travel();
      },
      async list({ prefix, cursor = '' }) {
        counts.list++;
        await travel();
        const shown: string[] = [];
        for (let i = indexOf(cursor > prefix ? cursor : prefix); shown.length <= pageSize; i++) {
          const key = sorted[i];
          if (!key?.startsWith(prefix)) break;
          if (key !== cursor && show(lists, key) !== null) shown.push(key);
        }
        const page = shown.slice(0, pageSize);
        await travel();
        const more = shown.length > pageSize ? { cursor: page.at(-1) } : {};
        return { keys: page.map((name) => ({ name })), ...more };
      },
    };
  }

  return {
    colos: Array.from({ length: colos }, colo),
    counts,
    truth: () =>
      new Map(
        [...keys].flatMap(([key, changes]) => {
          const value = changes.at(-1)?.value ?? null;
          return value === null ? [] : [[key, value] as const];
        }),
      ),
  };
}
