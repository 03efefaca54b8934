import type { Clock } from '@chunks/base';
import { type InProcess, ignore, isInProcess, isPool, type Pool, type PostgresClient, rowsOf } from './sending.ts';

// A connection can be dead without anybody being told.
const HEARTBEAT_MS = 30_000;

/** Ticks of one watch, kept until they are asked for. */
export class Ticks {
  #isDue = false;
  #failure: { readonly error: unknown } | undefined;
  #wake: () => void = ignore;

  tick(): void {
    this.#isDue = true;
    this.#wake();
  }

  /** From now on it throws this. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }

  async next(): Promise<void> {
    while (!this.#isDue && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#isDue = false;
  }
}

/** What tells of changes while somebody listens. */
interface Source {
  /** Resolves when no later change of the key can be missed. */
  hear(key: string): Promise<unknown>;
  close(): unknown;
}

/** How to listen: `heard` gets the key of every change, `lost` why there is nothing more to be heard. */
type Listen = (heard: (key: string) => void, lost: (error: unknown) => void) => Promise<Source>;

function listenInPool(pool: Pool, o: { channel: string; lock: string; clock: Clock }): Listen {
  return async (heard, lost) => {
    const lent = await pool.connect();
    let last: Promise<unknown> = Promise.resolve();
    // One at a time.
    const ask = (text: string, values: unknown[] = []): Promise<unknown> => {
      const asked = last.then(() => lent.query(text, values)).then((result) => rowsOf(lent, result));
      last = asked.catch(ignore);
      return asked;
    };
    let isClosed = false;
    let stopBeats: () => void = ignore;
    const beat = (): void => {
      if (isClosed) return;
      let isAlive = false;
      ask('SELECT').then(() => {
        isAlive = true;
      }, lost);
      stopBeats = o.clock.after(HEARTBEAT_MS, () =>
        isAlive ? beat() : lost(new Error('the connection that listens does not answer')),
      );
    };
    const notified = (notice: unknown): void => {
      const { channel, payload } = notice as { channel: string; payload: string };
      if (channel === o.channel) heard(payload);
    };
    const broken = (error: unknown): void => lost(error ?? new Error('the connection that listens has ended'));
    const listeners = [['notification', notified] as const, ['error', broken] as const, ['end', broken] as const];
    for (const [event, listener] of listeners) lent.on(event, listener);
    ask(`LISTEN "${o.channel}"`).then(beat, lost);
    return {
      hear: (key) => ask(`SELECT pg_advisory_lock_shared(${o.lock})`, [key]),
      close() {
        isClosed = true;
        stopBeats();
        for (const [event, listener] of listeners) lent.off(event, listener);
        // Closed and not put back: it listens, and holds locks.
        lent.release(true);
      },
    };
  };
}

function listenInProcess(client: InProcess, channel: string): Listen {
  return async (heard) => {
    const listening = client.listen(`"${channel}"`, heard);
    return {
      hear: () => listening,
      // What `listen` gives to end it forgets the quotes, and so ends another channel.
      close: () => listening.then(() => client.unlisten(`"${channel}"`, heard)).catch(ignore),
    };
  };
}

/** All watches of a store on one connection, which is there while somebody watches. */
class Ear {
  readonly #watches: Map<string, Set<Ticks>> = new Map();
  readonly #source: Promise<Source>;
  readonly #ended: () => void;
  #isOver = false;

  constructor(listen: Listen, ended: () => void) {
    this.#ended = ended;
    this.#source = listen(
      (key) => {
        for (const ticks of this.#watches.get(key) ?? []) ticks.tick();
      },
      (error) => this.end(error),
    );
    this.#source.catch((error) => this.end(error));
  }

  /** @returns what ends it */
  join(key: string, ticks: Ticks): () => void {
    const own = this.#watches.get(key) ?? new Set();
    this.#watches.set(key, own.add(ticks));
    this.#source.then(({ hear }) => hear(key)).then(() => ticks.tick(), ticks.fail.bind(ticks));
    return () => {
      own.delete(ticks);
      if (own.size === 0 && this.#watches.get(key) === own) this.#watches.delete(key);
      if (this.#watches.size === 0) this.end(undefined);
    };
  }

  end(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#ended();
    for (const own of this.#watches.values()) for (const ticks of own) ticks.fail(error);
    this.#source.then(({ close }) => close(), ignore);
  }
}

/** Watches the keys of one table. */
export interface Watching {
  /** @returns what ends it */
  join(key: string, ticks: Ticks): () => void;
  close(): void;
}

/** @returns how this client can watch, told by its shape; undefined when it cannot */
export function watchingOn(
  client: PostgresClient,
  o: { channel: string; lock: string; clock: Clock },
): Watching | undefined {
  let listen: Listen;
  if (isInProcess(client)) listen = listenInProcess(client, o.channel);
  // A pool's only connection is needed for the statements.
  else if (isPool(client) && client.options?.max !== 1) listen = listenInPool(client, o);
  else return undefined;
  let ear: Ear | undefined;
  return {
    join(key, ticks) {
      const current: Ear = (ear ??= new Ear(listen, () => {
        if (ear === current) ear = undefined;
      }));
      return current.join(key, ticks);
    },
    close: () => ear?.end(new Error('the store was closed')),
  };
}
