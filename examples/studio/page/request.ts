import type { Problem } from '../src/protocol.ts';

/** A request that did not succeed: refused by the server with its own words, or never answered. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  /** 0 when there was no answer. */
  readonly status: number;
  readonly retryable: boolean;

  constructor(message: string, status: number, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
    this.retryable = status === 0 || status === 408 || status === 429 || status >= 500;
  }
}

const ANSWER_TIMEOUT_MS = 15_000;

/** `fetch` with an answer that is a success, or a {@link RequestError}; an abort rejects with its own reason. */
export async function request(
  path: string,
  init: RequestInit = {},
  timeoutMs: number = ANSWER_TIMEOUT_MS,
): Promise<Response> {
  const outer = init.signal ?? undefined;
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = outer === undefined ? timeout : AbortSignal.any([outer, timeout]);
  let response: Response;
  try {
    response = await fetch(path, { ...init, signal });
  } catch (cause) {
    outer?.throwIfAborted();
    throw new RequestError('The server does not answer.', 0, { cause });
  }
  if (response.ok) return response;
  throw new RequestError(await explanationOf(response), response.status);
}

async function explanationOf(response: Response): Promise<string> {
  try {
    const problem = (await response.json()) as Partial<Problem>;
    return problem.detail ?? problem.title ?? `The server answered ${response.status}.`;
  } catch {
    return `The server answered ${response.status}.`;
  }
}
