import { checkFunction, checkText, refuseRange } from '@chunks/base';
import type { LeaseBucket } from './bucket.ts';

/** What is used of a `Response`. */
export interface S3Response {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  text(): Promise<string>;
}

/** What is used of `fetch`: the global one fits, and so does a client that signs. */
export type S3Fetch = (
  url: string,
  init: { method: string; headers: Record<string, string>; body?: string },
) => Promise<S3Response>;

/** Where the bucket is, and who speaks to it. */
export interface S3BucketOptions {
  /** The bucket's own URL: `https://bucket.s3.eu-central-1.amazonaws.com`, or `https://host/bucket`. */
  url: string;
  /** Signs and sends; limit its time here too, where the host's `fetch` waits long. @default the host's `fetch`, which signs nothing */
  fetch?: S3Fetch | undefined;
}

// HTTP dates have whole seconds, cut off.
const DATE_UNIT_MS = 1_000;

function timeOf(answer: S3Response, header: string): number {
  const text = answer.headers.get(header);
  const time = text === null ? Number.NaN : Date.parse(text);
  // In a browser this is CORS: the header is there, but not exposed.
  if (Number.isNaN(time)) throw new Error(`S3 told no ${header} (${JSON.stringify(text)}): leases are counted by it`);
  return time;
}

function etagOf(answer: S3Response): string {
  const quoted = /^"([^"]+)"$/.exec(answer.headers.get('etag') ?? '');
  // A weak one (`W/"…"`, made by proxies that compress) never matches a condition.
  if (quoted === null) throw new Error(`S3 gave no strong ETag, but ${JSON.stringify(answer.headers.get('etag'))}`);
  return quoted[1] as string;
}

const refusal = (method: string, name: string, status: number, text: string): Error => {
  const code = /<Code>([^<]*)<\/Code>/.exec(text)?.[1];
  const hint = status === 403 ? '; a missing object is 403 too unless s3:ListBucket is allowed' : '';
  return new Error(`S3 answered ${status}${code === undefined ? '' : ` ${code}`} to ${method} ${name}${hint}`);
};

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
  const url = checkText('url', options.url).replace(/\/+$/, '');
  if (!/^https?:\/\/[^?#]+$/.test(url)) refuseRange('url', 'an http URL without a query', options.url);
  const { fetch: send = (target, init) => fetch(target, init) } = options;
  checkFunction('fetch', send);
  let storeMs = 0;

  async function call(
    method: string,
    name: string,
    headers: Record<string, string>,
    body?: string,
  ): Promise<{ answer: S3Response; text: string }> {
    const target = `${url}/${name.split('/').map(encodeURIComponent).join('/')}`;
    const answer = await send(target, { method, headers, ...(body !== undefined && { body }) });
    // Always to its end: an unread answer keeps its connection.
    return { answer, text: await answer.text() };
  }

  // No bucket is 404 too, and must not look like a bucket in which every key is free.
  const isAbsent = (answer: S3Response, text: string): boolean =>
    answer.status === 404 && !text.includes('<Code>NoSuchBucket</Code>');

  return {
    now: () => storeMs,
    async get(name) {
      // A browser keeps what has a Last-Modified.
      const { answer, text } = await call('GET', name, { 'cache-control': 'no-cache' });
      const isMissing = isAbsent(answer, text);
      if (!isMissing && answer.status !== 200) throw refusal('GET', name, answer.status, text);
      storeMs = timeOf(answer, 'Date');
      if (isMissing) return null;
      // The latest instant that it can mean: a lease may seem younger than it is, never older.
      const uploaded = new Date(timeOf(answer, 'Last-Modified') + DATE_UNIT_MS - 1);
      return { etag: etagOf(answer), uploaded, text: async () => text };
    },
    async put(name, content, { onlyIf }) {
      const isUpdate = 'etagMatches' in onlyIf;
      const condition: Record<string, string> = isUpdate
        ? { 'if-match': `"${onlyIf.etagMatches}"` }
        : { 'if-none-match': '*' };
      const headers = { ...condition, 'content-type': 'application/json' };
      const { answer, text } = await call('PUT', name, headers, content);
      // 412: somebody was first. 409: somebody is at it right now. 404: what was to be replaced has gone.
      if (answer.status === 412 || answer.status === 409 || (isUpdate && isAbsent(answer, text))) return null;
      if (answer.status !== 200) throw refusal('PUT', name, answer.status, text);
      return { etag: etagOf(answer) };
    },
  };
}
