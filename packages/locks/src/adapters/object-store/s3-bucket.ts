import { isAbsent, type S3Answer, type S3Fetch, s3Caller, s3Refusal, strongEtag } from '@chunks/base';
import type { LeaseBucket } from './bucket.ts';

/** Where the bucket is, and who speaks to it. */
export interface S3BucketOptions {
  /** The bucket's own URL: `https://bucket.s3.eu-central-1.amazonaws.com`, or `https://host/bucket`. */
  url: string;
  /** Signs and sends; limit its time here too, where the host's `fetch` waits long. @default the host's `fetch`, which signs nothing */
  fetch?: S3Fetch | undefined;
}

// HTTP dates have whole seconds, cut off.
const DATE_UNIT_MS = 1_000;

function timeOf(answer: S3Answer, header: string): number {
  const text = answer.headers.get(header);
  const time = text === null ? Number.NaN : Date.parse(text);
  // In a browser this is CORS: the header is there, but not exposed.
  if (Number.isNaN(time)) throw new Error(`S3 told no ${header} (${JSON.stringify(text)}): leases are counted by it`);
  return time;
}

/**
 * A bucket of anything that speaks S3 with conditional writes, for `objectStoreLeases`. Needs GetObject, PutObject and
 * ListBucket; the last one because a missing object otherwise looks like a forbidden one. Signing is the work of the
 * `fetch` that is passed in. 412 and 409 are another writer who was first, 404 is no object, and everything else that
 * is no success rejects: the store is then out of reach, neither busy nor free.
 * @throws TypeError | RangeError when `url` is no http URL or `fetch` no function.
 * @example
 * import { AwsClient } from 'aws4fetch';
 * // The locker tries again by itself: more tries below it only hold it up.
 * const aws = new AwsClient({ accessKeyId, secretAccessKey, service: 's3', retries: 0 });
 * const bucket = s3Bucket({ url: 'https://my-locks.s3.eu-central-1.amazonaws.com', fetch: aws.fetch.bind(aws) });
 */
export function s3Bucket(options: S3BucketOptions): LeaseBucket {
  const call = s3Caller(options);
  let storeMs = 0;

  return {
    now: () => storeMs,
    async get(name) {
      // A browser keeps what has a Last-Modified.
      const answer = await call('GET', name, { 'cache-control': 'no-cache' });
      const isMissing = isAbsent(answer);
      if (!isMissing && answer.status !== 200) throw s3Refusal('GET', name, answer);
      storeMs = timeOf(answer, 'Date');
      if (isMissing) return null;
      // The latest instant that it can mean: a lease may seem younger than it is, never older.
      const uploaded = new Date(timeOf(answer, 'Last-Modified') + DATE_UNIT_MS - 1);
      return { etag: strongEtag(answer), uploaded, text: async () => answer.text };
    },
    async put(name, content, { onlyIf }) {
      const isUpdate = 'etagMatches' in onlyIf;
      const condition: Record<string, string> = isUpdate
        ? { 'if-match': `"${onlyIf.etagMatches}"` }
        : { 'if-none-match': '*' };
      const headers = { ...condition, 'content-type': 'application/json' };
      const answer = await call('PUT', name, headers, { body: content });
      // 412: somebody was first. 409: somebody is at it right now. 404: what was to be replaced has gone.
      if (answer.status === 412 || answer.status === 409 || (isUpdate && isAbsent(answer))) return null;
      if (answer.status !== 200) throw s3Refusal('PUT', name, answer);
      return { etag: strongEtag(answer) };
    },
  };
}
