import { checkFunction, checkInteger, refuseType } from '../check.ts';
import { type Clock, systemClock } from '../clock.ts';
import type { ByteRange, ByteSource, MaybePromise } from '../types.ts';
import { isEntityTag } from './entity-tag.ts';
import { formatHttpDate } from './http-date.ts';
import { multipartStretches, randomBoundary, type Stretch, stretchBytes } from './multipart.ts';
import { evaluatePreconditions, ifRangeHolds, type Validators } from './preconditions.ts';
import { formatContentRange, formatUnsatisfied, parseRange } from './range-header.ts';
import { openBody } from './response-body.ts';

/** What {@link rangeResponse} serves: a sequence of bytes of which any part can be read. */
export interface RangeResource {
  /** Unknown: `Range` is ignored, the answer is 200 without a `Content-Length`. */
  totalBytes?: number | undefined;
  /** Quoted: `"v1"`, or `W/"v1"` when versions that are equal in meaning but not in bytes share it. */
  etag?: string | undefined;
  /** Compared to the second. Give a strong etag as well where one second can see two versions. */
  lastModified?: Date | undefined;
  contentType?: string | undefined;
  /**
   * Sent whole with 200 and 206, without what describes the content with 304, and with refusals without what says how
   * to cache it either. Preconditions are judged by the fields above only.
   */
  headers?: ConstructorParameters<typeof Headers>[0] | undefined;
  /**
   * The bytes of that range, which is never empty. Called only when they are going to be sent: for each range when its
   * turn comes. With `totalBytes` unknown the range ends at `Number.MAX_SAFE_INTEGER`.
   *
   * @param signal aborts when the request does, when the body is cancelled and when it fails: stop reading then.
   */
  read(range: ByteRange, signal: AbortSignal): MaybePromise<ByteSource>;
}

/** What an answer consists of before any byte of the resource is read. */
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly stretches: readonly Stretch[];
}

/**
 * Answers a GET or HEAD with the resource or the parts of it asked for, by the rules of RFC 9110 for ranges (single,
 * several, suffix) and preconditions: 200, 206, 304, 405, 412 or 416.
 *
 * The body is read no faster than it is consumed. Cancelling it, or aborting the request, aborts the signal that `read`
 * got. If `read` gives fewer or more bytes than the range has, the body fails with a {@link BodyLengthError}: it is
 * never padded, nor cut in silence, and a server that pipes it cuts the connection.
 *
 * @param options `clock`: what tells a date in the future. @default the system's
 * @throws TypeError | RangeError naming the property of `resource` that is wrong, such as an etag without quotes.
 * @throws what the first call of `read` throws; nothing was sent then, so a 503 can still be.
 * @throws the request's own abort reason.
 * @example
 * const video = new Uint8Array(await file.arrayBuffer());
 * const answer = (request: Request) =>
 *   rangeResponse(request, {
 *     totalBytes: video.byteLength,
 *     etag: '"v1"',
 *     contentType: 'video/mp4',
 *     read: ({ startByte, endByte }) => video.subarray(startByte, endByte),
 *   });
 */
export async function rangeResponse(
  request: Request,
  resource: RangeResource,
  options: { clock?: Clock | undefined } = {},
): Promise<Response> {
  checkResource(resource);
  const answer = decide(request, resource, (options.clock ?? systemClock).now());
  const { status, headers, stretches } = answer;
  if (stretches.length === 0 || request.method === 'HEAD') return new Response(null, { status, headers });
  const body = await openBody(stretches, {
    read: (range, signal) => resource.read(range, signal),
    requireExact: resource.totalBytes !== undefined,
    // Some runtimes give an incoming request none.
    signal: request.signal ?? undefined,
  });
  return new Response(body, { status, headers });
}

function checkResource({ totalBytes, etag, lastModified, read }: RangeResource): void {
  if (totalBytes !== undefined) checkInteger('resource.totalBytes', totalBytes, 0);
  if (etag !== undefined && !(typeof etag === 'string' && isEntityTag(etag))) {
    refuseType('resource.etag', 'an entity tag in double quotes, W/ in front if weak', etag);
  }
  if (lastModified !== undefined && !(lastModified instanceof Date && Number.isFinite(lastModified.getTime()))) {
    refuseType('resource.lastModified', 'a valid Date', lastModified);
  }
  checkFunction('resource.read', read);
}

