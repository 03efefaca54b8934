import { checkFunction, checkText, refuseRange } from './check.ts';

/** What is used of a `Response`. */
export interface S3Response {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  text(): Promise<string>;
}

/** What is used of `fetch`: the global one fits, and so does a client that signs. */
export type S3Fetch = (
  url: string,
  init: { method: string; headers: Record<string, string>; body?: string; signal?: AbortSignal },
) => Promise<S3Response>;

/** An answer, read to its end. */
export interface S3Answer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly text: string;
}

/** One request: whose object, and under what condition. */
export type S3Call = (
  method: 'GET' | 'PUT' | 'DELETE',
  /** Of an object, or a query to the bucket that begins with `?`. */
  name: string,
  headers: Record<string, string>,
  init?: { body?: string; signal?: AbortSignal },
) => Promise<S3Answer>;

/**
 * Requests to one bucket.
 * @param o.url the bucket's own
 * @param o.fetch signs and sends. @default the host's `fetch`, which signs nothing
 * @throws TypeError | RangeError when `url` is no http URL or `fetch` no function.
 */
export function s3Caller(o: { url: string; fetch?: S3Fetch | undefined }): S3Call {
  const url = checkText('url', o.url).replace(/\/+$/, '');
  if (!/^https?:\/\/[^?#]+$/.test(url)) refuseRange('url', 'an http URL without a query', o.url);
  const { fetch: send = (target, init) => fetch(target, init) } = o;
  checkFunction('fetch', send);
  return async (method, name, headers, init) => {
    const path = name.startsWith('?') ? name : name.split('/').map(encodeURIComponent).join('/');
    const answer = await send(`${url}/${path}`, { method, headers, ...init });
    // Always to its end: an unread answer keeps its connection.
    return { status: answer.status, headers: answer.headers, text: await answer.text() };
  };
}

/** No such object. No bucket is 404 too, and must not look like a bucket in which nothing lies. */
export const isAbsent = ({ status, text }: S3Answer): boolean =>
  status === 404 && !text.includes('<Code>NoSuchBucket</Code>');

/** Without its quotes. @throws Error when there is none that a condition could name */
export function strongEtag(answer: S3Answer): string {
  const etag = answer.headers.get('etag');
  const quoted = /^"([^"]+)"$/.exec(etag ?? '');
  // A weak one (`W/"…"`, made by proxies that compress) never matches a condition.
  if (quoted === null) throw new Error(`S3 gave no strong ETag, but ${JSON.stringify(etag)}`);
  return quoted[1] as string;
}

/** An answer that is neither success nor one of those that were looked for. */
export function s3Refusal(method: string, name: string, { status, text }: S3Answer): Error {
  const code = /<Code>([^<]*)<\/Code>/.exec(text)?.[1];
  const hint = status === 403 ? '; a missing object is 403 too unless s3:ListBucket is allowed' : '';
  return new Error(`S3 answered ${status}${code === undefined ? '' : ` ${code}`} to ${method} ${name}${hint}`);
}
