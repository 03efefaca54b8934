import { onAbort } from '@chunks/base';
import { consumerOf, type NatsConnectionNews, type NatsConsumer, type NatsKv, type NatsKvEntry } from './kv.ts';

/**
 * Entries of a bucket as they come, until the signal aborts, something makes it {@link end}, or the connection breaks: what
 * was on its way then is lost without a word, and the client would wait for it for ever.
 */
export class EntryLine implements AsyncIterable<NatsKvEntry> {
  /** So many entries were there when it began. */
  readonly pending: number;
  readonly #entries: AsyncIterable<NatsKvEntry>;
  readonly #ending: Ending;

  private constructor(pending: number, entries: AsyncIterable<NatsKvEntry>, ending: Ending) {
    this.pending = pending;
    this.#entries = entries;
    this.#ending = ending;
  }

  /** @throws the signal's reason; what the client throws */
  static async open(
    o: { kv: NatsKv; news: NatsConnectionNews; signal: AbortSignal },
    what: { key: string; include: '' | 'updates' },
  ): Promise<EntryLine> {
    o.signal.throwIfAborted();
    // From before it is opened: a break in between counts too.
    const ending = new Ending(o.news, o.signal);
    try {
      const entries = await o.kv.watch({ ...what, headers_only: true });
      ending.onEnd(() => entries.stop());
      const consumer = consumerOf(entries);
      ending.onEnd(() => forget(consumer));
      return new EntryLine((await consumer.info(true)).num_pending, entries, ending);
    } catch (error) {
      ending.end(error);
      throw error;
    }
  }

  /** @throws why it ended, always */
  async *[Symbol.asyncIterator](): AsyncGenerator<NatsKvEntry, never> {
    for await (const entry of this.#entries) {
      this.#ending.throwIfEnded();
      yield entry;
    }
    this.#ending.end(new Error('the watch of the bucket has ended'));
    throw this.#ending.reason;
  }

  /** Lets go of everything; who reads on gets the reason. */
  end(reason: unknown): void {
    this.#ending.end(reason);
  }
}

/** At once, in the background: a connection that is down does not hold up who leaves. */
function forget(consumer: NatsConsumer): void {
  // What cannot be deleted now, the server forgets some minutes later.
  consumer.delete().catch(() => undefined);
}

class Ending {
  reason: unknown;
  #hasEnded = false;
  readonly #todo: (() => void)[] = [];

  constructor(news: NatsConnectionNews, signal: AbortSignal) {
    this.onEnd(onAbort(signal, () => this.end(signal.reason)));
    const events = news.status();
    this.onEnd(() => events.stop());
    void this.#untilBroken(events);
  }

  onEnd(act: () => void): void {
    if (this.#hasEnded) act();
    else this.#todo.push(act);
  }

  end(reason: unknown): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.reason = reason;
    for (const act of this.#todo) act();
  }

  throwIfEnded(): void {
    if (this.#hasEnded) throw this.reason;
  }

  async #untilBroken(events: AsyncIterable<{ readonly type: string }>): Promise<void> {
    for await (const { type } of events) if (type === 'disconnect') break;
    this.end(new Error('the connection was lost'));
  }
}
