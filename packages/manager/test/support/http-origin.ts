import { rangeResponse } from '@chunks/base';

type Change = (response: Response, request: Request) => Response | Promise<Response>;

/** An HTTP origin without a network: it follows the rules, unless `change` makes it break them. */
export class HttpOrigin {
  content: Uint8Array;
  etag: string | undefined = '"v1"';
  lastModified: Date | undefined;
  readonly requests: Request[] = [];
  change: Change = (response) => response;
  pieceBytes = 16;

  constructor(content: Uint8Array) {
    this.content = content;
  }

  /** Of the GETs: what each asked for. */
  get ranges(): (string | null)[] {
    return this.requests.filter(({ method }) => method === 'GET').map(({ headers }) => headers.get('range'));
  }

  readonly fetch: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    request.signal.throwIfAborted();
    this.requests.push(request);
    const { content, etag, lastModified, pieceBytes } = this;
    async function* pieces(startByte: number, endByte: number): AsyncGenerator<Uint8Array> {
      for (let at = startByte; at < endByte; at += pieceBytes)
        yield content.slice(at, Math.min(at + pieceBytes, endByte));
    }
    const response = await rangeResponse(request, {
      totalBytes: content.byteLength,
      etag,
      lastModified,
      read: ({ startByte, endByte }) => pieces(startByte, endByte),
    });
    return this.change(response, request);
  };
}

/** The same answer with other headers, another status or another body. */
export function answerLike(
  response: Response,
  o: { status?: number; headers?: Record<string, string | null>; body?: BodyInit | null },
): Response {
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(o.headers ?? {})) {
    if (value === null) headers.delete(name);
    else headers.set(name, value);
  }
  return new Response(o.body === undefined ? response.body : o.body, { status: o.status ?? response.status, headers });
}
