import { type Deferred, deferred, onAbort } from '@chunks/base';
import { settle } from '@chunks/base/testing';
import type { FetchChunk, FetchContext, FetchJob } from '@chunks/manager';

/** Bytes that differ by place and by seed, and are never 0: a hole read as data shows. */
export function contentOf(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = 1 + ((i * 31 + seed * 101 + (i >>> 8) * 7) % 255);
  return bytes;
}

/** One call of fetchChunk that a test conducts: nothing comes unless the test gives it. */
export class Call {
  readonly job: FetchJob;
  readonly context: FetchContext;
  readonly end: Deferred<void> = deferred<void>();
  readonly #content: () => Uint8Array;
  #at: number;

  constructor(job: FetchJob, context: FetchContext, content: () => Uint8Array) {
    this.job = job;
    this.context = context;
    this.#at = job.resumeFromByte;
    this.#content = content;
  }

  get aborted(): boolean {
    return this.context.signal.aborted;
  }

  /** The next `count` bytes of the chunk, all that are left by default. */
  async give(count: number = Number.POSITIVE_INFINITY): Promise<void> {
    const end = Math.min(this.#at + count, this.job.range.endByte, this.#content().byteLength);
    const bytes = this.#content().slice(this.#at, end);
    this.#at = end;
    await this.context.write(bytes);
  }

  async finish(): Promise<void> {
    await this.give();
    this.end.resolve();
  }
}

/** An origin whose every call waits for the test. A call settles with its abort unless it is told to ignore it. */
export class ConductedOrigin {
  content: Uint8Array;
  readonly calls: Call[] = [];
  ignoresAbort = false;

  constructor(content: Uint8Array) {
    this.content = content;
  }

  /** The latest call for that chunk. */
  call(chunk: number): Call {
    const call = this.calls.findLast((each) => each.job.chunk === chunk);
    if (call === undefined) throw new Error(`chunk ${chunk} was never asked for`);
    return call;
  }

  get asked(): number[] {
    return this.calls.map((call) => call.job.chunk);
  }

  readonly fetchChunk: FetchChunk = async (job, context) => {
    const { content } = this;
    const call = new Call(job, context, () => content);
    this.calls.push(call);
    if (!this.ignoresAbort) onAbort(context.signal, () => call.end.reject(context.signal.reason));
    await call.end.promise;
  };
}

/** An origin that answers by itself, in pieces, and counts what it was asked for. */
export class EagerOrigin {
  content: Uint8Array;
  generation: string | null | undefined;
  pieceBytes = 7;
  readonly jobs: FetchJob[] = [];
  /** How often each byte was sent. */
  sent: Uint32Array;
  /** Throws, or returns how many bytes to send before it breaks off; called for every request. */
  fault: (request: number) => number | undefined = () => undefined;

  constructor(content: Uint8Array, generation?: string | null | undefined) {
    this.content = content;
    this.sent = new Uint32Array(content.byteLength);
    this.generation = generation;
  }

  replace(content: Uint8Array, generation: string | null | undefined): void {
    this.content = content;
    this.sent = new Uint32Array(content.byteLength);
    this.generation = generation;
  }

  readonly fetchChunk: FetchChunk = async (job, { signal, setFile, write }) => {
    this.jobs.push(job);
    const { content, generation, sent } = this;
    const until = this.fault(this.jobs.length);
    setFile({ totalBytes: content.byteLength, generation });
    const end = Math.min(job.range.endByte, content.byteLength);
    for (let at = job.resumeFromByte; at < end; at += this.pieceBytes) {
      if (until !== undefined && at - job.resumeFromByte >= until) throw new Error('the connection broke off');
      signal.throwIfAborted();
      const piece = content.slice(at, Math.min(at + this.pieceBytes, end));
      for (let byte = at; byte < at + piece.byteLength; byte++) sent[byte] = (sent[byte] as number) + 1;
      await write(piece);
      // The buffer is the fetcher's again: a store that kept it would now hold these zeros.
      piece.fill(0);
    }
  };
}

export async function readAll(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const reader = stream.getReader();
  for (let step = await reader.read(); !step.done; step = await reader.read()) parts.push(step.value);
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

/** The outcome of a promise as a value, so that a test can look at it before and after it settles. */
export function outcomeOf<T>(promise: Promise<T>): {
  state: 'pending' | 'done' | 'failed';
  value?: T;
  error?: unknown;
} {
  const outcome: { state: 'pending' | 'done' | 'failed'; value?: T; error?: unknown } = { state: 'pending' };
  promise.then(
    (value) => Object.assign(outcome, { state: 'done', value }),
    (error: unknown) => Object.assign(outcome, { state: 'failed', error }),
  );
  return outcome;
}

/** Lets chains of promises run to their end through a few layers of streams. */
export async function flush(): Promise<void> {
  for (let i = 0; i < 20; i++) await settle();
}
