import { deferred, onAbort } from '@chunks/base';
import { untilAbort } from '../../reading.ts';
import { type Capable, isIoredis } from './client.ts';

const ignore = (): void => undefined;

interface Channel {
  readonly ticks: Set<() => void>;
  /** What was last asked of the connection: node-redis forgets a channel that is taken up again while it is given up. */
  turn: Promise<unknown>;
  turns: number;
}

/**
 * A connection that hears of changes, from the first watch to the last one, or until it breaks. Then it is over, and
 * does not come back: nobody would know what was missed.
 */
export class Subscription {
  readonly #connection: Capable;
  readonly #connected: Promise<unknown> | undefined;
  readonly #over: AbortController = new AbortController();
  readonly #channels: Map<string, Channel> = new Map();
  #watches = 0;

  /** @param client of which a copy is made */
  constructor(client: Capable) {
    const copy = client.duplicate?.({ enableOfflineQueue: true }) ?? client;
    this.#connection = copy;
    // Never taken off: an error event without a listener ends the process.
    for (const event of ['error', 'close', 'end']) {
      copy.on?.(event, (reason) => {
        this.end(reason ?? new Error('the subscription broke'));
        // Else it would try to connect for ever.
        this.#hangUp();
      });
    }
    if (isIoredis(copy)) copy.on?.('message', (name) => this.#hear(undefined, name as string));
    else this.#connected = copy.connect?.();
    // Who waits for it hears of it by `over`.
    this.#connected?.catch(ignore);
  }

  /** Aborted when it is. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** Resolves once every later change is told. */
  listen(name: string, tick: () => void): Promise<unknown> {
    const channel = this.#channels.get(name) ?? {
      ticks: new Set(),
      turn: Promise.resolve(this.#connected),
      turns: 0,
    };
    this.#channels.set(name, channel);
    channel.ticks.add(tick);
    this.#watches++;
    const own = isIoredis(this.#connection) ? [] : ([this.#hear] as const);
    return this.#inTurn(name, channel, () => this.#connection.subscribe?.(name, ...own));
  }

  leave(name: string, tick: () => void): void {
    const channel = this.#channels.get(name);
    if (!channel?.ticks.delete(tick)) return;
    if (--this.#watches === 0) return void this.end(new Error('nobody watches any more'));
    if (channel.ticks.size > 0) return;
    this.#inTurn(name, channel, () => this.#connection.unsubscribe?.(name)).catch(ignore);
  }

  end(reason: unknown): void {
    if (this.over.aborted) return;
    this.#over.abort(reason);
    // node-redis goes on if it is told to stop while it connects.
    if (this.#connected === undefined) this.#hangUp();
    else this.#connected.then(() => this.#hangUp(), ignore);
  }

  #inTurn(name: string, channel: Channel, task: () => unknown): Promise<unknown> {
    channel.turns++;
    const done = channel.turn.then(task);
    channel.turn = done.catch(ignore).then(() => {
      if (--channel.turns === 0 && channel.ticks.size === 0) this.#channels.delete(name);
    });
    return done;
  }

  #hangUp(): void {
    if (isIoredis(this.#connection)) this.#connection.disconnect?.();
    else if (this.#connection.isOpen) this.#connection.destroy?.();
  }

  readonly #hear = (_: unknown, name: string): void => {
    for (const tick of this.#channels.get(name)?.ticks ?? []) tick();
  };
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
