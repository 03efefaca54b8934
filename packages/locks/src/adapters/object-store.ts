/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Leases in a bucket: one small object a key, written on condition. Busy keys are polled, so this is for locks that
 * are taken a few times a minute.
 * @module
 */
import { type Clock, checkFunction, checkNamePrefix, checkNumber, checkText, systemClock } from '@chunks/base';
import type { LeaseDriver, LeaseRequest } from '../lease-driver.ts';
import { tokenAfter } from '../lease-rules.ts';
import type { LeaseBucket, PutCondition } from './object-store/bucket.ts';
import { type LeaseRecord, objectName, parseRecord } from './object-store/lease-record.ts';

export type { S3Fetch, S3Response } from '@chunks/base';
export type { LeaseBucket, PutCondition, StoredLease } from './object-store/bucket.ts';
export { type S3BucketOptions, s3Bucket } from './object-store/s3-bucket.ts';

/** How {@link objectStoreLeases} keeps its objects. */
export interface ObjectStoreLeasesOptions {
  /** Before the names of all objects: letters, digits and `_-./`, at most 200. @default 'locks/' */
  prefix?: string | undefined;
  /**
   * How far two clocks of the store may be apart, in ms, at least 0: an ended lease is taken over so much later. With an
   * R2 binding one of the two is the Worker's.
   * @default 1_000
   */
  skewMs?: number | undefined;
  /**
   * Whether the first call proves, by two or three writes that must be refused, that the bucket heeds conditions. A
   * store that ignores them would let everybody in. False saves them where you know: an R2 binding in a Worker that
   * makes its driver anew for each request.
   * @default true
   */
  probe?: boolean | undefined;
  /** Tells how long ago we ourselves wrote; and what time it is, for a bucket that cannot. @default the host's clock */
  clock?: Clock | undefined;
}

/** A record as it lies in the store. */
interface Seen {
  readonly etag: string;
  readonly record: LeaseRecord;
  /** What is left of the lease, by the store's clock; never less than there really is. */
  readonly lifeMs: number;
}

/** What we ourselves wrote last: with its etag the next write needs no read before it. */
interface Written {
  readonly etag: string;
  readonly record: LeaseRecord;
  /** By our clock, before the write: the lease cannot have begun earlier. */
  readonly sentAtMs: number;
}

const isOf = ({ record }: { record: LeaseRecord }, holder: string, token: number): boolean =>
  record.holder === holder && record.token === token;

const MAX_ROUNDS = 5;

/** The rounds of read and write in one call: a write that was refused begins another one. */
class Rounds {
  #done = 0;
  #etag: string | undefined;

  /**
   * Whether there is one more.
   * @throws Error when the store shows a version and does not let it be replaced.
   */
  next(etag: string | undefined): boolean {
    const isStuck = this.#done > 0 && etag === this.#etag;
    this.#etag = etag;
    if (this.#done++ < MAX_ROUNDS) return true;
    if (isStuck) throw new Error(`the bucket shows version ${etag}, and refuses to replace it`);
    return false;
  }
}

class ObjectStoreLeases implements LeaseDriver {
  readonly name = 'object-store';
  readonly modes = ['exclusive'] as const;
  readonly #bucket: LeaseBucket;
  readonly #prefix: string;
  readonly #skewMs: number;
  readonly #clock: Clock;
  /** Leases of ours, by key. */
  readonly #written = new Map<string, Written>();
  #sweepAtSize = 64;
  #proved: Promise<void> | undefined;

  constructor(bucket: LeaseBucket, options: ObjectStoreLeasesOptions) {
    this.#bucket = bucket;
    this.#prefix = checkNamePrefix(options.prefix ?? 'locks/');
    this.#skewMs = checkNumber('skewMs', options.skewMs ?? 1_000, 0);
    this.#clock = options.clock ?? systemClock;
    if (options.probe === false) this.#proved = Promise.resolve();
  }

