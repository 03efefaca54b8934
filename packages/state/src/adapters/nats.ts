/// <reference lib="esnext.disposable" preserve="true" />
import { type Clock, checkFunction, systemClock } from '@chunks/base';
import type { VersionedStore, WriteResult } from '../store.ts';
import { Bucket, recordIn, TRACE } from './nats/bucket.ts';
import { EntryLine } from './nats/entry-line.ts';
import {
  isConflict,
  type NatsBucketStatus,
  type NatsConnectionNews,
  type NatsKv,
  type NatsKvEntries,
  type NatsKvEntry,
  newsOf,
} from './nats/kv.ts';
import { filterOf, keyOf, MAX_KEY_BYTES, subjectOf } from './nats/subject.ts';

export type { NatsBucketStatus, NatsKv, NatsKvEntries, NatsKvEntry };

/** How {@link natsStore} counts time. */
export interface NatsStoreOptions {
  /** For watches, which look every 15 s whether the bucket is still the same. @default the host's clock and timers */
  clock?: Clock | undefined;
}

/**
 * Records in a JetStream KV bucket (`@nats-io/kv` 3.x), one entry per key, each written by its revision: a record that
 * stands is read and written with one request each. A read that finds nothing takes one more, a create two more.
 *
 * - **The bucket** should be this store's own. Refused as UNSUPPORTED, at the first call: one with a `ttl`, one that
 *   discards old entries when it is full, and a mirror. It may have a `history`, and `maxValueSize`: what does not fit into
 *   that, or into the server's `max_payload` (1 MiB), is VALUE_TOO_LARGE. Keys have at most 1,000 bytes.
 * - **Never stale.** Replicas and mirrors answer direct reads (`allow_direct`) with what they have; reads go to the leader
 *   of the stream instead, whatever the bucket was made with. NATS has a leader that was cut off from its cluster answer
 *   for some seconds yet; nothing can be written on what such a one says.
 * - **Another life.** In a bucket that was deleted and made anew, entries are counted from 1 again. A record `state`
 *   names the life of the bucket, and all others stand under that name (`state.<life>./uploads./7` for the key `uploads/7`,
 *   its value is the JSON document), so that no revision of an earlier life fits; short of two creates that were under way
 *   at that very moment and got the same sequence in both lives. A bucket that was restored from a backup goes on with its
 *   name and its count: start processes anew that had written later than the backup.
 * - **Durable when.** A bucket of storage `file`, the default, keeps what was acknowledged when its server is killed; a
 *   power cut can take the last two minutes, unless the server has `sync_interval: always` (2.10), or replicas. One of
 *   storage `memory` keeps nothing. Servers that lost records are seen as STORE_REGRESSED.
 * - **Removal** leaves a mark without a value, which keeps late writes out. `kv.purgeDeletes()` takes old marks away.
 * - **Lists** are made by the server as far as the last slash of the prefix; each key found is then looked at once, marks
 *   included. **Watches** throw when the connection breaks, for the client passes over what was on its way then.
 * - **A link that fails.** The client sends nothing twice, and drops what it could not send; a call waits then for its
 *   time-out, of 5 s. A write that comes late, or twice, is one by revision too, and does no harm.
 *
 * @throws TypeError when `kv` lacks a method.
 * @example
 * const kv = await new Kvm(connection).create('state');
 * const state = createState({ store: natsStore(kv), initial: () => ({ count: 0 }) });
 */
export function natsStore(kv: NatsKv, options: NatsStoreOptions = {}): VersionedStore {
  for (const method of ['get', 'put', 'purge', 'watch', 'status'] as const) checkFunction(`kv.${method}`, kv?.[method]);
  return new NatsStore(kv, options.clock ?? systemClock);
}

// Looks of a list.
const AT_ONCE = 64;

class NatsStore implements VersionedStore {
  readonly name = 'nats';
  readonly capabilities: VersionedStore['capabilities'];
  readonly #bucket: Bucket;
  readonly #news: NatsConnectionNews | undefined;

