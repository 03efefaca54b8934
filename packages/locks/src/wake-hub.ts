import { type Clock, type Deferred, deferred, type MaybePromise } from '@chunks/base';

// Who is woken and loses the race watches again at once: subscribing anew each time would cost more than it saves.
const LINGER_MS = 1_000;
// A line that is dead without knowing it never answers, not even to a farewell.
const FAREWELL_MS = 1_000;

const ignore = (): void => undefined;

/** A connection on which a store tells of releases, by channel. */
export interface WakeLine {
  /** Resolves once every later release of the channel is told. */
  listen(channel: string): MaybePromise<unknown>;
  unlisten(channel: string): MaybePromise<unknown>;
  close(): MaybePromise<unknown>;
}

/** What a line reports. */
export interface WakeEvents {
  /** A release of this channel. */
  wake(channel: string): void;
  /** The line is dead, or may have missed something. It is then closed and never used again. */
  lost(reason: unknown): void;
}

/** One line, from the first attempt to open it. */
class Connection {
  isOpen = false;
  readonly #line: Promise<WakeLine>;
  // A dead line's calls may never settle.
  readonly #pending = new Set<Deferred<unknown>>();

  constructor(opening: Promise<WakeLine>) {
    this.#line = opening.then((line) => {
      this.isOpen = true;
      return line;
    });
  }

  do(task: (line: WakeLine) => MaybePromise<unknown>): Promise<unknown> {
    const settler = deferred<unknown>();
    this.#pending.add(settler);
    void this.#line
      .then(task)
      .then(settler.resolve, settler.reject)
      .then(() => this.#pending.delete(settler));
    return settler.promise;
  }

  async close(reason: unknown): Promise<void> {
    // Also one that is still being opened: nobody would close it later.
    const closed = this.#line.then((line) => line.close()).catch(ignore);
    for (const settler of this.#pending) settler.reject(reason);
    if (this.isOpen) await closed;
  }
}

interface Channel {
  readonly wakes: Set<() => void>;
  listening: Promise<unknown> | undefined;
}

/**
 * Who watches which channel, on one line for all of them. It is opened for the first watch and closed a second after
 * the last one. When it breaks everybody is woken, as a release may have been missed, and the next `watch` or `heal`
 * opens another.
 */
export class WakeHub {
  readonly #open: (events: WakeEvents) => MaybePromise<WakeLine>;
  readonly #clock: Clock;
  readonly #channels = new Map<string, Channel>();
  #connection: Connection | undefined;
  #cancelSweep: (() => void) | undefined;

  constructor(open: (events: WakeEvents) => MaybePromise<WakeLine>, clock: Clock) {
    this.#open = open;
    this.#clock = clock;
  }

  /** Rejects with the line's own error. @returns what ends it */
  async watch(name: string, wake: () => void): Promise<() => void> {
    // First, so that a new line catches up on those before us, and we need no wake.
    const connection = this.#connect();
    let channel = this.#channels.get(name);
    if (channel === undefined) this.#channels.set(name, (channel = { wakes: new Set(), listening: undefined }));
    const { wakes } = channel;
    // One function may watch twice.
    const own = (): void => wake();
    wakes.add(own);
    const stop = (): void => {
      if (wakes.delete(own)) this.#cancelSweep ??= this.#clock.after(LINGER_MS, () => this.#sweep());
    };
    try {
      await this.#listen(connection, name, channel);
    } catch (error) {
      stop();
      throw error;
    }
    return stop;
  }

  isWatched(name: string): boolean {
    return (this.#channels.get(name)?.wakes.size ?? 0) > 0;
  }

  /** Tries once to replace a broken line, for those who still watch. To be called when the store has just answered. */
  heal(): void {
    if (this.#connection === undefined && this.#channels.size > 0) this.#connect();
  }

  /** Ends all watches, and waits for a second at most until the line is closed. */
  async close(): Promise<void> {
    this.#cancelSweep?.();
    for (const { wakes } of this.#channels.values()) wakes.clear();
    const closed = new AbortController();
    const patience = this.#clock.sleep(FAREWELL_MS, closed.signal).catch(ignore);
    await Promise.race([this.#sweep(), patience]);
    closed.abort();
  }

  #connect(): Connection {
    if (this.#connection !== undefined) return this.#connection;
    const isCurrent = (): boolean => this.#connection === connection;
    const events: WakeEvents = {
      wake: (name) => {
        if (isCurrent()) this.#wake(name);
      },
      lost: (reason) => {
        if (isCurrent()) this.#lose(connection, reason);
      },
    };
    const opening = Promise.resolve(events).then(this.#open);
    const connection = new Connection(opening);
    this.#connection = connection;
    opening.catch(events.lost);
    for (const [name, channel] of this.#channels) {
      // What was released between two lines, nobody has told those who watched then.
      const before = [...channel.wakes];
      const catchUp = (): void => {
        for (const wake of before) if (channel.wakes.has(wake)) wake();
      };
      void this.#listen(connection, name, channel).then(catchUp, ignore);
    }
    return connection;
  }

  #listen(connection: Connection, name: string, channel: Channel): Promise<unknown> {
    if (channel.listening !== undefined) return channel.listening;
    const listening = connection.do((line) => line.listen(name));
    channel.listening = listening;
    listening.catch(() => {
      if (channel.listening === listening) channel.listening = undefined;
    });
    return listening;
  }

  #lose(connection: Connection, reason: unknown): void {
    this.#connection = undefined;
    for (const channel of this.#channels.values()) channel.listening = undefined;
    void connection.close(reason);
    // A line that never came about has told nobody anything, so nothing was missed.
    if (connection.isOpen) for (const name of [...this.#channels.keys()]) this.#wake(name);
  }

  #wake(name: string): void {
    // A copy: whoever is woken may watch again at once.
    for (const wake of [...(this.#channels.get(name)?.wakes ?? [])]) wake();
  }

  #sweep(): Promise<void> | undefined {
    this.#cancelSweep = undefined;
    const connection = this.#connection;
    for (const [name, { wakes }] of this.#channels) {
      if (wakes.size > 0) continue;
      this.#channels.delete(name);
      // When it fails the line is broken, and says so itself.
      connection?.do((line) => line.unlisten(name)).catch(ignore);
    }
    if (this.#channels.size > 0) return undefined;
    this.#connection = undefined;
    return connection?.close(new Error('nobody watches any more'));
  }
}
