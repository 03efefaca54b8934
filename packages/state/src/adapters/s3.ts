/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Records in a bucket of anything that speaks S3 with conditional writes: one object a key.
 * @module
 */
import { isAbsent, type S3Answer, type S3Call, type S3Fetch, s3Caller, s3Refusal, strongEtag } from '@chunks/base';
import { MAX_OBJECT_VALUE_BYTES, ObjectNames, stamped, unstamped } from '../object-records.ts';
import type { Revision, VersionedStore } from '../store.ts';

export type { S3Fetch, S3Response } from '@chunks/base';

/** Where the records are, and who speaks to the bucket. */
export interface S3StoreOptions {
  /** The bucket's own URL: `https://bucket.s3.eu-central-1.amazonaws.com`, or `https://host/bucket`. */
  url: string;
  /**
   * Signs and sends. It may send again by itself: a condition never holds twice.
   * @default the host's `fetch`, which signs nothing
   */
  fetch?: S3Fetch | undefined;
  /** Before the names of all objects: letters, digits and `_-./`, at most 200. @default 'state/' */
  prefix?: string | undefined;
  /**
   * Whether the first write proves, by two or three requests that must be refused, that the bucket heeds conditions, and
   * the first removal, by one more, that it heeds them there. A bucket that ignores them would lose updates. False saves
   * the requests where you know.
   * @default true
   */
  probe?: boolean | undefined;
}

// An etag that no content has.
const NEVER = '0'.repeat(32);

/** One write or removal, on condition. @returns undefined when somebody else was first */
type Change = (
  method: 'PUT' | 'DELETE',
  name: string,
  expected: Revision | undefined,
  init?: { body?: string; signal?: AbortSignal },
) => Promise<S3Answer | undefined>;

const changer =
  (call: S3Call): Change =>
  async (method, name, expected, init) => {
    const condition: Record<string, string> =
      expected === undefined ? { 'if-none-match': '*' } : { 'if-match': `"${expected}"` };
    const answer = await call(method, name, { ...condition, 'content-type': 'application/json' }, init);
    const { status } = answer;
    // 412: somebody was first. 409: somebody is at it right now. 404: what was there has gone.
    if (status === 412 || status === 409 || (expected !== undefined && isAbsent(answer))) return undefined;
    if (status !== 200 && status !== 204) throw s3Refusal(method, name, answer);
    return answer;
  };

const ignored = (method: string): Error =>
  new Error(`the bucket ignores If-Match or If-None-Match on ${method}: updates would be lost`);

/**
 * Tried once until it holds. What fails, fails before the caller's own request: `definite`. One that hangs is given up
 * with the call that began it.
 */
function once(trial: () => Promise<void>): (signal: AbortSignal) => Promise<void> {
  let proved: Promise<void> | undefined;
  let begun: AbortSignal | undefined;
  return (signal) => {
    if (begun?.aborted) proved = undefined;
    if (proved === undefined) begun = signal;
    proved ??= trial().then(
      () => {
        begun = undefined;
      },
      (error: unknown) => {
        proved = undefined;
        throw Object.assign(Object(error), { definite: true });
      },
    );
    return proved;
  };
}

/** Requests that must be refused, to an object that no key has. */
function proofs(
  name: string,
  call: S3Call,
  change: Change,
): Record<'writes' | 'removals', (signal: AbortSignal) => Promise<void>> {
  const refuses = async (expected?: Revision): Promise<boolean> =>
    (await change('PUT', name, expected, { body: '{}' })) === undefined;
  return {
    writes: once(async () => {
      // Of two creations the second is the one that must be refused.
      if (!(await refuses(NEVER)) || !((await refuses()) || (await refuses()))) throw ignored('PUT');
    }),
    removals: once(async () => {
      // What is not there cannot be removed anyway, and says nothing.
      await refuses();
      const answer = await call('DELETE', name, { 'if-match': `"${NEVER}"` });
      if (answer.status !== 412) throw answer.status < 300 ? ignored('DELETE') : s3Refusal('DELETE', name, answer);
    }),
  };
}

