import type { Clock } from '@chunks/base';
import { UnsupportedError } from '../../errors.ts';
import {
  isConflict,
  leaderOf,
  marked,
  type NatsBucketStatus,
  type NatsConnectionNews,
  type NatsKv,
  type NatsKvEntry,
  streamsOf,
} from './kv.ts';
import { LIFE } from './subject.ts';

// A bucket that was deleted leaves its watches as they are.
const LOOK_EVERY_MS = 15_000;

/** What was found at the first look: the bucket's life, or what it lacks. */
type Found = { readonly life: string; readonly status: NatsBucketStatus } | { readonly lacks: string };

/** The value of what is no record yet. No JSON document is it. */
export const TRACE = '';

/** The record; undefined for none, for the trace of one that is to come, and for the mark of one that was removed. */
export const recordIn = (entry: NatsKvEntry | null | undefined): string | undefined =>
  entry?.operation === 'PUT' ? entry.string() || undefined : undefined;

/** A bucket through one life after the other, each with a name of its own. */
export class Bucket {
  readonly kv: NatsKv;
  /** For reads. */
  readonly #leader: NatsKv | undefined;
  readonly #streams: ReturnType<typeof streamsOf>;
  readonly #news: NatsConnectionNews | undefined;
  readonly #clock: Clock;
  #found: Promise<Found> | undefined;

  constructor(kv: NatsKv, news: NatsConnectionNews | undefined, clock: Clock) {
    this.kv = kv;
    this.#leader = leaderOf(kv);
    this.#streams = streamsOf(kv);
    this.#news = news;
    this.#clock = clock;
  }

  get lists(): boolean {
    return this.#streams !== undefined;
  }

  /** Its life, asked for once. @throws UnsupportedError when the bucket is none for records */
  async life(key: string): Promise<string> {
    const found = await this.#look();
    if ('life' in found) return found.life;
    // Asked anew the next time: it may have been mended.
    this.#found = undefined;
    throw new UnsupportedError({ key, capability: found.lacks, store: 'nats' });
  }

  /** Whether it is still in that life; if not, it is asked anew before the next call. */
  async isStill(life: string): Promise<boolean> {
    const isSame = recordIn(await this.get(LIFE)) === life;
    if (!isSame) this.#found = undefined;
    return isSame;
  }

  /** Looks every now and then. @returns what ends that */
  whenOver(life: string, over: (error: unknown) => void): () => void {
    let cancel: () => void = () => undefined;
    let isWanted = true;
    const arm = (): void => {
      if (isWanted) cancel = this.#clock.after(LOOK_EVERY_MS, look);
    };
    const look = (): void =>
      void this.isStill(life).then((isStill) => (isStill ? arm() : over(new Error('the bucket was deleted'))), over);
    arm();
    return () => {
      isWanted = false;
      cancel();
    };
  }

  /** Names of all entries that fit, as they stand at one moment. @throws when the bucket is none */
  async subjects(filter: string): Promise<readonly string[]> {
    const found = await this.#look();
    if (!('life' in found)) return [];
    const { name, subjects } = found.status.streamInfo.config;
    const prefix = subjects?.[0]?.slice(0, -1) ?? '';
    const info = await this.#streams?.info(name, { subjects_filter: `${prefix}${filter}` });
    return Object.keys(info?.state.subjects ?? {});
  }

  get(subject: string): Promise<NatsKvEntry | null> {
    return (this.#leader ?? this.kv).get(subject);
  }

  /** @returns its sequence; undefined when the last one of the subject is not the expected one, 0 for none */
  async put(subject: string, value: string, previousSeq: number): Promise<number | undefined> {
    try {
      return await this.kv.put(subject, value, { previousSeq });
    } catch (error) {
      if (isConflict(error)) return undefined;
      const found = await this.#found?.catch(() => undefined);
      throw this.#marked(error, found && 'life' in found ? found.status : undefined, previousSeq);
    }
  }

  #marked(error: unknown, status: NatsBucketStatus | undefined, previousSeq: number): unknown {
    // What a message may have, without the header that goes with it.
    const header = `NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: ${previousSeq}\r\n\r\n`;
    const limits = [status?.maxValueSize ?? -1, this.#news?.info?.max_payload ?? -1].filter((limit) => limit >= 0);
    const limit = limits.length > 0 ? Math.min(...limits) - header.length : undefined;
    return marked(error, { limit, isAlone: status?.replicas === 1 });
  }

  async #look(): Promise<Found> {
    this.#found ??= this.#ask();
    const asked = this.#found;
    try {
      return await asked;
    } catch (error) {
      if (this.#found === asked) this.#found = undefined;
      throw error;
    }
  }

  async #ask(): Promise<Found> {
    const status = await this.kv.status();
    const lacks = lackOf(status, this.#leader !== undefined);
    if (lacks !== undefined) return { lacks };
    for (;;) {
      const entry = await this.get(LIFE);
      if (entry !== null && entry.rawKey !== LIFE) return { lacks: 'bucket without a codec for keys' };
      const named = recordIn(entry);
      if (named !== undefined) return { life: checkLife(named), status };
      const life = crypto.randomUUID().slice(-12);
      const previousSeq = entry?.revision ?? 0;
      try {
        await this.kv.put(LIFE, life, { previousSeq });
      } catch (error) {
        // Somebody else was first.
        if (!isConflict(error)) throw error;
      }
    }
  }
}

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
