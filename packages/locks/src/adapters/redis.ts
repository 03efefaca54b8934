/// <reference lib="esnext.disposable" preserve="true" />
import { type Clock, escapedUnits, refuseType, systemClock } from '@chunks/base';
import { claimChannel } from '../channel-claims.ts';
import type { LeaseDriver } from '../lease-driver.ts';
import { KEPT_MS } from '../lease-rules.ts';
import { type WakeEvents, WakeHub, type WakeLine } from '../wake-hub.ts';

/**
 * What runs a script: ioredis (told by its `call`) or node-redis; a connection, a pool or a cluster.
 * Where the client has `evalsha` or `evalSha`, scripts are sent by their digest.
 */
export type RedisClient = Ioredis | NodeRedis;

interface Ioredis {
  eval(script: string, numkeys: number, ...args: string[]): Promise<unknown>;
}

interface NodeRedis {
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
}

/** How {@link redisLeases} names things and hears of releases. */
export interface RedisLeasesOptions {
  /** What its keys and channels begin with; it may be empty. Lockers with different ones never meet. @default 'chunks:lock:' */
  keyPrefix?: string | undefined;
  /**
   * A connection to hear of releases on: it has to be connected, stays yours, and can run no other commands meanwhile.
   * `false`: none, waiters ask now and then instead.
   * @default a cluster's own one; else `client.duplicate()` while somebody waits; a pool has neither, its waiters ask
   */
  subscriber?: RedisClient | false | undefined;
  /** For closing what nobody uses; leases are counted by the server's clock. @default systemClock */
  clock?: Clock | undefined;
}

// Never stale, in a form in which Lua's numbers and the server's dates stay exact.
const MAX_LEASE_MS = 1e13;

// The record is binary (a byte "somebody waits", token, end, holder), which costs the server a fifth less than text.
// It has one key alone, so it has one slot in every cluster.
const PRELUDE = `local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local record = redis.call('GET', KEYS[1])
local waited, token, ends, holder = 0, 0, 0, ''
if record then waited, token, ends, holder = struct.unpack('>Bdds', record) end
local live = ends > now
`;
// The generation outlives the lease, until the clock alone makes sure that the next one is higher.
const KEEP = `redis.call('SET', KEYS[1], struct.pack('>Bdds', waited, token, ends, holder), 'PX', math.max(token, ends, now) - now + ${KEPT_MS})
`;

const ACQUIRE = `${PRELUDE}if live and holder ~= ARGV[1] then
  if waited == 0 then redis.call('SETRANGE', KEYS[1], 0, '\\1') end
  return {holder, ends - now}
end
if not live then waited, token = 0, math.max(token + 1, now) end
ends, holder = now + ARGV[2], ARGV[1]
${KEEP}return token`;

const RENEW = `${PRELUDE}if not live or holder ~= ARGV[1] or token ~= tonumber(ARGV[2]) then return 0 end
ends = now + ARGV[3]
${KEEP}return 1 + waited`;

const RELEASE = `${PRELUDE}if not live or holder ~= ARGV[1] or token ~= tonumber(ARGV[2]) then return 0 end
ends, holder = 0, ''
${KEEP}redis.call('PUBLISH', ARGV[3], '')
return 1`;

const INSPECT = `${PRELUDE}return live and {holder, ends - now}`;

/** A script and what servers call it. */
class Script {
  readonly text: string;
  #digest: Promise<string> | undefined;

  constructor(text: string) {
    this.text = text;
  }

  get digest(): Promise<string> {
    this.#digest ??= crypto.subtle
      .digest('SHA-1', new TextEncoder().encode(this.text))
      .then((hash) => [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, '0')).join(''));
    return this.#digest;
  }
}

const SCRIPTS = {
  acquire: new Script(ACQUIRE),
  renew: new Script(RENEW),
  release: new Script(RELEASE),
  inspect: new Script(INSPECT),
};