/**
 * Records in a bucket: anything that speaks S3 and heeds `If-Match` and `If-None-Match: *` on PUT.
 *
 * One object a key, `<prefix><key>.json`, a JSON document that any tool can read. A read is one GET, a write one PUT, a
 * listing one request for each 1,000 keys. What was acknowledged survives a power cut; reads see it at once, as S3
 * promises. Removal needs `If-Match` on DELETE (AWS: general purpose buckets, since September 2025). Keys may have
 * `capabilities.maxKeyBytes`, 337 with the default prefix: S3 takes names of 1,024 bytes, and what is no letter, digit or
 * one of `._-` takes three. An answer that is no success says nothing about what an earlier copy of the request did, so
 * the outcome counts as unknown, and `createState` finds it out. A conflict does not say what stands there, so a process
 * that lost needs two round trips where the one that won needs one: with several that write one key without a pause, give
 * `maxAttempts`.
 *
 * Needs GetObject, PutObject, ListBucket (also to tell a missing object from a forbidden one), and DeleteObject for removal.
 *
 * @throws TypeError | RangeError when `url` is no http URL, `fetch` no function or `prefix` not plain.
 * @example
 * import { AwsClient } from 'aws4fetch';
 * const aws = new AwsClient({ accessKeyId, secretAccessKey, service: 's3' });
 * const store = s3Store({ url: 'https://my-bucket.s3.eu-central-1.amazonaws.com', fetch: aws.fetch.bind(aws) });
 * const state = createState({ store, initial: () => ({ count: 0 }) });
 */
export function s3Store(options: S3StoreOptions): VersionedStore {
  const call = s3Caller(options);
  const names = new ObjectNames(options.prefix);
  const change = changer(call);
  const prove = options.probe === false ? undefined : proofs(names.probe, call, change);

  return {
    name: 's3',
    capabilities: {
      watch: false,
      list: true,
      remove: true,
      durable: 'sync',
      maxValueBytes: MAX_OBJECT_VALUE_BYTES,
      maxKeyBytes: names.maxKeyBytes,
    },
    async read(key, { signal }) {
      const name = names.of(key);
      // A browser keeps what has a Last-Modified.
      const answer = await call('GET', name, { 'cache-control': 'no-cache' }, { signal });
      if (isAbsent(answer)) return undefined;
      if (answer.status !== 200) throw s3Refusal('GET', name, answer);
      return { value: unstamped(answer.text), revision: strongEtag(answer) };
    },
    async write(key, value, expected, { signal }) {
      await prove?.writes(signal);
      const answer = await change('PUT', names.of(key), expected, { body: stamped(value), signal });
      return answer ? { revision: strongEtag(answer) } : { conflict: true };
    },
    async remove(key, expected, { signal }) {
      await prove?.removals(signal);
      return (await change('DELETE', names.of(key), expected, { signal })) !== undefined;
    },
    async *list(prefix, { signal }) {
      const query = new URLSearchParams({ 'list-type': '2', prefix: names.start(prefix) });
      for (;;) {
        signal.throwIfAborted();
        const answer = await call('GET', `?${query}`, {}, { signal });
        const more = /<IsTruncated>(true|false)</.exec(answer.text)?.[1];
        const token = /<NextContinuationToken>([^<]+)</.exec(answer.text)?.[1];
        if (answer.status !== 200 || more === undefined) throw s3Refusal('GET', `?${query}`, answer);
        for (const [, name = ''] of answer.text.matchAll(/<Key>([^<]*)</g)) {
          const key = names.keyOf(name);
          if (key?.startsWith(prefix)) yield key;
        }
        if (more === 'false') return;
        // The older protocol has none, and would begin again for ever.
        if (token === undefined) throw new Error('S3 answered ListObjectsV2 without a NextContinuationToken');
        query.set('continuation-token', token);
      }
    },
  };
}
