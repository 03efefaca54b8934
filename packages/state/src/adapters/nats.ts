/// <reference lib="esnext.disposable" preserve="true" />
import { type Clock, checkFunction, systemClock } from '@chunks/base';
import { UnsupportedError } from '../errors.ts';
import type { VersionedStore, WriteResult } from '../store.ts';
import { EntryLine } from './nats/entry-line.ts';
import {
  isConflict,
  leaderOf,
  marked,
  type NatsBucketStatus,
  type NatsConnectionNews,
  type NatsKv,
  type NatsKvEntries,
  type NatsKvEntry,
  newsOf,
} from './nats/kv.ts';
import { filterOf, keyOf, LIFE, MAX_KEY_BYTES, subjectOf } from './nats/subject.ts';

export type { NatsBucketStatus, NatsKv, NatsKvEntries, NatsKvEntry };

/** How {@link natsStore} counts time. */
export interface NatsStoreOptions {
  /** For watches, which look every 15 s whether the bucket is still the same. @default the host's clock and timers */
  clock?: Clock | undefined;
}

const LOOK_EVERY_MS = 15_000;

/**
 * Records in a JetStream KV bucket (`@nats-io/kv` 3.x), one entry per key, each written by its revision: a record that
 * stands is read and written with one request each. A create, and a read that finds nothing, take one more.
 *
 * - **The bucket** should be this store's own. Refused as UNSUPPORTED, at the first call: one with a `ttl`, one that
 *   discards old entries when it is full, and a mirror. It may have a `history`, and `maxValueSize`: what does not fit into
 *   that, or into the server's `max_payload` (1 MiB), is VALUE_TOO_LARGE. Keys have at most 1,000 bytes.
 * - **Never stale.** Replicas and mirrors answer direct reads (`allow_direct`) with what they have; reads go to the leader
 *   of the stream instead, whatever the bucket was made with. NATS has a leader that was cut off from its cluster answer
 *   for some seconds yet; nothing can be written on what such a one says.
 * - **Another life.** In a bucket that was deleted and made anew, entries are counted from 1 again. A record `state`
 *   names the life of the bucket, and all others stand under that name (`state.<life>./uploads./7` for the key `uploads/7`,
 *   its value is the JSON document), so that no revision of an earlier life fits. A bucket that was restored from a backup
 *   goes on with its name and its count: start processes anew that had written later than the backup.
 * - **Durable when.** A bucket of storage `file`, the default, keeps what was acknowledged when its server is killed; a
 *   power cut can take the last two minutes, unless the server has `sync_interval: always` (2.10), or replicas. One of
 *   storage `memory` keeps nothing. Servers that lost records are seen as STORE_REGRESSED.
 * - **Removal** leaves a mark without a value, which keeps late writes out. `kv.purgeDeletes()` takes old marks away.
 * - **Lists** are made by the server as far as the last slash of the prefix. Lists and watches throw when the connection
 *   breaks. Where the client does not tell of that, which is no version known, there are none.
 * - The client sends nothing twice, and what it holds back while it has no connection does no harm when it comes late:
 *   it is written by revision too.
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

/** What is known of the bucket: its life, or what it lacks. */
type Bucket = { readonly life: string; readonly lacks?: undefined } | { readonly lacks: string };

class NatsStore implements VersionedStore {
  readonly name = 'nats';
  readonly capabilities: VersionedStore['capabilities'];
  readonly #kv: NatsKv;
  /** For reads. */
  readonly #leader: NatsKv | undefined;
  readonly #news: NatsConnectionNews | undefined;
  readonly #clock: Clock;
  #bucket: Promise<Bucket> | undefined;
  #maxValueSize = -1;

  constructor(kv: NatsKv, clock: Clock) {
    this.#kv = kv;
    this.#leader = leaderOf(kv);
    this.#news = newsOf(kv);
    this.#clock = clock;
    const follows = this.#news !== undefined;
    this.capabilities = { watch: follows, list: follows, remove: true, durable: 'async', maxKeyBytes: MAX_KEY_BYTES };
  }