/** What the clients may have, besides what {@link RedisClient} asks for. */
interface Capable {
  readonly slots?: unknown;
  call?(): unknown;
  evalsha?(digest: string, numkeys: number, ...args: string[]): Promise<unknown>;
  evalSha?(digest: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
  duplicate?(...options: object[]): Capable;
  connect?(): Promise<unknown>;
  disconnect?(): unknown;
  readonly isOpen?: boolean;
  destroy?(): unknown;
  on?(event: string, listener: (detail: unknown) => void): unknown;
  off?(event: string, listener: (detail: unknown) => void): unknown;
  subscribe?(channel: string, listener?: (message: string, channel: string) => void): Promise<unknown>;
  unsubscribe?(channel: string, listener?: (message: string, channel: string) => void): Promise<unknown>;
}

const isIoredis = (client: Capable): boolean => typeof client.call === 'function';
// Clusters of both kinds have `slots`, and a connection of their own for subscriptions.
const isCluster = (client: Capable): boolean => client.slots !== undefined;

type Send = (text: string, key: string, args: string[]) => Promise<unknown>;

/** @returns eval, and evalsha where there is one, of either kind of client */
function sendersOf(client: RedisClient): { byText: Send; byDigest: Send | undefined } {
  const { evalsha, evalSha } = client as Capable;
  if (isIoredis(client as Capable)) {
    const ioredis = client as Ioredis;
    return {
      byText: (text, key, args) => ioredis.eval(text, 1, key, ...args),
      byDigest: evalsha && ((digest, key, args) => evalsha.call(client, digest, 1, key, ...args)),
    };
  }
  const node = client as NodeRedis;
  return {
    byText: (text, key, args) => node.eval(text, { keys: [key], arguments: args }),
    byDigest: evalSha && ((digest, key, args) => evalSha.call(client, digest, { keys: [key], arguments: args })),
  };
}

type Run = (script: Script, key: string, ...args: string[]) => Promise<unknown>;

function runnerOf(client: RedisClient): Run {
  const { byText, byDigest } = sendersOf(client);
  if (byDigest === undefined) return (script, key, ...args) => byText(script.text, key, args);
  return async (script, key, ...args) => {
    try {
      return await byDigest(await script.digest, key, args);
    } catch (error) {
      // A server that has not seen the script since it started, or a cluster's node: nothing was run there.
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return byText(script.text, key, args);
    }
  };
}

/** A line on a connection that somebody else keeps, and may share. */
function lineOn(subscriber: Capable, events: WakeEvents): WakeLine {
  const { on, off, subscribe, unsubscribe } = subscriber;
  const lost = (reason: unknown): void => events.lost(reason ?? new Error('the subscription broke'));
  const listeners: [string, (detail: unknown) => void][] = ['error', 'close', 'end'].map((event) => [event, lost]);
  // ioredis tells all channels to one listener and ends them for all, node-redis has listeners of each channel.
  const isOneForAll = isIoredis(subscriber);
  if (isOneForAll) listeners.push(['message', (channel) => events.wake(channel as string)]);
  for (const [event, listener] of listeners) on?.call(subscriber, event, listener);
  const channelListener = isOneForAll ? [] : [(_message: string, channel: string) => events.wake(channel)];
  const claims = new Map<string, () => boolean>();
  const unlisten = async (channel: string): Promise<unknown> => {
    const isLast = claims.get(channel)?.();
    claims.delete(channel);
    return (isLast || !isOneForAll) && unsubscribe?.call(subscriber, channel, ...channelListener);
  };
  return {
    listen: (channel) => {
      if (!claims.has(channel)) claims.set(channel, claimChannel(subscriber, channel));
      return subscribe?.call(subscriber, channel, ...channelListener);
    },
    unlisten,
    close: () => {
      for (const [event, listener] of listeners) off?.call(subscriber, event, listener);
      // Of a line that broke; a client that comes back would subscribe to them again.
      for (const channel of [...claims.keys()]) unlisten(channel).catch(() => undefined);
    },
  };
}

/** A line on a copy of the client. It never reconnects by itself: the hub would not know what it missed. */
async function lineOfItsOwn(client: Capable, events: WakeEvents): Promise<WakeLine> {
  const copy = client.duplicate?.({ enableOfflineQueue: true, retryStrategy: () => null }) ?? client;
  const hangUp = (): void => {
    if (isIoredis(copy)) copy.disconnect?.();
    else if (copy.isOpen) copy.destroy?.();
  };
  // Never taken off: an error event without a listener ends the process.
  copy.on?.('error', hangUp);
  const line = lineOn(copy, events);
  if (!isIoredis(copy)) await copy.connect?.();
  return { ...line, close: hangUp };
}

/** @returns how to open a line, undefined where there is no way */
function openerOf(
  client: Capable,
  subscriber: RedisLeasesOptions['subscriber'],
): ((events: WakeEvents) => WakeLine | Promise<WakeLine>) | undefined {
  if (subscriber === false) return undefined;
  if (subscriber !== undefined) {
    if (typeof (subscriber as Capable).subscribe !== 'function') {
      refuseType('subscriber', 'a client that can subscribe, or false', subscriber);
    }
    return (events) => lineOn(subscriber as Capable, events);
  }
  if (typeof client.subscribe !== 'function') return undefined;
  if (isCluster(client)) return (events) => lineOn(client, events);
  return typeof client.duplicate === 'function' ? (events) => lineOfItsOwn(client, events) : undefined;
}

// UTF-8 would turn every lone surrogate into the same sign.
const textOf = (key: string): string => escapedUnits(key, /[\\\p{Surrogate}]/gu);

/**
 * Leases in Redis 5 or later (or what speaks its language and runs its Lua scripts), each call one round trip.
 * Uncontended, a lock costs two: one to acquire, one to release. Waiters hear of a release by pub/sub.
 *
 * Leases are counted by the server's clock, and so are tokens: a server that lost its data gives higher ones all the
 * same, as long as its clock was not set back. A server that loses its *last seconds* — a replica that took over, a
 * restart between two fsyncs — may give a lock twice, as any lock in Redis: check the token where you write, and the
 * late write of the first holder fails. Fencing a write to a Redis hash is one script:
 *
 * ```lua
 * if tonumber(redis.call('HGET', KEYS[1], 'token') or 0) > tonumber(ARGV[2]) then return 0 end return redis.call('HSET', KEYS[1], 'value', ARGV[1], 'token', ARGV[2]) and 1
 * ```
 *
 * A client that queues commands while the server is away sends them once it is back; what is granted so late is given
 * back at once.
 *
 * Each lock is one key, kept until a day after its last lease. Waiters stand in no line: a released key goes to whoever
 * asks first. The client stays yours; `close` closes the connection that was opened for pub/sub, and nothing else.
 *
 * @throws TypeError when an option is of the wrong kind, or `subscriber` cannot subscribe.
 * @example
 * const locker = leaseLocker(redisLeases(new Redis())); // ioredis; or await createClient().connect() of node-redis
 * await locker.run('chunk 7', (lock) => client.eval(FENCED_WRITE, 1, 'chunk:7', value, lock.token));
 */
export function redisLeases(client: RedisClient, options: RedisLeasesOptions = {}): LeaseDriver {
  const { keyPrefix = 'chunks:lock:', clock = systemClock } = options;
  if (typeof Object(client).eval !== 'function') refuseType('client', 'a client of Redis with eval', client);
  if (typeof keyPrefix !== 'string') refuseType('keyPrefix', 'a string', keyPrefix);
  const run = runnerOf(client);
  const open = openerOf(client as Capable, options.subscriber);
  const hub = open && new WakeHub(open, clock);
  const nameOf = (key: string): string => keyPrefix + textOf(key);
  const lasting = (leaseMs: number): string => `${Math.min(Math.ceil(leaseMs), MAX_LEASE_MS)}`;

  return {
    name: 'redis',
    modes: ['exclusive'],
    async acquire(key, holder, leaseMs) {
      const reply = await run(SCRIPTS.acquire, nameOf(key), holder, lasting(leaseMs));
      if (!Array.isArray(reply)) return { token: Number(reply) };
      hub?.heal();
      return { busy: true, holder: String(reply[0]), retryAfterMs: Number(reply[1]) };
    },
    async renew(key, holder, token, leaseMs) {
      const reply = Number(await run(SCRIPTS.renew, nameOf(key), holder, `${token}`, lasting(leaseMs)));
      return reply === 2 ? { contended: true } : reply === 1;
    },
    async release(key, holder, token) {
      const name = nameOf(key);
      // The channel is no key: clients that put a prefix of their own before keys leave it as it is.
      return Number(await run(SCRIPTS.release, name, holder, `${token}`, name)) === 1;
    },
    async inspect(key) {
      const reply = await run(SCRIPTS.inspect, nameOf(key));
      if (!Array.isArray(reply)) return undefined;
      return { holder: String(reply[0]), mode: 'exclusive', expiresInMs: Number(reply[1]) };
    },
    ...(hub && { watch: (key: string, wake: () => void) => hub.watch(nameOf(key), wake) }),
    close: async () => hub?.close(),
  };
}
