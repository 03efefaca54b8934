import type { Clock } from '@chunks/base';
import type { NatsKv, NatsKvEntry } from '@chunks/locks/nats';

/** What comes in between a request and its answer. */
export type KvFault = 'none' | 'not sent' | 'answer lost' | 'stale read';

class WrongRevision extends Error {
  readonly code = 10_071;
}

/** What all handles of a bucket share: revisions count over all keys, and time stamps are the server's. */
export class FakeBucket {
  readonly clock: Clock;
  ttl = 0;
  /** Called in the order in which records are stored. */
  onStored: (entry: NatsKvEntry) => void = () => undefined;
  #revision = 0;
  readonly #records = new Map<string, NatsKvEntry[]>();
  readonly #watches = new Set<(entry: NatsKvEntry) => void>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get watches(): number {
    return this.#watches.size;
  }

  /** The disk is gone, and the bucket was made anew. */
  wipe(): void {
    this.#records.clear();
    this.#revision = 0;
  }

  /**
   * One more client.
   * @param fault what happens to its next call, of this name, for this key
   * @param turn how long requests and answers are under way
   */
  open(
    fault: (call: string, key: string) => KvFault = () => 'none',
    turn: () => Promise<unknown> = () => Promise.resolve(),
  ): NatsKv {
    const answer = async <T>(call: string, key: string, work: (isStale: boolean) => T): Promise<T> => {
      const met = fault(call, key);
      await turn();
      if (met === 'not sent') throw new Error('not sent');
      const result = work(met === 'stale read');
      await turn();
      if (met === 'answer lost') throw new Error('answer lost');
      return result;
    };
    const put = (call: string) => (key: string, value: Uint8Array, revision?: number) =>
      answer(call, key, () => this.put(key, value, call === 'create' ? 0 : revision));
    return {
      get: (key) => answer('get', key, (isStale) => this.#records.get(key)?.at(isStale ? -2 : -1) ?? null),
      create: put('create'),
      update: put('update'),
      put: (key, value) => put('put')(key, value),
      watch: ({ key }) => answer('watch', key, () => this.#watch(key.slice(0, -1))),
      status: () => answer('status', '', () => ({ ttl: this.ttl })),
    };
  }

  put(key: string, value: Uint8Array, over?: number, operation = 'PUT'): number {
    const versions = this.#records.get(key) ?? [];
    if (over !== undefined && (versions.at(-1)?.revision ?? 0) !== over) throw new WrongRevision('wrong last sequence');
    this.#revision += 1;
    const created = new Date(Math.floor(this.clock.now()));
    const entry: NatsKvEntry = { key, value, revision: this.#revision, created, operation };
    this.#records.set(key, [...versions.slice(-1), entry]);
    this.onStored(entry);
    for (const watch of [...this.#watches]) watch(entry);
    return this.#revision;
  }

  /** As when the connection is closed for good. */
  endWatches(): void {
    for (const watch of [...this.#watches]) watch({ operation: 'END' } as NatsKvEntry);
  }

  #watch(prefix: string): AsyncIterable<NatsKvEntry> & { stop(): void } {
    const entries: NatsKvEntry[] = [];
    let wake = (): void => undefined;
    let ended = false;
    const push = (entry: NatsKvEntry): void => {
      if (entry.operation === 'END') stop();
      else if (entry.key.startsWith(prefix)) entries.push(entry);
      wake();
    };
    const stop = (): void => {
      ended = true;
      this.#watches.delete(push);
      wake();
    };
    this.#watches.add(push);
    async function* iterate(): AsyncGenerator<NatsKvEntry> {
      while (!ended) {
        for (const entry of entries.splice(0)) yield entry;
        if (!ended && entries.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      }
    }
    return Object.assign(iterate(), { stop });
  }
}
