/// <reference lib="esnext.disposable" preserve="true" />
import { checkOneOf, refuseType, withoutHalf } from '@chunks/base';
import type { VersionedStore } from '../store.ts';
import { type Capable, isPlain, type RedisClient, type Run, runnerOf } from './redis/client.ts';
import { keyOf, LIST, READ, REMOVE, textOf, WRITE } from './redis/scripts.ts';
import { Subscription, ticksOf } from './redis/subscription.ts';

export type { RedisClient };

/** How {@link redisStore} names things, and what it says of the server. */
export interface RedisStoreOptions {
  /** What its keys and channels begin with; it may be empty. @default 'chunks:state:' */
  prefix?: string | undefined;
  /**
   * What an acknowledged write survives, which depends on the server: `memory` without persistence or with snapshots
   * alone; `async`, a crash of the process, with `appendonly yes`; `sync`, a power cut, with `appendfsync always` as well.
   * It is said on in `capabilities.durable`, and changes nothing else. @default 'async'
   */
  durable?: 'memory' | 'async' | 'sync' | undefined;
  /**
   * A plain connection of either client: a copy of it hears of changes, as long as somebody watches. A cluster, a pool and
   * a sentinel cannot watch without. @default the client itself, if it is a plain connection
   */
  subscriber?: RedisClient | undefined;
}

const recordOf = (reply: unknown): { value: string; revision: string } | undefined => {
  const [value, revision] = reply as [unknown, unknown];
  return revision == null ? undefined : { value: String(value), revision: String(revision) };
};

/** Keys as they come, each once. */
async function* list(run: Run, prefix: string, begin: string, signal: AbortSignal): AsyncGenerator<string> {
  // Half a sign is no text that a server could look for.
  const text = textOf(withoutHalf(begin));
  // A key may come twice when the server's table grows or shrinks.
  const seen = new Set<string>();
  for (let cursor = ''; cursor !== '0'; ) {
    signal.throwIfAborted();
    const page = (await run(LIST, prefix, [cursor || '0', text], signal)) as [unknown, unknown[]];
    cursor = String(page[0]);
    for (const name of page[1]) {
      const key = keyOf(String(name));
      if (seen.has(key) || !key.startsWith(begin)) continue;
      seen.add(key);
      yield key;
    }
  }
}

const listenerOf = (client: Capable): Capable | undefined =>
  isPlain(client) && typeof client.duplicate === 'function' ? client : undefined;

/**
 * Records in Redis 5 or later (or what speaks its language and runs its Lua scripts). Each read and each write is one
 * round trip; a write that loses brings home what stands there. A record is one key, a hash: `v` is the JSON, as it is,
 * `r` the revision.
 *
 * A write is as durable as the server makes it (see `durable`): with `appendfsync always` what was acknowledged survives
 * a power cut. A replica that takes over may lack the last writes, unless `min-replicas-to-write` and luck are with you;
 * who has seen them gets STORE_REGRESSED. Set `maxmemory-policy noeviction`: an evicted record is gone.
 * Reads are refused by replicas, whatever the client is set to, so that none is stale.
 *
 * A client that sends again after a lost reply does no harm. On a plain connection a server that refuses (READONLY, OOM,
 * LOADING, …) is STORE_UNAVAILABLE in the end; elsewhere the update is UPDATE_AMBIGUOUS, for the client may have sent it
 * before. A cluster, a pool or a sentinel needs a `subscriber` to watch; in a cluster there is no `list`. To list is to
 * walk over all keys of the database. A watch on a link that died without a word waits until the client notices
 * (`keepAlive`, `pingInterval`). The client stays yours; `close` closes the connection that was opened for watches.
 *
 * @throws TypeError when an option is of the wrong kind, or `subscriber` is no plain connection; RangeError when
 * `durable` is none of the three
 * @example
 * const client = new Redis(); // ioredis; or await createClient().connect() of node-redis
 * const state = createState({ store: redisStore(client), initial: () => ({ count: 0 }) });
 */
export function redisStore(client: RedisClient, options: RedisStoreOptions = {}): VersionedStore {
  const { prefix = 'chunks:state:', durable = 'async', subscriber } = options;
  if (typeof Object(client).eval !== 'function') refuseType('client', 'a client of Redis with eval', client);
  if (typeof prefix !== 'string') refuseType('prefix', 'a string', prefix);
  checkOneOf('durable', durable, ['memory', 'async', 'sync']);
  const listener = listenerOf((subscriber ?? client) as Capable);
  if (subscriber !== undefined && listener === undefined) refuseType('subscriber', 'a plain connection', subscriber);
  const isCluster = (client as Capable).slots !== undefined;
  const run = runnerOf(client);
  const nameOf = (key: string): string => prefix + textOf(key);
  let subscription: Subscription | undefined;

  const open = (): Subscription => {
    if (subscription === undefined || subscription.over.aborted) subscription = new Subscription(listener as Capable);
    return subscription;
  };

  return {
    name: 'redis',
    capabilities: { watch: listener !== undefined, list: !isCluster, remove: true, durable },
    read: async (key, { signal }) => recordOf(await run(READ, nameOf(key), [], signal)),
    async write(key, value, expected = '', { signal }) {
      const name = nameOf(key);
      // Random and not counted up: neither an old AOF nor FLUSHALL may make an old revision fit again.
      const revision = crypto.randomUUID();
      const reply = await run(WRITE, name, [expected, name, revision, value], signal);
      return Array.isArray(reply) ? { conflict: true, current: recordOf(reply) } : { revision };
    },
    async remove(key, expected, { signal }) {
      const name = nameOf(key);
      return Number(await run(REMOVE, name, [expected, name], signal)) === 1;
    },
    ...(listener && { watch: (key: string, o: { signal: AbortSignal }) => ticksOf(open, nameOf(key), o.signal) }),
    ...(!isCluster && { list: (begin: string, o: { signal: AbortSignal }) => list(run, prefix, begin, o.signal) }),
    close: async () => subscription?.end(new Error('the store was closed')),
  };
}
