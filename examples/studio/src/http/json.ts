import { HttpProblem } from './problem.ts';

const MAX_JSON_BYTES = 64 * 1024;

const tooLarge = (): never => {
  throw new HttpProblem(413, 'json-too-large', `A JSON body here is at most ${MAX_JSON_BYTES} bytes long`);
};

/** The object in a JSON body: bounded while it is read, because Content-Length may be absent or wrong. */
export async function readJson(request: Request): Promise<Readonly<Record<string, unknown>>> {
  // A form posted from a foreign page cannot have this type, so it cannot write even where Origin is not sent.
  const type = request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') {
    throw new HttpProblem(415, 'not-json', 'The body must be JSON, with Content-Type: application/json');
  }
  if (Number(request.headers.get('content-length')) > MAX_JSON_BYTES) tooLarge();
  let text = '';
  const decoder = new TextDecoder();
  for await (const piece of request.body ?? []) {
    text += decoder.decode(piece, { stream: true });
    if (text.length > MAX_JSON_BYTES) tooLarge();
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new HttpProblem(400, 'bad-json', `The body is not JSON: ${(cause as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HttpProblem(400, 'bad-json', 'The body must be a JSON object');
  }
  return value as Record<string, unknown>;
}

const refuse = (field: string, rule: string, value: unknown): never => {
  // Only plain values are shown: to write out arrays nested thousands deep takes more stack than there is.
  const shown = typeof value === 'object' && value !== null ? 'no plain value' : JSON.stringify(value)?.slice(0, 80);
  throw new HttpProblem(400, 'bad-field', `${field} must be ${rule}, but is ${shown ?? 'absent'}`);
};

/** An integer field within limits, both included. */
export function integerField(body: Readonly<Record<string, unknown>>, field: string, min: number, max: number): number {
  const value = body[field];
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
    return refuse(field, `an integer from ${min} to ${max}`, value);
  }
  return value;
}

/** A string field that matches; `rule` says in words what the pattern asks. */
export function textField(
  body: Readonly<Record<string, unknown>>,
  field: string,
  pattern: RegExp,
  rule: string,
): string {
  const value = body[field];
  return typeof value === 'string' && pattern.test(value) ? value : refuse(field, rule, value);
}

/** One of the listed words. */
export function wordField<const W extends string>(
  body: Readonly<Record<string, unknown>>,
  field: string,
  words: readonly W[],
): W {
  const value = body[field];
  return words.includes(value as W) ? (value as W) : refuse(field, `one of ${words.join(', ')}`, value);
}

/** A label for people. It never becomes a path, but one that looks like a path is a mistake or an attack: refused. */
export function labelField(body: Readonly<Record<string, unknown>>, field: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it keeps out
  const label = /^(?!\.{1,2}$)[^\u0000-\u001f\u007f/\\]{1,255}$/;
  return textField(body, field, label, 'a file name of 1 to 255 characters without / \\ or control characters');
}

export function jsonResponse(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers },
  });
}
