/// <reference lib="esnext.disposable" preserve="true" />
import { type Clock, checkFunction, checkNumber, checkText, refuseRange, systemClock } from '@chunks/base';
import type { LeaseBusy, LeaseDriver, LeaseGrant, LeaseRequest, LeaseState } from '../lease-driver.ts';
import { KEPT_MS, tokenAfter } from '../lease-rules.ts';
import type { LockMode } from '../types.ts';
import { type WakeEvents, WakeHub, type WakeLine } from '../wake-hub.ts';
import {
  decodeLease,
  encodeLease,
  LEASES,
  type LeaseRecord,
  type NatsKvEntry,
  type StoredLease,
  subjectOf,
} from './nats/lease-entry.ts';
import { ServerClock } from './nats/server-clock.ts';

export type { NatsKvEntry };

/** What is asked of a bucket; `KV` of `@nats-io/kv` 3.x fits. */
export interface NatsKv {
  get(key: string): Promise<NatsKvEntry | null>;
  create(key: string, value: Uint8Array): Promise<number>;
  update(key: string, value: Uint8Array, revision: number): Promise<number>;
  put(key: string, value: Uint8Array): Promise<number>;
  watch(options: { key: string; include: 'updates' }): Promise<AsyncIterable<NatsKvEntry> & { stop(): void }>;
  status(): Promise<{ readonly ttl: number }>;
}

/** How {@link natsLeases} counts time. */
export interface NatsLeasesOptions {
  /**
   * How far the clocks of the servers of one cluster may be apart, in ms: so much longer than its lease an ended one is
   * left alone. Clocks of clients do not matter. One server alone needs none.
   * @default 250
   */
  skewMs?: number | undefined;
  /** For tokens, and for a holder's view of its own lease. @default the host's clock and timers */
  clock?: Clock | undefined;
}

/** Each round that is lost was won by somebody else; who loses so many asks again later. */
const MAX_ROUNDS = 10;
// JSStreamWrongLastSequence, with and without the number.
const WRONG_REVISION: readonly unknown[] = [10_071, 10_164];

/**
 * Leases in a JetStream KV bucket (`@nats-io/kv` 3.x): one record per key, written by create and update-by-revision,
 * so that of all contenders one wins.
 *
 * **Whose clock.** A lease has ended when the server stored something later than the lease's own record by `leaseMs` +
 * `skewMs`. Before a key is taken over, a small record is written and its time stamp read back: no client's clock takes
 * part in that. The two other ways were weighed: trusting a time that the writer put into the record makes one machine
 * with a wrong clock break the lock of all; waiting a whole lease after having first seen a revision, as leader
 * election on such stores does, needs no clock either, but whoever comes anew after a crash waits up to twice as long,
 * and who only tries now and then may never get in. What is left is a server whose clock jumps, or another leader with
 * another clock: hence `skewMs`. A holder counts its own lease from before it was sent, by its own clock.
 *
 * - No line: a released key goes to whoever asks first. Waiters are woken by one `watch` of the bucket.
 * - A release keeps the token. A record may go when it is a day old: make the bucket with a `ttl` of some days, and the
 *   server forgets what nobody uses; without one it keeps a record for every key ever used. A `ttl` below a day, or
 *   below a lease, is refused. Nothing else depends on it.
 * - A bucket that was lost with its disk and made anew has lost its leases: their renewal says so. Tokens go on by the
 *   clients' clocks, and rise if these agree.
 * - Replicas that lag behind are no danger: every step is an update by revision.
 *
 * @throws TypeError | RangeError when `kv` lacks a method, or skewMs is no number ≥ 0.
 * @example
 * const kv = await new Kvm(connection).create('locks', { ttl: 3 * 86_400_000 });
 * const locker = leaseLocker(natsLeases(kv));
 * await locker.run('video-7', async (lock) => rebuild('video-7', lock.token));
 */
