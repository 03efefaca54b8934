import { onAbort } from '@chunks/base';
import { forgetConsumer, type NatsConnectionNews, type NatsKv } from './kv.ts';

/**
 * Ticks for the entries of a subject as they come, until the signal aborts, something ends it, or the connection breaks:
 * what was on its way then is lost without a word, and the client would wait for it for ever.
 */
export class EntryLine implements AsyncIterable<void> {
  #entries: AsyncIterable<unknown> | undefined;
  #ended: { readonly reason: unknown } | undefined;
  readonly #todo: (() => void)[] = [];

  private constructor(news: NatsConnectionNews, signal: AbortSignal) {
    this.#atEnd(onAbort(signal, () => this.end(signal.reason)));
    const events = news.status();
    this.#atEnd(() => events.stop());
    void this.#untilBroken(events);
  }

  /** @throws the signal's reason; what the client throws */
  static async open(o: {
    kv: NatsKv;
    news: NatsConnectionNews;
    subject: string;
    signal: AbortSignal;
  }): Promise<EntryLine> {
    o.signal.throwIfAborted();
    // From before it is opened: a break in between counts too.
    const line = new EntryLine(o.news, o.signal);
    try {
      const entries = await o.kv.watch({ key: o.subject, include: 'updates', headers_only: true });
      line.#entries = entries;
      line.#atEnd(() => {
        entries.stop();
        // In the background: a connection that is down does not hold up who leaves.
        void forgetConsumer(entries);
      });
      return line;
    } catch (error) {
      line.end(error);
      throw error;
    }
  }

  /** @throws why it ended, always */
  async *[Symbol.asyncIterator](): AsyncGenerator<void, never> {
    for await (const _ of this.#entries ?? []) {
      this.throwIfEnded();
      yield;
    }
    this.throwIfEnded();
    throw new Error('the watch of the bucket has ended');
  }

  /** Lets go of everything; who reads on gets the reason. */
  end(reason: unknown): void {
    if (this.#ended) return;
    this.#ended = { reason };
    for (const act of this.#todo) act();
  }

  throwIfEnded(): void {
    if (this.#ended) throw this.#ended.reason;
  }

  #atEnd(act: () => void): void {
    if (this.#ended) act();
    else this.#todo.push(act);
  }

  async #untilBroken(events: AsyncIterable<{ readonly type: string }>): Promise<void> {
    for await (const { type } of events) if (type === 'disconnect') break;
    this.end(new Error('the connection was lost'));
  }
}
