import { createHash } from 'node:crypto';
import type { AssemblyReport, BatchView, OriginRequests, UploadStatus } from '../protocol.ts';
import type { Sample } from './samples.ts';

/** What the page does, without the page. */
export class Client {
  readonly url: string;
  readonly #headers: Readonly<Record<string, string>>;

  /** @param headers Sent with every request. */
  constructor(url: string, headers: Readonly<Record<string, string>> = {}) {
    this.url = url;
    this.#headers = headers;
  }

  create({ name, sizeBytes, contentType }: Sample): Promise<UploadStatus> {
    return this.json('POST', '/uploads', { name, sizeBytes, contentType });
  }

  status(id: string): Promise<UploadStatus> {
    return this.json('GET', `/uploads/${id}`);
  }

  /** @param sent Other bytes than the digest speaks of, for a slice that got corrupted on its way. @returns the status code */
  async putChunk(
    id: string,
    index: number,
    bytes: Uint8Array<ArrayBuffer>,
    sent: Uint8Array<ArrayBuffer> = bytes,
  ): Promise<number> {
    const digest = createHash('sha256').update(bytes).digest('base64');
    const response = await fetch(`${this.url}/uploads/${id}/chunks/${index}`, {
      method: 'PUT',
      headers: { ...this.#headers, 'content-digest': `sha-256=:${digest}:` },
      body: sent,
    });
    await response.arrayBuffer();
    return response.status;
  }

  assemble(id: string): Promise<AssemblyReport> {
    return this.json('POST', `/uploads/${id}/assemble`);
  }

  batch(): Promise<BatchView> {
    return this.json('GET', '/batches/studio');
  }

  play(id: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return fetch(`${this.url}/play/${id}`, { headers: { ...this.#headers, ...headers } });
  }

  async emptyCache(id: string): Promise<void> {
    const response = await fetch(`${this.url}/play/${id}/cache`, {
      method: 'DELETE',
      headers: this.#headers,
    });
    if (response.status !== 204) throw new Error(`Emptying the cache was answered ${response.status}`);
  }

  originRequests(id: string): Promise<OriginRequests> {
    return this.json('GET', `/origin/${id}/requests`);
  }

  async json<T>(method: string, path: string, body?: object): Promise<T> {
    const headers = { ...this.#headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
    const response = await fetch(this.url + path, { method, headers, body: JSON.stringify(body) ?? null });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} was answered ${response.status}: ${text}`);
    return JSON.parse(text) as T;
  }
}

/** Runs the tasks, so many at a time, in order of their start. */
export async function inParallel<T>(
  items: readonly T[],
  width: number,
  task: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) await task(items[at] as T);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
}
