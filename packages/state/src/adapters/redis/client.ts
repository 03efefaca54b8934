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

/** Whether it is one connection, neither a cluster nor a pool nor what follows sentinels around. */
export const isPlain = (client: Capable): boolean =>
  isIoredis(client) ? client.slots === undefined : 'isPubSubActive' in client;

// Refusals, also in the words of servers before 7, and calls that never left.
const NOTHING_WRITTEN =
  /(?:^|: -)(?:ASK|BUSY|CLUSTERDOWN|CROSSSLOT|LOADING|MASTERDOWN|MISCONF|MOVED|NOAUTH|NOPERM|NOREPLICAS|OOM|READONLY|TRYAGAIN|WRONGTYPE) |^ERR (?:ACL|The user) |^The (?:client is|command was) |^Stream isn't writeable/;

/** Numbers and arrays: all that our scripts answer. */
function answerOf(reply: unknown): unknown {
  if (Array.isArray(reply) || Number(reply) >= 0) return reply;
  // As in a MULTI that somebody left open: it will be run, or never.
  throw new Error(`put off: ${reply}`);
}

/** Runs one script on one key. */
export type Run = (script: string, key: string, args: string[], signal: AbortSignal) => Promise<unknown>;

/** @returns eval of either kind of client; its errors tell when surely nothing was written, on a plain connection */
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
      return answerOf(await send(script, key, args, signal));
    } catch (error) {
      // What was sent again after a lost reply may be refused although the first copy was carried out. ioredis sends again
      // on its next stream, node-redis never, and clusters and sentinels of either when they like.
      const isOnce = isPlain(capable) && (!ofIoredis || (stream !== undefined && stream === capable.stream));
      const isRefused = isOnce && error instanceof Error && NOTHING_WRITTEN.test(error.message);
      throw isRefused ? Object.assign(error, { definite: true }) : error;
    }
  };
}
