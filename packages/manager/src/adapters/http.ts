/// <reference lib="esnext.disposable" preserve="true" />
import {
  type Clock,
  checkFunction,
  checkNumber,
  formatRange,
  isEntityTag,
  onAbort,
  parseContentRange,
  systemClock,
} from '@chunks/base';
import { BadOriginError } from '../errors.ts';
import type { DescribeFile, FetchChunk, FetchContext, FetchJob, FileFacts } from '../types.ts';

export interface HttpFetcherOptions {
  /** Where a file lies. */
  url(fileId: string): string | URL;
  /** @default the platform's */
  fetch?: typeof fetch | undefined;
  /** Sent with every request, such as an Authorization. */
  headers?: ConstructorParameters<typeof Headers>[0] | undefined;
  /** An answer of which nothing comes for this long has failed. @default 30_000 */
  stallTimeoutMs?: number | undefined;
  clock?: Clock | undefined;
}

// Worth another try; every other 4xx will be the same again.
const TRANSIENT = new Set([408, 425, 429]);

/**
 * What tells versions apart: a strong ETag alone; else all that there is, because a weak one does not promise the same
 * bytes; null without any.
 */
function factsOf(headers: Headers, totalBytes: number | undefined): FileFacts {
  const etag = headers.get('etag') ?? '';
  if (isEntityTag(etag) && !etag.startsWith('W/')) return { totalBytes, generation: etag };
  const modified = headers.get('last-modified');
  if (etag === '' && modified === null) return { totalBytes, generation: null };
  // Without the length this is not what a full answer would say: better to say nothing.
  if (totalBytes === undefined) return {};
  return { totalBytes, generation: JSON.stringify({ length: totalBytes, modified, etag }) };
}

const strongTag = (generation: string | undefined): string | undefined =>
  generation?.startsWith('"') ? generation : undefined;

const lengthOf = (headers: Headers): number | undefined => {
  const field = headers.get('content-length') ?? '';
  return /^\d+$/.test(field) && Number.isSafeInteger(Number(field)) ? Number(field) : undefined;
};

class OriginRequest {
  readonly #o: HttpFetcherOptions;
  readonly #controller = new AbortController();
  readonly #unlisten: () => void;
  readonly fileId: string;
  #cancelStall: () => void = () => undefined;

  constructor(o: HttpFetcherOptions, fileId: string, signal: AbortSignal) {
    this.#o = o;
    this.fileId = fileId;
    this.#unlisten = onAbort(signal, () => this.#controller.abort(signal.reason));
  }

  async send(method: 'GET' | 'HEAD', more: Record<string, string | undefined>): Promise<Response> {
    const headers = new Headers(this.#o.headers);
    // Ranges of a compressed answer would count other bytes.
    headers.set('accept-encoding', 'identity');
    for (const [name, value] of Object.entries(more)) if (value !== undefined) headers.set(name, value);
    this.#watch();
    const request = { method, headers, signal: this.#controller.signal };
    const response = await (this.#o.fetch ?? fetch)(this.#o.url(this.fileId), request).catch((cause: unknown) => {
      throw this.#failure('could not be reached', cause);
    });
    const encoding = response.headers.get('content-encoding') ?? 'identity';
    if (encoding !== 'identity') throw this.problem(`sent content-encoding ${encoding}, of which no part can be asked`);
    return response;
  }

  async *body(response: Response): AsyncGenerator<Uint8Array> {
    const reader = response.body?.getReader();
    if (reader === undefined) return;
    const { signal } = this.#controller;
    // Not every fetch breaks a body off that is being read.
    const unlisten = onAbort(signal, () => void reader.cancel(signal.reason).catch(() => undefined));
    try {
      for (;;) {
        this.#watch();
        const { done, value } = await reader.read().catch((cause: unknown) => {
          throw this.#failure('the body broke off', cause);
        });
        signal.throwIfAborted();
        if (done) return;
        // Storing may take its time: only the origin is being timed.
        this.#cancelStall();
        yield value;
      }
    } finally {
      unlisten();
    }
  }

  /** Lets go of the connection, also of a body that nobody read. */
  end(): void {
    this.#cancelStall();
    this.#unlisten();
    this.#controller.abort(this.problem('nobody reads this answer any more'));
  }

  problem(problem: string, o: { status?: number; retryable?: boolean; cause?: unknown } = {}): BadOriginError {
    return new BadOriginError({ fileId: this.fileId, problem, ...o });
  }

  #failure(problem: string, cause: unknown): unknown {
    const { signal } = this.#controller;
    // The caller's abort, or the stall, is the reason; what fetch made of it is not.
    return signal.aborted ? signal.reason : this.problem(problem, { cause });
  }

