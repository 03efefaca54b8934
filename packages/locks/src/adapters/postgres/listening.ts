import { claimChannel } from '../../channel-claims.ts';
import type { WakeEvents } from '../../wake-hub.ts';

/** What runs a statement: a Pool or a Client of pg, PGlite, or anything of their shape. */
export interface PostgresClient {
  query(text: string, values: unknown[]): Promise<{ rows: unknown[] }>;
}

/** What the clients may have besides. */
interface Capable extends PostgresClient {
  /** Of a Pool. */
  readonly totalCount?: number;
  readonly options?: { readonly max?: number | undefined };
  connect?(): Promise<Capable & { release(destroy: boolean): void }>;
  /** Of a Client. */
  on?(event: string, listener: (detail: unknown) => void): unknown;
  off?(event: string, listener: (detail: unknown) => void): unknown;
  /** Of PGlite. */
  listen?(channel: string, heard: (payload: string) => void): Promise<unknown>;
  unlisten?(channel: string, heard: (payload: string) => void): Promise<void>;
}

/** Ends the listening, and gives back what was borrowed for it. */
type StopListening = () => Promise<unknown>;

/** Tells the payload of every notice on the channel. */
export type Listen = (channel: string, events: WakeEvents) => Promise<StopListening>;

const ignore = (): void => undefined;

const isPool = (client: Capable): boolean => typeof client.connect === 'function' && client.totalCount !== undefined;
const isPGlite = (client: Capable): boolean => typeof client.listen === 'function';
const isConnection = (client: Capable): boolean =>
  typeof client.on === 'function' && !isPool(client) && !isPGlite(client);

// By connection, so that two drivers take turns too.
const turns = new WeakMap<object, Promise<unknown>>();

/** @returns how to run statements: a connection of pg wants one at a time, the others see to that themselves */
export function queryOf(client: PostgresClient): PostgresClient['query'] {
  if (!isConnection(client)) return (text, values) => client.query(text, values);
  return (text, values) => {
    const turn = (turns.get(client) ?? Promise.resolve()).then(() => client.query(text, values));
    turns.set(client, turn.catch(ignore));
    return turn;
  };
}

async function listenOn(
  client: Capable,
  channel: string,
  events: WakeEvents,
  giveBack: () => unknown,
): Promise<StopListening> {
  const heard = (notice: unknown): void => {
    const { channel: name, payload } = notice as { channel: string; payload: string };
    if (name === channel) events.wake(payload);
  };
  const lost = (reason: unknown): void => events.lost(reason ?? new Error('the connection that listens has ended'));
  const listeners = [['notification', heard] as const, ['error', lost] as const, ['end', lost] as const];
  for (const [event, listener] of listeners) client.on?.(event, listener);
  const stop = async (): Promise<void> => {
    for (const [event, listener] of listeners) client.off?.(event, listener);
    await giveBack();
  };
  try {
    await queryOf(client)(`LISTEN "${channel}"`, []);
    return stop;
  } catch (error) {
    await stop().catch(ignore);
    throw error;
  }
}

/** @returns how this client can listen, told by its shape; undefined when it cannot */
export function listeningOf(client: PostgresClient): Listen | undefined {
  const { connect, listen, unlisten, options }: Partial<Capable> = client;
  if (isPGlite(client)) {
    return async (channel, { wake }) => {
      await listen?.call(client, `"${channel}"`, wake);
      // What `listen` gives to end it forgets the quotes, and so ends another channel.
      return async () => unlisten?.call(client, `"${channel}"`, wake);
    };
  }
  if (isConnection(client)) {
    return (channel, events) => {
      const giveUp = claimChannel(client, channel);
      return listenOn(client, channel, events, () => giveUp() && queryOf(client)(`UNLISTEN "${channel}"`, []));
    };
  }
  // A pool's only connection is needed for the statements.
  if (connect === undefined || !isPool(client) || options?.max === 1) return undefined;
  return async (channel, events) => {
    const lent = await connect.call(client);
    // Closed and not put back: whoever borrowed it next would be told of our releases.
    return listenOn(lent, channel, events, () => lent.release(true));
  };
}