  constructor(kv: NatsKv, clock: Clock) {
    this.#news = newsOf(kv);
    this.#bucket = new Bucket(kv, this.#news, clock);
    this.capabilities = {
      watch: this.#news !== undefined,
      list: this.#bucket.lists,
      remove: true,
      durable: 'async',
      maxKeyBytes: MAX_KEY_BYTES,
    };
  }

  async read(key: string): ReturnType<VersionedStore['read']> {
    const life = await this.#bucket.life(key);
    const found = recordOf(life, await this.#bucket.get(subjectOf(life, key)));
    if (found !== undefined) return found;
    // Nothing there: or all is elsewhere, in another life.
    return (await this.#bucket.isStill(life)) ? undefined : this.read(key);
  }

  async write(key: string, value: string, expected: string | undefined): Promise<WriteResult> {
    const life = await this.#bucket.life(key).catch((error) => {
      // Nothing of it has been sent.
      throw Object.assign(error, { definite: true });
    });
    if (expected === undefined) return this.#create(life, key, value);
    const { life: expectedLife, sequence } = partsOf(expected);
    return resultOf(expectedLife, await this.#bucket.put(subjectOf(expectedLife, key), value, sequence));
  }

  async remove(key: string, expected: string): Promise<boolean> {
    await this.#bucket.life(key);
    const { life, sequence } = partsOf(expected);
    try {
      await this.#bucket.kv.purge(subjectOf(life, key), { previousSeq: sequence });
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }

  async *list(prefix: string, { signal }: { signal: AbortSignal }): AsyncGenerator<string> {
    signal.throwIfAborted();
    const life = await this.#bucket.life(prefix);
    const subjects = await this.#bucket.subjects(filterOf(life, prefix));
    const keys = subjects.map(keyOf).filter((key) => key.startsWith(prefix));
    for (let from = 0; from < keys.length; from += AT_ONCE) {
      const some = keys.slice(from, from + AT_ONCE);
      // Some may be marks of removals, which nothing but a look tells.
      const entries = await Promise.all(some.map((key) => this.#bucket.get(subjectOf(life, key))));
      signal.throwIfAborted();
      yield* some.filter((_, i) => recordIn(entries[i]) !== undefined);
    }
    if (!(await this.#bucket.isStill(life))) yield* this.list(prefix, { signal });
  }

  async *watch(key: string, { signal }: { signal: AbortSignal }): AsyncGenerator<void> {
    signal.throwIfAborted();
    const life = await this.#bucket.life(key);
    const news = this.#news as NatsConnectionNews;
    const line = await EntryLine.open({ kv: this.#bucket.kv, news, subject: subjectOf(life, key), signal });
    const leave = this.#bucket.whenOver(life, (error) => line.end(error));
    try {
      if (!(await this.#bucket.isStill(life))) throw new Error('the bucket was deleted');
      line.throwIfEnded();
      yield;
      yield* line;
    } finally {
      leave();
      line.end(undefined);
    }
  }

  async #create(life: string, key: string, value: string): Promise<WriteResult> {
    const subject = subjectOf(life, key);
    // A trace at first. Were the bucket another by now, it would stand where nobody looks.
    let sequence = await this.#bucket.put(subject, TRACE, 0);
    if (sequence === undefined) {
      const entry = await this.#bucket.get(subject);
      const current = recordOf(life, entry);
      if (current !== undefined || entry === null) return { conflict: true, current };
      sequence = entry.revision;
    }
    if (!(await this.#bucket.isStill(life))) return { conflict: true };
    // In a bucket that is made anew after this look there is no such trace to be written over.
    return resultOf(life, await this.#bucket.put(subject, value, sequence));
  }
}

function recordOf(life: string, entry: NatsKvEntry | null): { value: string; revision: string } | undefined {
  const value = recordIn(entry);
  return value === undefined ? undefined : { value, revision: `${life}.${entry?.revision}` };
}

const resultOf = (life: string, sequence: number | undefined): WriteResult =>
  sequence === undefined ? { conflict: true } : { revision: `${life}.${sequence}` };

function partsOf(revision: string): { life: string; sequence: number } {
  const [life = '', sequence] = revision.split('.');
  return { life, sequence: Number(sequence) };
}
