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
interface Kept {
  readonly value: string | null;
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
  const centre = new Centre(options);
  const colos = checkInteger('colos', options.colos ?? 3, 1);
  return {
    colos: Array.from({ length: colos }, () => new Colo(centre)),
    counts: centre.counts,
    truth: () => centre.truth(),
  };
}

/** Where everything is written. */
class Centre {
  readonly counts: StaleKv['counts'] = { get: 0, put: 0, list: 0, delete: 0, refused: 0 };
  readonly pageSize: number;
  readonly #lagMs: number;
  readonly #writeEveryMs: number;
  readonly #latencyMs: number;
  readonly #clock: Clock;
  readonly #random: () => number;
  // A key that was deleted stays in it.
  readonly #keys = new Map<string, Change[]>();
  #sorted: string[] = [];

  constructor(o: StaleKvOptions) {
    this.#clock = o.clock ?? systemClock;
    this.#random = o.random ?? Math.random;
    this.#lagMs = checkNumber('lagMs', o.lagMs ?? 60_000, 0);
    this.#writeEveryMs = checkNumber('writeEveryMs', o.writeEveryMs ?? 1_000, 0);
    this.pageSize = checkInteger('pageSize', o.pageSize ?? 1_000, 1);
    this.#latencyMs = checkNumber('latencyMs', o.latencyMs ?? 0, 0);
    checkFunction('random', this.#random);
  }

  /** One way of a call. */
  async travel(): Promise<void> {
    if (this.#latencyMs > 0) await this.#clock.sleep(this.#random() * this.#latencyMs);
  }

  /** @param value null: deletes */
  change(key: string, value: string | null): void {
    const changes = this.#keys.get(key) ?? [];
    const last = changes.at(-1);
    const atMs = this.#clock.now();
    if (last !== undefined && atMs - last.atMs < this.#writeEveryMs) {
      this.counts.refused++;
      throw new Error(`KV ${value === null ? 'DELETE' : 'PUT'} failed: 429 Too Many Requests`);
    }
    // What nobody can be shown any more.
    while (changes.length > 1 && (changes[1] as Change).atMs <= atMs - this.#lagMs) changes.shift();
    this.#keys.set(key, [...changes, { atMs, value }]);
  }

  /** What a place is shown of a key, by what it kept. */
  show(kept: Map<string, Kept>, key: string): string | null {
    const nowMs = this.#clock.now();
    const before = kept.get(key);
    if (before !== undefined && nowMs < before.untilMs) return before.value;
    const asOfMs = nowMs - this.#random() * this.#lagMs;
    const value = this.#keys.get(key)?.findLast(({ atMs }) => atMs <= asOfMs)?.value ?? null;
    kept.set(key, { value, untilMs: nowMs + this.#random() * (asOfMs + this.#lagMs - nowMs) });
    return value;
  }

  /** The keys that begin with the prefix and come after the cursor, deleted ones too, in order. */
  *keysAfter(prefix: string, cursor: string): Iterable<string> {
    if (this.#sorted.length !== this.#keys.size) this.#sorted = [...this.#keys.keys()].sort();
    const sorted = this.#sorted;
    const from = cursor > prefix ? cursor : prefix;
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sorted[middle] as string) < from) low = middle + 1;
      else high = middle;
    }
    for (let i = low; sorted[i]?.startsWith(prefix); i++) if (sorted[i] !== cursor) yield sorted[i] as string;
  }

  truth(): ReadonlyMap<string, string> {
    const last = [...this.#keys].map(([key, changes]) => [key, changes.at(-1)?.value ?? null] as const);
    return new Map(last.filter((entry): entry is [string, string] => entry[1] !== null));
  }
}

class Colo implements KvNamespace {
  readonly #centre: Centre;
  readonly #gets = new Map<string, Kept>();
  readonly #lists = new Map<string, Kept>();

  constructor(centre: Centre) {
    this.#centre = centre;
  }

  get(key: string): Promise<string | null> {
    return this.#call('get', () => this.#centre.show(this.#gets, key));
  }

  put(key: string, value: string): Promise<void> {
    return this.#call('put', () => this.#centre.change(key, value));
  }

  delete(key: string): Promise<void> {
    return this.#call('delete', () => this.#centre.change(key, null));
  }

  list({ prefix, cursor = '' }: Parameters<KvNamespace['list']>[0]): ReturnType<KvNamespace['list']> {
    return this.#call('list', () => {
      const keys: { name: string }[] = [];
      for (const name of this.#centre.keysAfter(prefix, cursor)) {
        if (this.#centre.show(this.#lists, name) === null) continue;
        // One more than a page: then there is another one.
        if (keys.length === this.#centre.pageSize) return { keys, cursor: keys.at(-1)?.name };
        keys.push({ name });
      }
      return { keys };
    });
  }

  async #call<R>(method: 'get' | 'put' | 'list' | 'delete', work: () => R): Promise<R> {
    this.#centre.counts[method]++;
    await this.#centre.travel();
    const answer = work();
    await this.#centre.travel();
    return answer;
  }
}
