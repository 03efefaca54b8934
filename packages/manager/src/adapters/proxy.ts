/// <reference lib="esnext.disposable" preserve="true" />
import { checkFunction, isEntityTag, type MaybePromise, rangeResponse } from '@chunks/base';
import { type BadOriginError, isManagerError, type ManagerError } from '../errors.ts';
import type { ChunkManager } from '../manager.ts';
import type { CachedFile } from '../types.ts';

export interface ProxyOptions {
  manager: Pick<ChunkManager, 'openFile'>;
  /** Which file a request asks for; undefined is a 404. */
  fileIdOf(request: Request): MaybePromise<string | undefined>;
  /** The Content-Type of a file. @default none is sent */
  contentTypeOf?: ((fileId: string) => string | undefined) | undefined;
  /** As `openFile`'s: how old an answer of the origin's may be. @default Infinity: asked once a process */
  maxAgeMs?: number | undefined;
  /** The longest wait for the next byte before a 503. @default 30_000 */
  timeoutMs?: number | undefined;
}

/** A file that changes again with every look at it is not served. */
const MAX_LOOKS = 3;
const RETRY_AFTER_SECONDS = 1;

const STATUS = {
  WAIT_TIMEOUT: 503,
  DISK_BUDGET: 503,
  MANAGER_CLOSED: 503,
  GENERATION_CHANGED: 503,
  UNKNOWN_FILE: 404,
  RANGE_UNSATISFIABLE: 416,
  CHUNK_FAILED: 502,
  BAD_ORIGIN: 502,
} as const;

/** RFC 9457. */
function problem(status: number, title: string, headers: Record<string, string>, detail?: string): Response {
  const body = JSON.stringify({ type: 'about:blank', title, status, ...(detail === undefined ? {} : { detail }) });
  return new Response(body, { status, headers: { 'content-type': 'application/problem+json', ...headers } });
}

/** What the origin says is not there is not there: no gateway's fault. */
function isMissingAtOrigin(error: ManagerError): boolean {
  const { code, status } = (error.code === 'CHUNK_FAILED' ? error.cause : error) as Partial<BadOriginError>;
  return code === 'BAD_ORIGIN' && (status === 404 || status === 410);
}

function problemOf(error: ManagerError): Response {
  const status = isMissingAtOrigin(error) ? 404 : STATUS[error.code];
  const headers: Record<string, string> = status === 503 ? { 'retry-after': String(RETRY_AFTER_SECONDS) } : {};
  return problem(status, error.code, headers, error.message);
}

/** A strong ETag of the origin's is one here too; anything else says only that it looks the same. */
const etagOf = ({ generation }: CachedFile): string =>
  isEntityTag(generation) ? generation : `W/"${encodeURIComponent(generation)}"`;

/**
 * The pieces of a stream, of which the first is here before this resolves: until then a failure can still become a
 * status.
 */
async function afterFirst(stream: ReadableStream<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const reader = stream.getReader();
  const first = await reader.read();
  async function* rest(): AsyncGenerator<Uint8Array> {
    try {
      for (let piece = first; !piece.done; piece = await reader.read()) yield piece.value;
    } finally {
      await reader.cancel();
    }
  }
  return rest();
}

/**
 * A handler that serves files through the manager, by the rules of RFC 9110 for ranges and preconditions. The client
 * that disconnects withdraws what its request wanted. Errors are problem JSON: 404 for a file that is unknown here or
 * at the origin, 503 with Retry-After when nothing came for `timeoutMs`, 502 when the origin fails. Once the first byte
 * was sent, a failure cuts the body; it is never padded and never goes on with another version.
 *
 * @throws TypeError naming the option
 * @example
 * const proxy = createProxy({ manager, fileIdOf: (request) => new URL(request.url).pathname.slice(1) || undefined });
 * export default { fetch: proxy };
 */
export function createProxy(o: ProxyOptions): (request: Request) => Promise<Response> {
  checkFunction('fileIdOf', o.fileIdOf);
  checkFunction('manager.openFile', o.manager?.openFile);
  const { manager, maxAgeMs, timeoutMs } = o;

  const serve = async (request: Request, id: string): Promise<Response> => {
    const file = await manager.openFile({ id, maxAgeMs, signal: request.signal });
    return rangeResponse(request, {
      totalBytes: file.totalBytes,
      etag: etagOf(file),
      contentType: o.contentTypeOf?.(id),
      read: (range, signal) => afterFirst(file.read(range, { signal, timeoutMs })),
    });
  };

  return async (request) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return problem(405, 'Method Not Allowed', { allow: 'GET, HEAD' });
    }
    const id = await o.fileIdOf(request);
    if (id === undefined || id === '') return problem(404, 'Not Found', {});
    for (let look = 1; ; look++) {
      try {
        return await serve(request, id);
      } catch (error) {
        if (!isManagerError(error)) throw error;
        // Nothing was sent yet: the new version can be served as if it had been there all along.
        if (error.code !== 'GENERATION_CHANGED' || look === MAX_LOOKS) return problemOf(error);
      }
    }
  };
}