  async acquire(
    key: string,
    holder: string,
    leaseMs: number,
    { signal }: LeaseRequest,
  ): ReturnType<LeaseDriver['acquire']> {
    checkText('key', key);
    checkLease(leaseMs);
    signal.throwIfAborted();
    await this.#prove();
    for (const rounds = new Rounds(); ; ) {
      const seen = await this.#read(key);
      const takenMs = seen && seen.record.holder !== holder ? this.#takenMs(seen) : 0;
      if (seen && takenMs > 0) return { busy: true, holder: seen.record.holder, retryAfterMs: takenMs };
      // Each time somebody else was first, and has gone again.
      if (!rounds.next(seen?.etag)) return { busy: true };
      // Nothing was written yet, so nobody has to undo it.
      signal.throwIfAborted();
      const record = this.#grant(key, holder, leaseMs, seen);
      if (await this.#write(record, seen?.etag)) return { token: record.token };
    }
  }

  async renew(key: string, holder: string, token: number, leaseMs: number): Promise<boolean> {
    checkLease(leaseMs);
    return this.#replace(key, holder, token, leaseMs);
  }

  release(key: string, holder: string, token: number): Promise<boolean> {
    return this.#replace(key, holder, token, 0);
  }

  async inspect(key: string): ReturnType<NonNullable<LeaseDriver['inspect']>> {
    const seen = await this.#read(key);
    if (seen === undefined || this.#takenMs(seen) <= 0) return undefined;
    return { holder: seen.record.holder, mode: 'exclusive', expiresInMs: Math.max(0, seen.lifeMs) };
  }

  /** A lease of ours gets another end; 0 frees the key. */
  async #replace(key: string, holder: string, token: number, leaseMs: number): Promise<boolean> {
    // Nobody stands in a line here.
    if (token === 0) return false;
    await this.#prove();
    const written = this.#ownWrite(key, holder, token);
    let last: { etag: string; record: LeaseRecord } | undefined = written;
    for (const rounds = new Rounds(); ; last = undefined) {
      if (last === undefined) {
        const seen = await this.#read(key);
        if (seen === undefined || !isOf(seen, holder, token)) return false;
        // Free under our name, though we still thought it ours: the answer to our own release was lost.
        if (seen.record.leaseMs === 0 && written !== undefined && leaseMs === 0) return this.#written.delete(key);
        if (seen.lifeMs <= 0) return false;
        last = seen;
      }
      if (!rounds.next(last.etag)) throw new Error(`${JSON.stringify(key)} is being renewed from several sides`);
      const record: LeaseRecord = { ...last.record, leaseMs, write: last.record.write + 1 };
      if (await this.#write(record, last.etag)) return true;
    }
  }

  /** Ours by our own clock, which is the stricter one. An ended one is looked up in the store instead. */
  #ownWrite(key: string, holder: string, token: number): Written | undefined {
    const written = this.#written.get(key);
    return written && isOf(written, holder, token) && !this.#hasEnded(written) ? written : undefined;
  }

  #hasEnded({ record, sentAtMs }: Written): boolean {
    return this.#clock.now() - sentAtMs >= record.leaseMs;
  }

  #grant(key: string, holder: string, leaseMs: number, seen: Seen | undefined): LeaseRecord {
    const write = (seen?.record.write ?? 0) + 1;
    // An earlier answer to this very holder was lost.
    const isResend = seen !== undefined && seen.record.holder === holder && seen.lifeMs > 0;
    const token = isResend ? seen.record.token : tokenAfter(seen?.record.token ?? 0, this.#nowMs());
    return { key, holder, token, leaseMs, write };
  }

  #nowMs(): number {
    return this.#bucket.now?.() ?? this.#clock.now();
  }

  /** For how long nobody else may take it: the rest of the lease, then what clocks may be apart. */
  #takenMs({ record, lifeMs }: Seen): number {
    if (record.leaseMs === 0) return 0;
    return lifeMs > 0 ? lifeMs : Math.max(0, lifeMs + this.#skewMs);
  }

