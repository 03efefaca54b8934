import { type Clock, systemClock } from '../clock.ts';

/**
 * What goes wrong with one request. `'unreachable'`: it never arrives. `'lost'`: it is carried out, and its answer never
 * arrives. `'unavailable'`: 503, nothing done. `'broken'`: 500, although it was carried out. `'conflict'`: 409, nothing
 * done. `'precondition'`: 412, nothing done, although the condition may hold. `'missing'`: 404, nothing done, although
 * the object may be there. `'unconditional'`: carried out as if it had no condition.
 */
export type FrontFault =
  | 'unreachable'
  | 'lost'
  | 'unavailable'
  | 'broken'
  | 'conflict'
  | 'precondition'
  | 'missing'
  | 'unconditional';

/** Whose time the front tells, and what goes wrong. */
export interface ConditionalPutFrontOptions {
  /** @default the host's clock */
  clock?: Clock | undefined;
  /** Asked for each request, in the order of arrival; undefined: all goes well. Counts requests, too. */
  fault?: ((request: Request) => FrontFault | undefined) | undefined;
  /** So many objects stand in one answer to a listing. @default 1_000, as with S3 */
  pageSize?: number | undefined;
}

/** `fetch` to the front. */
export type ConditionalPutFront = (input: Request | string, init?: RequestInit) => Promise<Response>;

interface Stored {
  readonly content: string;
  readonly etag: string;
  readonly modified: string;
}

// Dates in whole seconds, as HTTP has them.
const httpDate = (ms: number): string => new Date(ms).toUTCString();

/** Out of the content alone, as S3 makes them: what was there before has its old etag again. */
async function etagOf(content: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(content));
  const bytes = new Uint8Array(digest).subarray(0, 16);
  return `"${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}"`;
}

/** Why a write may not be. */
function refusedWrite(request: Request, there: Stored | undefined): [status: number, code: string] | undefined {
  const [match, noneMatch] = [request.headers.get('if-match'), request.headers.get('if-none-match')];
  if (noneMatch !== null && noneMatch !== '*') return [501, 'NotImplemented'];
  if (noneMatch === '*' && there) return [412, 'PreconditionFailed'];
  if (match !== null && !there) return [404, 'NoSuchKey'];
  if (match !== null && match !== there?.etag) return [412, 'PreconditionFailed'];
  return undefined;
}

// What these say, they say before anything is done.
const REFUSALS: { readonly [fault in FrontFault]?: readonly [status: number, code: string] } = {
  unavailable: [503, 'SlowDown'],
  conflict: [409, 'ConditionalRequestConflict'],
  precondition: [412, 'PreconditionFailed'],
  missing: [404, 'NoSuchKey'],
};

const xmlOf = (text: string): string => text.replaceAll(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** A page of ListObjectsV2. @param paths of all objects, as they stand in URLs */
function listed(paths: Iterable<string>, { pathname, searchParams }: URL, pageSize: number): string {
  const bucket = pathname.endsWith('/') ? pathname : `${pathname}/`;
  const prefix = searchParams.get('prefix') ?? '';
  const token = searchParams.get('continuation-token');
  // In Base64, so that one that is not encoded on its way comes back as another.
  const after = token === null ? '' : decodeURIComponent(atob(token));
  const names = [...paths]
    .filter((path) => path.startsWith(bucket))
    .map((path) => decodeURIComponent(path.slice(bucket.length)))
    .filter((name) => name.startsWith(prefix) && name > after)
    .sort();
  const page = names.slice(0, pageSize);
  const isTruncated = page.length < names.length;
  const next = isTruncated ? btoa(encodeURIComponent(page.at(-1) ?? '')) : undefined;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult>',
    `<KeyCount>${page.length}</KeyCount><IsTruncated>${isTruncated}</IsTruncated>`,
    ...page.map((name) => `<Contents><Key>${xmlOf(name)}</Key></Contents>`),
    ...(next === undefined ? [] : [`<NextContinuationToken>${next}</NextContinuationToken>`]),
    '</ListBucketResult>',
  ].join('');
}

/**
 * The small part of S3 that conditional writes need, in memory, with the faults that a network and a store have: GET, PUT and
 * DELETE of objects, `If-Match` and `If-None-Match: *` on writes and removals, ListObjectsV2 in pages, strong ETags, dates
 * in whole seconds. It checks no signature. Runs wherever `Request` and `Response` are.
 * @example
 * const front = conditionalPutFront({ fault: (request) => (request.method === 'PUT' ? 'lost' : undefined) });
 * // For whatever speaks to a bucket by a `fetch`: each PUT is carried out, and its reply lost.
 * await front('https://s3.test/bucket/name', { method: 'PUT', body: '1' });
 */
export function conditionalPutFront(options: ConditionalPutFrontOptions = {}): ConditionalPutFront {
  const { clock = systemClock, fault = () => undefined, pageSize = 1_000 } = options;
  const objects = new Map<string, Stored>();

  const answer = (status: number, code?: string, headers: Record<string, string> = {}, body = ''): Response => {
    const xml = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code></Error>`;
    const text = code === undefined ? body : xml;
    const content = status === 204 ? null : text;
    return new Response(content, { status, headers: { ...headers, date: httpDate(clock.now()) } });
  };

  const write = (name: string, stored: Stored | undefined): Response => {
    if (stored) objects.set(name, stored);
    else objects.delete(name);
    return stored ? answer(200, undefined, { etag: stored.etag }) : answer(204);
  };

  async function carryOut(request: Request, isHeeded: boolean): Promise<Response> {
    const url = new URL(request.url);
    const name = url.pathname;
    const content = await request.text();
    const etag = await etagOf(content);
    // From here on without a pause: a condition and its write are one step.
    const there = objects.get(name);
    if (request.method === 'GET') {
      if (url.searchParams.get('list-type') === '2')
        return answer(200, undefined, {}, listed(objects.keys(), url, pageSize));
      if (!there) return answer(404, 'NoSuchKey');
      return answer(200, undefined, { etag: there.etag, 'last-modified': there.modified }, there.content);
    }
    if (request.method !== 'PUT' && request.method !== 'DELETE') return answer(405, 'MethodNotAllowed');
    const refused = isHeeded ? refusedWrite(request, there) : undefined;
    if (refused) return answer(...refused);
    const isPut = request.method === 'PUT';
    return write(name, isPut ? { content, etag, modified: httpDate(clock.now()) } : undefined);
  }

  return async (input, init) => {
    const request = new Request(input, init);
    const wrong = fault(request);
    if (wrong === 'unreachable') throw new TypeError('the front was not reached');
    const refusal = wrong && REFUSALS[wrong];
    if (refusal) return answer(...refusal);
    const response = await carryOut(request, wrong !== 'unconditional');
    if (wrong === 'lost') throw new TypeError('the answer of the front was lost');
    return wrong === 'broken' ? answer(500, 'InternalError') : response;
  };
}
