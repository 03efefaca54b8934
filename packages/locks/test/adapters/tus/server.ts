import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type Server as HttpServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileStore } from '@tus/file-store';
import { type Locker, Server } from '@tus/server';
import { Upload } from 'tus-js-client';

export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly offset: number;
}

/** A request that is being sent. */
export interface Sending {
  /** Rejects when the connection was cut. */
  readonly answer: Promise<Answer>;
  write(bytes: Uint8Array): void;
  end(bytes?: Uint8Array): void;
  /** The client is gone. */
  cut(): void;
}

/** A real server over real files, on a port of its own. */
export class TusServer {
  readonly folder: string;
  readonly uploads: string;
  /** How many requests write to one upload at once, and how many at most did. */
  writing = 0;
  mostWriting = 0;
  finished = 0;
  readonly #http: HttpServer;

  private constructor(http: HttpServer, folder: string) {
    this.#http = http;
    this.folder = folder;
    this.uploads = `http://127.0.0.1:${(http.address() as AddressInfo).port}/files`;
  }

  static async start(locker: Locker, options: { folder?: string; lockDrainTimeout?: number } = {}): Promise<TusServer> {
    const { folder = mkdtempSync(join(tmpdir(), 'locks-tus-')), lockDrainTimeout = 30 } = options;
    let server: TusServer | undefined;
    const datastore = new FileStore({ directory: folder });
    const write = datastore.write.bind(datastore);
    datastore.write = async (...all) => {
      const own = server as TusServer;
      own.mostWriting = Math.max(own.mostWriting, ++own.writing);
      try {
        return await write(...all);
      } finally {
        own.writing--;
      }
    };
    const onUploadFinish = async (): Promise<object> => {
      (server as TusServer).finished++;
      return {};
    };
    const tus = new Server({ path: '/files', datastore, locker, lockDrainTimeout, onUploadFinish });
    const http = await new Promise<HttpServer>((resolve) => {
      const listening: HttpServer = tus.listen(0, '127.0.0.1', () => resolve(listening));
    });
    server = new TusServer(http, folder);
    return server;
  }

  async close(): Promise<void> {
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** @returns the new upload's id */
  async create(length: number): Promise<string> {
    const { headers, answer } = this.#send('POST', '', { 'Upload-Length': `${length}` });
    await answer;
    return String((await headers).location)
      .split('/')
      .pop() as string;
  }

  patch(id: string, offset: number, length: number): Sending {
    return this.#send('PATCH', `/${id}`, {
      'Upload-Offset': `${offset}`,
      'Content-Type': 'application/offset+octet-stream',
      'Content-Length': `${length}`,
    });
  }

  head(id: string): Promise<Answer> {
    return this.#send('HEAD', `/${id}`, {}, true).answer;
  }

  read(id: string): Buffer {
    return readFileSync(join(this.folder, id));
  }

  /** The whole of a client's upload, with its retries. @returns the URL it ended at */
  upload(bytes: Uint8Array, options: Partial<Upload['options']> = {}): Promise<string> {
    return new Promise((resolve, reject) => {
      const upload = new Upload(Buffer.from(bytes), {
        endpoint: this.uploads,
        retryDelays: Array.from({ length: 100 }, () => 20),
        ...options,
        onError: reject,
        onSuccess: () => resolve(upload.url ?? ''),
      });
      upload.start();
    });
  }

  #send(
    method: string,
    path: string,
    headers: Record<string, string>,
    isWhole = method === 'POST',
  ): Sending & { headers: Promise<IncomingMessage['headers']> } {
    const sent = request(`${this.uploads}${path}`, {
      method,
      agent: false,
      headers: { 'Tus-Resumable': '1.0.0', ...headers },
    });
    const response = new Promise<IncomingMessage>((resolve, reject) => {
      sent.on('response', resolve).on('error', reject);
    });
    const answer = response.then(async (message) => {
      const chunks: Buffer[] = [];
      for await (const chunk of message) chunks.push(chunk as Buffer);
      const offset = Number(message.headers['upload-offset'] ?? Number.NaN);
      return { status: message.statusCode ?? 0, body: Buffer.concat(chunks).toString(), offset };
    });
    const all = response.then((message) => message.headers);
    for (const one of [answer, all]) one.catch(() => undefined);
    if (isWhole) sent.end();
    else sent.flushHeaders();
    return {
      answer,
      headers: all,
      write: (bytes) => void sent.write(bytes),
      end: (bytes) => void sent.end(bytes),
      cut: () => void sent.destroy(),
    };
  }
}
