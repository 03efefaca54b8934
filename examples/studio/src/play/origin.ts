import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { rangeResponse } from '@chunks/assemble/http';
import { Hono } from 'hono';
import { integerField, jsonResponse, readJson, wordField } from '../http/json.ts';
import { HttpProblem, inWords } from '../http/problem.ts';
import { parameter, route } from '../http/route.ts';
import type { OriginRequests, OriginSettings } from '../protocol.ts';
import { asMedia, type Library, type PlayableFile, playable } from './library.ts';
import { Pacer } from './pacer.ts';

type ByteRange = OriginRequests['ranges'][number];

const MAX_REMEMBERED = 10_000;

export interface OriginOptions {
  readonly library: Library;
  readonly settings: OriginSettings;
}

/** The far server that the cache reads from: the assembled files, as slow and as faulty as one likes. */
export class Origin {
  requests = 0;
  faults = 0;
  settings: OriginSettings;
  readonly #options: OriginOptions;
  readonly #pacer = new Pacer();
  /** Which bytes were asked for, by file: the proof that no chunk is fetched twice. */
  readonly #ranges = new Map<string, ByteRange[]>();

  constructor(options: OriginOptions) {
    this.#options = options;
    this.settings = options.settings;
    this.#pacer.setPace(options.settings.paceBytesPerSecond);
  }

  configure(settings: OriginSettings): void {
    this.settings = settings;
    this.#pacer.setPace(settings.paceBytesPerSecond);
  }

  rangesOf(id: string): readonly ByteRange[] {
    return this.#ranges.get(id) ?? [];
  }

  forget(id: string): void {
    this.#ranges.delete(id);
  }

  async respond(id: string, request: Request): Promise<Response> {
    const file = playable(this.#options.library, id);
    if (this.settings.latencyMs > 0) await sleep(this.settings.latencyMs, undefined, { signal: request.signal });
    const fault = request.method === 'GET' ? this.#nextFault() : 'none';
    if (fault === 'status503') throw new HttpProblem(503, 'origin-fault', 'The origin fails on purpose');
    const response = await rangeResponse(request, {
      totalBytes: file.sizeBytes,
      etag: `"${file.sha256}"`,
      contentType: file.contentType,
      read: (range, signal) => {
        this.#remember(id, range);
        return this.#send(file, range, fault === 'truncate', signal);
      },
    });
    return asMedia(inWords(response), file);
  }

  #nextFault(): OriginSettings['fault'] {
    this.requests++;
    const { fault, faultEvery } = this.settings;
    if (fault === 'none' || faultEvery === 0 || this.requests % faultEvery !== 0) return 'none';
    this.faults++;
    return fault;
  }

  #remember(id: string, range: ByteRange): void {
    let ranges = this.#ranges.get(id);
    if (ranges === undefined) this.#ranges.set(id, (ranges = []));
    if (ranges.length < MAX_REMEMBERED) ranges.push(range);
  }

  async *#send(
    file: PlayableFile,
    { startByte, endByte }: ByteRange,
    truncate: boolean,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const cutAt = truncate ? Math.floor((startByte + endByte) / 2) : endByte;
    const handle = await open(file.path, 'r');
    try {
      for (let at = startByte; at < cutAt; ) {
        const buffer = new Uint8Array(Math.min(this.#pacer.pieceBytes, cutAt - at));
        await this.#pacer.pass(buffer.byteLength, signal);
        signal.throwIfAborted();
        const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength, at);
        if (bytesRead === 0) throw new Error(`${file.id} is shorter than its record says`);
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
      if (truncate) throw new Error('The origin cuts the connection on purpose');
    } finally {
      await handle.close();
    }
  }
}

/** `/origin`: the files, what was asked of them, and the controls. */
export function originApp(origin: Origin): Hono {
  const app = new Hono();

  route(app, '/origin', {
    GET: () => jsonResponse(origin.settings),
    PUT: async (context) => {
      const body = await readJson(context.req.raw);
      const fault = wordField(body, 'fault', ['none', 'status503', 'truncate']);
      origin.configure({
        paceBytesPerSecond: integerField(body, 'paceBytesPerSecond', 0, 2 ** 40),
        latencyMs: integerField(body, 'latencyMs', 0, 60_000),
        fault,
        faultEvery: integerField(body, 'faultEvery', fault === 'none' ? 0 : 1, 10_000),
      });
      return jsonResponse(origin.settings);
    },
  });

  route(app, '/origin/:id', {
    GET: (context) => origin.respond(parameter(context, 'id'), context.req.raw),
  });

  route(app, '/origin/:id/requests', {
    GET: (context) => jsonResponse({ ranges: origin.rangesOf(parameter(context, 'id')) } satisfies OriginRequests),
  });

  return app;
}