  async read(key: string): ReturnType<VersionedStore['read']> {
    const life = await this.#life(key);
    const entry = await this.#get(subjectOf(life, key));
    if (entry !== null) return isRecord(entry) ? recordOf(life, entry) : undefined;
    // Nothing there: or all is elsewhere, in another life.
    return (await this.#isStill(life)) ? undefined : this.read(key);
  }

  async write(key: string, value: string, expected: string | undefined): Promise<WriteResult> {
    const life = await this.#life(key).catch((error) => {
      // Nothing of it has been sent.
      throw Object.assign(error, { definite: true });
    });
    if (expected === undefined) return this.#create(life, key, value);
    const [expectedLife, sequence] = partsOf(expected);
    return resultOf(expectedLife, await this.#put(subjectOf(expectedLife, key), value, sequence));
  }

  async remove(key: string, expected: string): Promise<boolean> {
    await this.#life(key);
    const [life, previousSeq] = partsOf(expected);
    try {
      await this.#kv.purge(subjectOf(life, key), { previousSeq });
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }

  async *list(prefix: string, { signal }: { signal: AbortSignal }): AsyncGenerator<string> {
    signal.throwIfAborted();
    const life = await this.#life(prefix);
    const line = await this.#open({ key: filterOf(life, prefix), include: '' }, signal);
    try {
      const seen = new Set<string>();
      for await (const entry of line.pending > 0 ? line : []) {
        const key = keyOf(entry.key);
        // One that changes meanwhile comes again.
        if (isRecord(entry) && key.startsWith(prefix) && !seen.has(key)) {
          seen.add(key);
          yield key;
        }
        if (entry.delta === 0) return;
      }
    } finally {
      line.end(new Error('the list was left'));
    }
    signal.throwIfAborted();
    if (!(await this.#isStill(life))) yield* this.list(prefix, { signal });
  }

  async *watch(key: string, { signal }: { signal: AbortSignal }): AsyncGenerator<void> {
    signal.throwIfAborted();
    const life = await this.#life(key);
    const line = await this.#open({ key: subjectOf(life, key), include: 'updates' }, signal);
    // The client does not say that its bucket was deleted.
    const stopLooking = this.#lookEvery(LOOK_EVERY_MS, life, (error) => line.end(error));
    try {
      if (!(await this.#isStill(life))) throw anotherLife();
      signal.throwIfAborted();
      yield;
      for await (const _ of line) yield;
    } finally {
      stopLooking();
      line.end(new Error('the watch was left'));
    }
  }

  #open(what: { key: string; include: '' | 'updates' }, signal: AbortSignal): Promise<EntryLine> {
    return EntryLine.open({ kv: this.#kv, news: this.#news as NatsConnectionNews, signal }, what);
  }

  #lookEvery(ms: number, life: string, failed: (error: unknown) => void): () => void {
    let cancel = (): void => undefined;
    const look = (): void => {
      this.#isStill(life).then((isStill) => (isStill ? arm() : failed(anotherLife())), failed);
    };
    let isOver = false;
    const arm = (): void => {
      if (!isOver) cancel = this.#clock.after(ms, look);
    };
    arm();
    return () => {
      isOver = true;
      cancel();
    };
  }

  async #create(life: string, key: string, value: string): Promise<WriteResult> {
    const subject = subjectOf(life, key);
    let sequence = await this.#put(subject, value, 0);
    if (sequence === undefined) {
      const entry = await this.#get(subject);
      if (entry === null) return { conflict: true };
      if (isRecord(entry)) return { conflict: true, current: recordOf(life, entry) };
      // The mark of a removal.
      sequence = await this.#put(subject, value, entry.revision);
    }
    // In another life nobody looks here: then nothing was written.
    return sequence === undefined || (await this.#isStill(life)) ? resultOf(life, sequence) : { conflict: true };
  }

  /** @returns its sequence; undefined when the last one of the subject is not the expected one, 0 for none */
  async #put(subject: string, value: string, previousSeq: number): Promise<number | undefined> {
    try {
      return await this.#kv.put(subject, value, { previousSeq });
    } catch (error) {
      if (isConflict(error)) return undefined;
      throw marked(error, () => this.#limit(previousSeq));
    }
  }

  /** Of a value, in bytes: what a message may have, without the header that goes with it. */
  #limit(previousSeq: number): number | undefined {
    const header = `NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: ${previousSeq}\r\n\r\n`;
    const limits = [this.#maxValueSize, this.#news?.info?.max_payload ?? -1].filter((limit) => limit >= 0);
    return limits.length > 0 ? Math.min(...limits) - header.length : undefined;
  }

  #get(subject: string): Promise<NatsKvEntry | null> {
    return (this.#leader ?? this.#kv).get(subject);
  }

  /** @throws UnsupportedError when the bucket is none for records */
  async #life(key: string): Promise<string> {
    this.#bucket ??= this.#ask();
    const asked = this.#bucket;
    const forget = (): void => {
      if (this.#bucket === asked) this.#bucket = undefined;
    };
    const bucket = await asked.catch((error: unknown) => {
      forget();
      throw error;
    });
    if (bucket.lacks === undefined) return bucket.life;
    forget();
    throw new UnsupportedError({ key, capability: bucket.lacks, store: this.name });
  }

  async #ask(): Promise<Bucket> {
    const status = await this.#kv.status();
    const lacks = lackOf(status, this.#leader !== undefined);
    if (lacks !== undefined) return { lacks };
    this.#maxValueSize = status.maxValueSize;
    for (;;) {
      const entry = await this.#get(LIFE);
      if (entry !== null && isRecord(entry)) return { life: checkLife(entry.string()) };
      const life = crypto.randomUUID().slice(-12);
      if ((await this.#put(LIFE, life, entry?.revision ?? 0)) !== undefined) return { life };
    }
  }

  /** Whether the bucket is the one it was; else it is asked anew before the next call. */
  async #isStill(life: string): Promise<boolean> {
    const entry = await this.#get(LIFE);
    const isSame = entry !== null && isRecord(entry) && entry.string() === life;
    if (!isSame) this.#bucket = undefined;
    return isSame;
  }
}

const isRecord = ({ operation }: NatsKvEntry): boolean => operation === 'PUT';

const recordOf = (life: string, entry: NatsKvEntry): { value: string; revision: string } => ({
  value: entry.string(),
  revision: `${life}.${entry.revision}`,
});

const resultOf = (life: string, sequence: number | undefined): WriteResult =>
  sequence === undefined ? { conflict: true } : { revision: `${life}.${sequence}` };

function partsOf(revision: string): [life: string, sequence: number] {
  const at = revision.indexOf('.');
  return [revision.slice(0, at), Number(revision.slice(at + 1))];
}

const anotherLife = (): Error => new Error('the bucket was deleted');

function checkLife(text: string): string {
  if (/^[\w-]{1,40}$/.test(text)) return text;
  throw new Error(`the record ${LIFE} of the bucket is none of ours: ${text.slice(0, 60)}`);
}

/** What keeps the bucket from being a store; undefined: nothing. */
function lackOf({ ttl, streamInfo: { config } }: NatsBucketStatus, hasLeader: boolean): string | undefined {
  if (ttl > 0) return `bucket without a ttl (this one has ${ttl} ms)`;
  if (config.mirror !== undefined) return 'bucket that is no mirror';
  if (config.discard === 'old' && (config.max_bytes > 0 || config.max_msgs > 0)) return 'bucket that discards nothing';
  return config.allow_direct && !hasLeader ? 'bucket without allow_direct' : undefined;
}