export function natsLeases(kv: NatsKv, options: NatsLeasesOptions = {}): LeaseDriver {
  for (const method of ['get', 'create', 'update', 'put', 'watch', 'status'] as const) {
    checkFunction(`kv.${method}`, kv?.[method]);
  }
  return new NatsLeases(kv, checkNumber('skewMs', options.skewMs ?? 250, 0), options.clock ?? systemClock);
}

class NatsLeases implements LeaseDriver {
  readonly name = 'nats';
  readonly modes: readonly LockMode[] = ['exclusive'];
  readonly #kv: NatsKv;
  readonly #skewMs: number;
  readonly #clock: Clock;
  readonly #serverClock: ServerClock;
  readonly #hub: WakeHub;
  /** What this process wrote last to keys that it holds: a replica may not have heard of it yet. Oldest first. */
  readonly #written = new Map<string, StoredLease>();
  #ttlMs: Promise<number> | undefined;

  constructor(kv: NatsKv, skewMs: number, clock: Clock) {
    this.#kv = kv;
    this.#skewMs = skewMs;
    this.#clock = clock;
    this.#serverClock = new ServerClock(kv, clock);
    this.#hub = new WakeHub((events) => openWatch(kv, events), clock);
  }

  async acquire(key: string, holder: string, leaseMs: number, request: LeaseRequest): Promise<LeaseGrant | LeaseBusy> {
    checkText('holder', holder);
    const subject = subjectOf(checkText('key', key));
    await this.#checkLease(leaseMs);
    for (let round = 1; round <= MAX_ROUNDS; round++) {
      request.signal.throwIfAborted();
      const lease = await this.#read(subject);
      const isOurs = lease.holder === holder;
      const leftMs = isOurs ? 0 : await this.#leftMs(lease);
      this.#hub.heal();
      if (leftMs > 0) return { busy: true, holder: lease.holder, retryAfterMs: leftMs };
      const nowMs = this.#clock.now();
      const token = isOurs && isLive(lease, nowMs) ? lease.token : tokenAfter(lease.token, nowMs);
      if (await this.#write(subject, { token, holder, leaseMs, sentMs: nowMs }, lease.revision)) return { token };
    }
    return { busy: true };
  }

  async renew(key: string, holder: string, token: number, leaseMs: number): Promise<boolean> {
    await this.#checkLease(leaseMs);
    return this.#replace(subjectOf(key), holder, token, (sentMs) => ({ token, holder, leaseMs, sentMs }));
  }

  async release(key: string, holder: string, token: number): Promise<boolean> {
    // Token 0 frees what the holder may not know that it has: a grant whose answer was lost.
    const freed = await this.#replace(subjectOf(key), holder, token || undefined, (sentMs, lease) => ({
      token: lease.token,
      leaseMs: 0,
      sentMs,
    }));
    return freed && token !== 0;
  }

  async inspect(key: string): Promise<LeaseState | undefined> {
    const lease = await this.#read(subjectOf(key));
    const expiresInMs = await this.#leftMs(lease);
    if (lease.holder === undefined || expiresInMs <= 0) return undefined;
    return { holder: lease.holder, mode: 'exclusive', expiresInMs };
  }

  watch(key: string, wake: () => void): Promise<() => void> {
    return this.#hub.watch(subjectOf(key), wake);
  }

  close(): Promise<void> {
    return this.#hub.close();
  }

  /** Writes over the holder's own live lease, of any token or of this one. `false`: there is none; nothing was written. */
  async #replace(
    subject: string,
    holder: string,
    token: number | undefined,
    next: (sentMs: number, lease: StoredLease) => LeaseRecord,
  ): Promise<boolean> {
    for (let round = 1; round <= MAX_ROUNDS; round++) {
      const lease = await this.#readOwn(subject);
      const nowMs = this.#clock.now();
      const isOurs = lease.holder === holder && (token === undefined || lease.token === token);
      if (!isOurs || !isLive(lease, nowMs)) return false;
      if (await this.#write(subject, next(nowMs, lease), lease.revision)) return true;
    }
    throw new Error(`the record ${subject} changed ${MAX_ROUNDS} times while it was written`);
  }

  async #read(subject: string): Promise<StoredLease> {
    return decodeLease(await this.#kv.get(subject));
  }

  /** What was read, or what we wrote where that is newer: a replica that lags behind must not make us lose a lease. */
  async #readOwn(subject: string): Promise<StoredLease> {
    const read = await this.#read(subject);
    const written = this.#written.get(subject);
    return written !== undefined && written.revision > read.revision ? written : read;
  }

  /** @returns false when somebody else has written meanwhile */
  async #write(subject: string, record: LeaseRecord, over: number): Promise<boolean> {
    const value = encodeLease(record);
    let revision: number;
    try {
      // The answer may get lost although the record was written: the caller asks again, and finds it.
      revision = over === 0 ? await this.#kv.create(subject, value) : await this.#kv.update(subject, value, over);
    } catch (error) {
      if (!WRONG_REVISION.includes((error as { code?: unknown } | undefined)?.code)) throw error;
      this.#written.delete(subject);
      return false;
    }
    this.#remember(subject, { ...record, revision, createdMs: 0 });
    return true;
  }

  #remember(subject: string, lease: StoredLease): void {
    this.#written.delete(subject);
    if (lease.holder !== undefined) this.#written.set(subject, lease);
    // Those who never released.
    for (const [old, { sentMs, leaseMs }] of this.#written) {
      if (sentMs + leaseMs > this.#clock.now()) break;
      this.#written.delete(old);
    }
  }

  /** What is left of somebody's lease, by the server's clock. 0 or less: it has ended, or the key is free. */
  async #leftMs({ holder, createdMs, leaseMs }: StoredLease): Promise<number> {
    if (holder === undefined) return 0;
    const left = (serverMs: number): number => createdMs + leaseMs + this.#skewMs - serverMs;
    const guessedMs = this.#serverClock.guess();
    // Time stamps are cut to whole ms, hence the 1: not a fraction of a lease is taken from anybody.
    const leftMs =
      guessedMs !== undefined && left(guessedMs) >= 0 ? left(guessedMs) : left(await this.#serverClock.read());
    return Math.min(leaseMs, leftMs + 1);
  }

  /** Asks once what the bucket forgets by itself. @throws RangeError when that could be a live lease, or a young token */
  async #checkLease(leaseMs: number): Promise<void> {
    checkNumber('leaseMs', leaseMs, 1);
    this.#ttlMs ??= this.#kv.status().then(({ ttl }) => ttl);
    const asked = this.#ttlMs;
    const ttlMs = await asked.catch((error: unknown) => {
      if (this.#ttlMs === asked) this.#ttlMs = undefined;
      throw error;
    });
    if (ttlMs > 0 && ttlMs < KEPT_MS) refuseRange("the bucket's ttl", `0 or an integer ≥ ${KEPT_MS}`, ttlMs);
    if (ttlMs > 0 && leaseMs > ttlMs) refuseRange('leaseMs', `at most the bucket's ttl (${ttlMs})`, leaseMs);
  }
}

/** By the holder's own clock, from before it was sent: nobody else can have it yet. */
const isLive = ({ sentMs, leaseMs }: StoredLease, nowMs: number): boolean => nowMs < sentMs + leaseMs;

/** One watch of all leases of the bucket. */
async function openWatch(kv: NatsKv, events: WakeEvents): Promise<WakeLine> {
  const entries = await kv.watch({ key: `${LEASES}>`, include: 'updates' });
  const listen = async (): Promise<void> => {
    for await (const entry of entries) if (decodeLease(entry).holder === undefined) events.wake(entry.key);
    throw new Error('the watch of the bucket has ended');
  };
  listen().catch(events.lost);
  return { listen: () => undefined, unlisten: () => undefined, close: () => entries.stop() };
}
