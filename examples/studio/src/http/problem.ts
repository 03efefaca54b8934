import type { Problem } from '../protocol.ts';

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Token required',
  403: 'Forbidden',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  411: 'Length required',
  412: 'Precondition failed',
  413: 'Too large',
  415: 'Unsupported media type',
  416: 'Range not satisfiable',
  429: 'Too many',
  500: 'Internal error',
  502: 'Bad origin',
  503: 'Busy',
  507: 'Insufficient storage',
};

/** A refusal that a client is told about: thrown anywhere in a handler, answered as problem JSON. */
export class HttpProblem extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  /** @param code Stable; becomes the problem's `type`, for programs. @param detail For people. */
  constructor(status: number, code: string, detail: string, headers: Readonly<Record<string, string>> = {}) {
    super(detail);
    this.name = 'HttpProblem';
    this.status = status;
    this.code = code;
    this.headers = headers;
  }

  toResponse(): Response {
    const problem: Problem = {
      type: `urn:chunks:problem:${this.code}`,
      title: TITLES[this.status] ?? 'Error',
      status: this.status,
      detail: this.message,
    };
    const headers = { ...this.headers, 'content-type': 'application/problem+json', 'cache-control': 'no-store' };
    return new Response(JSON.stringify(problem), { status: this.status, headers });
  }
}

// What the packages' stable error codes mean to somebody who speaks HTTP.
const STATUS_OF: Readonly<Record<string, number>> = {
  SIZE_MISMATCH: 400,
  DIGEST_MISMATCH: 400,
  UNSAFE_PATH: 400,
  UNKNOWN_FILE: 404,
  MISSING_CHUNKS: 409,
  EXTRA_CHUNKS: 409,
  DUPLICATE_CHUNKS: 409,
  ASSEMBLY_BUSY: 409,
  UPDATE_CONFLICT: 503,
  UPDATE_TIMEOUT: 503,
  UPDATE_AMBIGUOUS: 503,
  STORE_UNAVAILABLE: 503,
  PENDING_FULL: 503,
  LOCK_TIMEOUT: 503,
  LOCK_CLOSED: 503,
  LOCK_QUEUE_FULL: 503,
  LOCK_LOST: 503,
  WAIT_TIMEOUT: 503,
  MANAGER_CLOSED: 503,
  GENERATION_CHANGED: 503,
  BAD_ORIGIN: 502,
  CHUNK_FAILED: 502,
  INSUFFICIENT_SPACE: 507,
};

/** `code` of any error, however deep libraries wrapped it. */
export function codesOf(error: unknown): string[] {
  const codes: string[] = [];
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    if ('code' in at && typeof at.code === 'string') codes.push(at.code);
  }
  return codes;
}

/** The refusal that fits an error; undefined for one that nobody foresaw. */
export function asProblem(error: unknown): HttpProblem | undefined {
  if (error instanceof HttpProblem) return error;
  const codes = codesOf(error);
  const message = error instanceof Error ? error.message : String(error);
  if (codes.includes('ENOSPC') || codes.includes('EDQUOT')) {
    // The system's own words name paths of this machine.
    return new HttpProblem(507, 'disk-full', 'The disk of the server is full');
  }
  const code = codes[0];
  const status = code === undefined ? undefined : STATUS_OF[code];
  if (code === undefined || status === undefined) return undefined;
  const name = code.toLowerCase().replaceAll('_', '-');
  return new HttpProblem(status, name, message, status === 503 ? { 'retry-after': '1' } : {});
}

/** Range responses refuse without a body; here every refusal says what is wrong. */
export function inWords(response: Response): Response {
  if (response.status < 400 || response.body !== null) return response;
  const range = response.status === 416;
  const code = range ? 'no-such-range' : 'precondition-failed';
  const detail = range ? 'The file has no byte of that range' : 'A condition of the request does not hold';
  const { 'content-length': _, ...headers } = Object.fromEntries(response.headers);
  return new HttpProblem(response.status, code, detail, headers).toResponse();
}
