import { deferred, onAbort } from '@chunks/base';
import { untilAbort } from '../../reading.ts';
import { type Capable, isIoredis } from './client.ts';

const ignore = (): void => undefined;

/**
 * A connection that hears of changes, from the first watch to the last one, or until it breaks. It never reconnects by
 * itself: nobody would know what was missed.
 */
export class Subscription {
  readonly #connection: Capable;
  readonly #connected: Promise<unknown> | undefined;
  readonly #over: AbortController = new AbortController();
  readonly #ticks: Map<string, Set<() => void>> = new Map();

  /** @param client of which a copy is made */
  constructor(client: Capable) {
    const copy = client.duplicate?.({ enableOfflineQueue: true, retryStrategy: () => null }) ?? client;
    this.#connection = copy;
    // Never taken off: an error event without a listener ends the process.
    for (const event of ['error', 'close', 'end']) {
      copy.on?.(event, (reason) => this.end(reason ?? new Error('the subscription broke')));
    }
    if (isIoredis(copy)) copy.on?.('message', (channel) => this.#tell(channel as string));
    else this.#connected = copy.connect?.();
    // Who waits for it hears of it by `over`.
    this.#connected?.catch(ignore);
  }

  /** Aborted when it is. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** Resolves once every later change is told. */
  async listen(channel: string, tick: () => void): Promise<void> {
    const ticks = this.#ticks.get(channel) ?? new Set();
    this.#ticks.set(channel, ticks.add(tick));
    await this.#connected;
    const own = isIoredis(this.#connection) ? [] : ([(_: string, name: string) => this.#tell(name)] as const);
    await this.#connection.subscribe?.(channel, ...own);
  }

  leave(channel: string, tick: () => void): void {
    const ticks = this.#ticks.get(channel);
    ticks?.delete(tick);
    if (ticks === undefined || ticks.size > 0) return;
    this.#ticks.delete(channel);
    if (this.#ticks.size === 0) this.end(new Error('nobody watches any more'));
    else this.#connection.unsubscribe?.(channel).catch(ignore);
  }

  end(reason: unknown): void {
    if (this.over.aborted) return;
    this.#over.abort(reason);
    if (isIoredis(this.#connection)) this.#connection.disconnect?.();
    else if (this.#connection.isOpen) this.#connection.destroy?.();
  }

  #tell(channel: string): void {
    for (const tick of this.#ticks.get(channel) ?? []) tick();
  }
}

/** Ticks when it listens, and after each change. Throws when the subscription is over. @param open one that is not */
export async function* ticksOf(open: () => Subscription, channel: string, signal: AbortSignal): AsyncGenerator<void> {
  signal.throwIfAborted();
  const own = open();
  const ended = AbortSignal.any([signal, own.over]);
  let change = deferred<void>();
  const tick = (): void => change.resolve();
  const leave = (): void => own.leave(channel, tick);
  // At once, also when nobody asks for the next tick any more.
  const off = onAbort(signal, leave);
  try {
    await untilAbort(ended, own.listen(channel, tick));
    for (tick(); ; ) {
      await untilAbort(ended, change.promise);
      // Before the tick, so that what happens after it is the next one.
      change = deferred();
      yield;
    }
  } finally {
    off();
    leave();
  }
}