  #watch(): void {
    const stallTimeoutMs = this.#o.stallTimeoutMs ?? 30_000;
    this.#cancelStall();
    this.#cancelStall = (this.#o.clock ?? systemClock).after(stallTimeoutMs, () => {
      this.#controller.abort(this.problem(`sent nothing for ${stallTimeoutMs} ms`));
    });
  }
}

/** Checks that the answer is the part that was asked for. @returns how many bytes its body must have */
function accept(request: OriginRequest, job: FetchJob, response: Response, setFile: FetchContext['setFile']): number {
  const { status, headers } = response;
  const { resumeFromByte, range } = job;
  if (status === 206) {
    const field = headers.get('content-range');
    const said = parseContentRange(field);
    const facts = factsOf(headers, said?.totalBytes);
    setFile(facts);
    const endByte = Math.min(range.endByte, said?.totalBytes ?? range.endByte);
    if (said?.range?.startByte === resumeFromByte && said.range.endByte === endByte) return endByte - resumeFromByte;
    throw request.problem(`asked for ${formatRange({ startByte: resumeFromByte, endByte })}, got ${field}`, { status });
  }
  if (status === 200) {
    const totalBytes = lengthOf(headers);
    setFile(factsOf(headers, totalBytes));
    if (totalBytes !== undefined && resumeFromByte === 0 && totalBytes <= range.endByte) return totalBytes;
    throw request.problem('sent the whole file (200) instead of the part asked for', { status });
  }
  if (status === 416) {
    const totalBytes = parseContentRange(headers.get('content-range'))?.totalBytes;
    if (totalBytes !== undefined) setFile(factsOf(headers, totalBytes));
    if (totalBytes === 0) return 0;
  }
  const retryable = status < 400 || status >= 500 || TRANSIENT.has(status);
  throw request.problem(`answered ${status}`, { status, retryable });
}

/**
 * Gets chunks from an HTTP origin that knows ranges: `Range`, and `If-Range` where it has a strong ETag. An answer that
 * is not exactly the part asked for is an error, and nothing of it is stored; a body that breaks off is resumed where
 * it ended. `describeFile` is a HEAD, with `If-None-Match` where something is stored.
 *
 * Versions are told apart by a strong ETag, else by length, Last-Modified and weak ETag together, else by length.
 * A request is made once: attempts and waits between them are the manager's.
 *
 * @throws TypeError | RangeError naming the option
 * @example
 * const origin = httpFetcher({ url: (fileId) => new URL(fileId, 'https://media.example/') });
 * const manager = new ChunkManager({ ...origin, store: memoryChunkStore() });
 */
export function httpFetcher(o: HttpFetcherOptions): { fetchChunk: FetchChunk; describeFile: DescribeFile } {
  checkFunction('url', o.url);
  if (o.fetch !== undefined) checkFunction('fetch', o.fetch);
  if (o.stallTimeoutMs !== undefined) checkNumber('stallTimeoutMs', o.stallTimeoutMs, 0);

  const fetchChunk: FetchChunk = async (job, { signal, write, setFile }) => {
    const request = new OriginRequest(o, job.fileId, signal);
    try {
      const response = await request.send('GET', {
        range: formatRange({ startByte: job.resumeFromByte, endByte: job.range.endByte }),
        'if-range': strongTag(job.generation),
      });
      const wanted = accept(request, job, response, setFile);
      let got = 0;
      for await (const bytes of request.body(response)) {
        got += bytes.byteLength;
        // The one past the end is refused by the manager too, which then throws away what came before it.
        await write(bytes);
      }
      if (got !== wanted) throw request.problem(`the body has ${got} bytes instead of ${wanted}`);
    } finally {
      request.end();
    }
  };

  const describeFile: DescribeFile = async ({ id, generation }, { signal }) => {
    const request = new OriginRequest(o, id, signal);
    try {
      const response = await request.send('HEAD', { 'if-none-match': strongTag(generation) });
      const { status, headers } = response;
      if (status === 304) return 'unchanged';
      if (status !== 200) {
        throw request.problem(`answered ${status} to HEAD`, {
          status,
          retryable: status >= 500 || TRANSIENT.has(status),
        });
      }
      const totalBytes = lengthOf(headers);
      if (totalBytes === undefined) throw request.problem('did not say how long the file is', { status });
      return factsOf(headers, totalBytes);
    } finally {
      request.end();
    }
  };

  return { fetchChunk, describeFile };
}
