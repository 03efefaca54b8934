import type { NatsBucketStatus, NatsKv, NatsKvEntries, NatsKvEntry } from '@chunks/state/nats';

interface Message {
  readonly sequence: number;
  readonly operation: 'PUT' | 'PURGE';
  readonly value: string;
  /** The number of the client. */
  readonly author: number;
}

/** The error of the server for a write on another revision. */
export const wrongSequence = (): Error => Object.assign(new Error('wrong last sequence'), { code: 10_071 });

/** Items that are pushed, until it is stopped. */
class Pushed<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  #wake: () => void = () => undefined;
  isDone = false;

  push(item: T): void {
    this.#items.push(item);
    this.#wake();
  }

  stop(): void {
    this.isDone = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      while (this.#items.length > 0) yield this.#items.shift() as T;
      if (this.isDone) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** What a test changes of the bucket or of the client. */
export interface FakeOptions {
  readonly config?: Partial<NatsBucketStatus['streamInfo']['config']> | undefined;
  readonly ttl?: number | undefined;
  readonly direct?: boolean | undefined;
  /** What of the client is not as it is known. */
  readonly without?: 'js' | 'jsm' | undefined;
}

/** A server with one bucket, and clients of it. */
export class FakeBucket {
  messages: Map<string, Message> = new Map();
  /** Before a write is stored: what it is, and over what. */
  onWrite: (subject: string, message: Omit<Message, 'sequence'>, over: Message | undefined) => void = () => undefined;
  readonly watches: Set<Pushed<unknown> & { subject: string }> = new Set();
  readonly connections: Set<Pushed<{ type: string }>> = new Set();
  consumers = 0;
  #sequence = 0;
  #clients = 0;

  /** Deleted and made anew: sequences begin at 1 again, and watches are not told. */
  wipe(): void {
    this.messages = new Map();
    this.#sequence = 0;
    this.watches.clear();
  }

  write(subject: string, message: Omit<Message, 'sequence'>, previousSeq: number): number {
    const over = this.messages.get(subject);
    if ((over?.sequence ?? 0) !== previousSeq) throw wrongSequence();
    this.onWrite(subject, message, over);
    this.messages.set(subject, { ...message, sequence: ++this.#sequence });
    for (const watch of this.watches) if (watch.subject === subject) watch.push({});
    return this.#sequence;
  }

  /** @param turn waited for before each call is done, and before its answer comes */
  open(turn: () => Promise<void> = async () => undefined, options: FakeOptions = {}): NatsKv {
    const author = ++this.#clients;
    const call = async <T>(act: () => T): Promise<T> => {
      await turn();
      const answer = act();
      await turn();
      return answer;
    };
    const get = (subject: string): NatsKvEntry | null => {
      const message = this.messages.get(subject);
      if (message === undefined) return null;
      const { sequence: revision, operation, value } = message;
      return { key: subject, rawKey: subject, revision, operation, string: () => value };
    };
    const config = {
      name: 'KV_b',
      subjects: ['$KV.b.>'],
      discard: 'new',
      max_bytes: -1,
      max_msgs: -1,
      ...options.config,
    };
    const subjects = (filter: string): Record<string, number> => {
      const prefix = filter.slice('$KV.b.'.length, -1);
      const found = [...this.messages.keys()].filter((subject) => subject.startsWith(prefix));
      return Object.fromEntries(found.map((subject) => [`$KV.b.${subject}`, 1]));
    };
    const kv = {
      direct: options.direct ?? false,
      js: { nc: { status: () => this.#news() } },
      jsm: {
        streams: {
          info: (_: string, o: { subjects_filter: string }) =>
            call(() => ({ state: { subjects: subjects(o.subjects_filter) } })),
        },
      },
      get: (key: string) => call(() => get(key)),
      put: (key: string, value: string, o: { previousSeq: number }) =>
        call(() => this.write(key, { value, operation: 'PUT', author }, o.previousSeq)),
      purge: (key: string, o: { previousSeq: number }) =>
        call(() => void this.write(key, { value: '', operation: 'PURGE', author }, o.previousSeq)),
      watch: ({ key }: { key: string }) => call(() => this.#watch(key)),
      status: () => call(() => ({ ttl: options.ttl ?? 0, maxValueSize: -1, replicas: 1, streamInfo: { config } })),
    };
    if (options.without) delete (kv as Partial<typeof kv>)[options.without];
    return kv;
  }

  #watch(subject: string): NatsKvEntries {
    const watch = Object.assign(new Pushed<NatsKvEntry>(), { subject });
    this.watches.add(watch);
    this.consumers++;
    const forget = async (): Promise<void> => {
      this.watches.delete(watch);
      this.consumers--;
    };
    return Object.assign(watch, { _data: { delete: forget } });
  }

  #news(): AsyncIterable<{ type: string }> & { stop(): void } {
    const news = new Pushed<{ type: string }>();
    this.connections.add(news);
    const stop = news.stop.bind(news);
    return Object.assign(news, {
      stop: () => {
        this.connections.delete(news);
        stop();
      },
    });
  }
}
