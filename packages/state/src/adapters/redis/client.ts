/**
 * What runs a script: ioredis (told by its `call`) or node-redis; a connection, a pool or a cluster.
 */
export type RedisClient = Ioredis | NodeRedis;

interface Ioredis {
  eval(script: string, numkeys: number, ...args: string[]): Promise<unknown>;
}

interface NodeRedis {
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
}

/** What the clients may have, besides what {@link RedisClient} asks for. */
export interface Capable {
  readonly slots?: unknown;
  readonly stream?: unknown;
  readonly isOpen?: boolean;
  call?(): unknown;
  withAbortSignal?(signal: AbortSignal): NodeRedis;
  duplicate?(options?: object): Capable;
  connect?(): Promise<unknown>;
  disconnect?(): unknown;
  destroy?(): unknown;
  on?(event: string, listener: (detail: unknown) => void): unknown;
  subscribe?(channel: string, listener?: (message: string, channel: string) => void): Promise<unknown>;
  unsubscribe?(channel: string): Promise<unknown>;
}

export const isIoredis = (client: Capable): boolean => typeof client.call === 'function';

// Refusals, also in the words of servers before 7, and calls that never left.
const NOTHING_WRITTEN =
  /(?:^|: -)(?:ASK|BUSY|CLUSTERDOWN|CROSSSLOT|LOADING|MASTERDOWN|MISCONF|MOVED|NOAUTH|NOPERM|NOREPLICAS|OOM|READONLY|TRYAGAIN|WRONGTYPE) |^ERR (?:ACL|The user) |^The (?:client is|command was) |^Stream isn't writeable/;

/** Runs one script on one key. */
export type Run = (script: string, key: string, args: string[], signal: AbortSignal) => Promise<unknown>;

/** @returns eval of either kind of client; its errors tell when surely nothing was written */
export function runnerOf(client: RedisClient): Run {
  const capable = client as Capable;
  const ofIoredis = isIoredis(capable);
  const send: Run = ofIoredis
    ? (script, key, args) => (client as Ioredis).eval(script, 1, key, ...args)
    : (script, key, args, signal) =>
        // Takes back what still waits for a connection.
        (capable.withAbortSignal?.(signal) ?? (client as NodeRedis)).eval(script, { keys: [key], arguments: args });
  return async (script, key, args, signal) => {
    const { stream } = capable;
    try {
      return await send(script, key, args, signal);
    } catch (error) {
      // ioredis sends again after a lost reply: the second copy may be refused for what the first one has done. On one
      // and the same stream it was sent once. A cluster has none.
      const isOnce = !ofIoredis || (stream !== undefined && stream === capable.stream);
      const isRefused = isOnce && error instanceof Error && NOTHING_WRITTEN.test(error.message);
      throw isRefused ? Object.assign(error, { definite: true }) : error;
    }
  };
}