function decide(request: Request, resource: RangeResource, nowMs: number): Answer {
  const bodyless = (status: number, headers: Headers): Answer => ({ status, headers, stretches: [] });
  const { totalBytes } = resource;
  const validators: Validators = { etag: resource.etag, lastModifiedMs: resource.lastModified?.getTime() };

  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return bodyless(405, refusalHeaders(resource, { allow: 'GET, HEAD' }));
  }
  const verdict = evaluatePreconditions(request.headers, validators, nowMs);
  if (verdict === 'precondition-failed') return bodyless(412, refusalHeaders(resource, {}));
  if (verdict === 'not-modified') return bodyless(304, notModifiedHeaders(resource, nowMs));

  const headers = contentHeaders(resource, nowMs);
  if (totalBytes === undefined) {
    return { status: 200, headers, stretches: [{ startByte: 0, endByte: Number.MAX_SAFE_INTEGER }] };
  }
  headers.set('accept-ranges', 'bytes');
  const mayRange = request.method === 'GET' && ifRangeHolds(request.headers, validators, nowMs);
  const ranges = mayRange ? parseRange(request.headers.get('range'), totalBytes) : 'ignored';
  if (ranges === 'unsatisfiable') {
    return bodyless(416, refusalHeaders(resource, { 'content-range': formatUnsatisfied(totalBytes) }));
  }
  if (ranges !== 'ignored') return partial(ranges, totalBytes, headers);
  headers.set('content-length', String(totalBytes));
  return { status: 200, headers, stretches: totalBytes === 0 ? [] : [{ startByte: 0, endByte: totalBytes }] };
}

function partial(ranges: readonly ByteRange[], totalBytes: number, headers: Headers): Answer {
  const [only] = ranges;
  let stretches: readonly Stretch[] = ranges;
  if (ranges.length === 1 && only !== undefined) {
    headers.set('content-range', formatContentRange(only, totalBytes));
  } else {
    const boundary = randomBoundary();
    stretches = multipartStretches(ranges, { totalBytes, contentType: headers.get('content-type'), boundary });
    headers.set('content-type', `multipart/byteranges; boundary=${boundary}`);
  }
  headers.set('content-length', String(stretches.reduce((sum, stretch) => sum + stretchBytes(stretch), 0)));
  return { status: 206, headers, stretches };
}

const OURS = ['content-length', 'content-range', 'accept-ranges'];
const OF_CONTENT = ['content-type', 'content-encoding', 'content-language', 'content-disposition'];
const OF_CACHING = ['cache-control', 'expires', 'etag', 'last-modified'];

function contentHeaders({ headers: own, etag, lastModified, contentType }: RangeResource, nowMs: number): Headers {
  const headers = new Headers(own);
  for (const name of OURS) headers.delete(name);
  if (contentType !== undefined) headers.set('content-type', contentType);
  if (etag !== undefined) headers.set('etag', etag);
  // RFC 9110, 8.8.2.1: never later than the message itself.
  if (lastModified !== undefined) headers.set('last-modified', formatHttpDate(Math.min(lastModified.getTime(), nowMs)));
  return headers;
}

/** What brings a stored response up to date, and nothing that describes a content which is not sent. */
function notModifiedHeaders(resource: RangeResource, nowMs: number): Headers {
  const headers = contentHeaders(resource, nowMs);
  for (const name of OF_CONTENT) headers.delete(name);
  return headers;
}

/** A refusal must not be cached as if it were the content, but keeps headers like those that let a page read it. */
function refusalHeaders(resource: RangeResource, extra: Record<string, string>): Headers {
  const headers = new Headers(resource.headers);
  for (const name of [...OURS, ...OF_CONTENT, ...OF_CACHING]) headers.delete(name);
  headers.set('content-length', '0');
  for (const [name, value] of Object.entries(extra)) headers.set(name, value);
  return headers;
}