  async #read(key: string): Promise<Seen | undefined> {
    const name = await objectName(this.#prefix, key);
    const object = await this.#bucket.get(name);
    if (object === null) return undefined;
    // Both times are the store's: how clocks of clients stand to each other does not matter.
    const ageMs = Math.max(0, this.#nowMs() - object.uploaded.getTime());
    const record = parseRecord(name, key, await object.text());
    return { etag: object.etag, record, lifeMs: record.leaseMs - ageMs };
  }

  /** @param etag the version that is replaced; none: there is no object yet. @returns whether it was */
  async #write(record: LeaseRecord, etag: string | undefined): Promise<boolean> {
    const sentAtMs = this.#clock.now();
    const onlyIf: PutCondition = etag === undefined ? { etagDoesNotMatch: '*' } : { etagMatches: etag };
    const name = await objectName(this.#prefix, record.key);
    const put = await this.#bucket.put(name, JSON.stringify(record), { onlyIf });
    if (put === null) return false;
    if (record.leaseMs === 0) this.#written.delete(record.key);
    else this.#keep({ etag: put.etag, record, sentAtMs });
    return true;
  }

  #keep(written: Written): void {
    this.#written.set(written.record.key, written);
    if (this.#written.size < this.#sweepAtSize) return;
    for (const [key, old] of this.#written) if (this.#hasEnded(old)) this.#written.delete(key);
    this.#sweepAtSize = Math.max(64, 2 * this.#written.size);
  }

  #prove(): Promise<void> {
    this.#proved ??= proveConditions(this.#bucket, `${this.#prefix}probe`).catch((error: unknown) => {
      this.#proved = undefined;
      throw error;
    });
    return this.#proved;
  }
}

// JSON has no Infinity.
const checkLease = (leaseMs: number): number => checkNumber('leaseMs', leaseMs, 1, Number.MAX_SAFE_INTEGER);

/** @throws Error when the bucket writes against a condition. */
async function proveConditions(bucket: LeaseBucket, name: string): Promise<void> {
  const write = async (onlyIf: PutCondition): Promise<boolean> => (await bucket.put(name, '{}', { onlyIf })) !== null;
  const absent: PutCondition = { etagDoesNotMatch: '*' };
  // An etag that no content has; the second of two creations is the one that must be refused.
  const isHeeded = !(await write({ etagMatches: '0'.repeat(32) })) && !((await write(absent)) && (await write(absent)));
  if (!isHeeded) throw new Error('the bucket ignores If-Match or If-None-Match: everybody would be given every key');
}

/**
 * Leases in a bucket: an R2 binding as it is, anything that speaks S3 through `s3Bucket`.
 *
 * One object a key, only ever replaced on condition that nobody else was first. A release keeps the object and its
 * token, so tokens never go back. A free key takes two requests, renewal and release one each, and a look at a busy one
 * takes one; the first call of all proves that the bucket heeds conditions. There is no line and no watch: waiters poll,
 * and who asks first after the release gets it.
 *
 * A lease begins when the store says that it was written and has ended when the store's clock says so, at least
 * `skewMs` later for others; the clocks of those who hold and wait play no part. S3 tells whole seconds, so there a dead
 * holder is succeeded up to two seconds later still. Objects may go (by a lifecycle rule) a day after the longest lease
 * that you give. R2 takes about one write a second for one object: for hot keys take Durable Objects.
 *
 * @throws TypeError | RangeError when an option is wrong.
 * @example
 * const locker = leaseLocker(objectStoreLeases(env.BUCKET), { poll: { minMs: 250, maxMs: 2_000 } });
 */
export function objectStoreLeases(bucket: LeaseBucket, options: ObjectStoreLeasesOptions = {}): LeaseDriver {
  checkFunction('bucket.get', bucket?.get);
  checkFunction('bucket.put', bucket?.put);
  return new ObjectStoreLeases(bucket, options);
}
