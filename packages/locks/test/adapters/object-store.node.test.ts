import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { conditionalPutFront } from '@chunks/locks/testing';
import { afterEach, expect, test } from 'vitest';
import { objectStoreLeases, s3Bucket } from '../../src/adapters/object-store.ts';
import type { LeaseDriver } from '../../src/lease-driver.ts';
import { ask as askFor } from '../../src/testing/lease-bench.ts';

const ask = (driver: LeaseDriver, holder: string): ReturnType<LeaseDriver['acquire']> =>
  askFor(driver, 'a/b c', holder);

/** The front behind a real server, whose connections can be cut. */
class S3Server {
  readonly #front = conditionalPutFront();
  readonly #server: Server = createServer((request, response) => void this.#answer(request, response));
  /** Before a write is carried out, or after. */
  cut: 'before' | 'after' | undefined;

  async start(): Promise<string> {
    await new Promise<void>((listening) => this.#server.listen(0, '127.0.0.1', listening));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/bucket`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    const cut = request.method === 'PUT' ? this.cut : undefined;
    if (cut === 'before') return void request.socket.destroy();
    const answer = await this.#front(`http://front.test${request.url}`, {
      method: request.method ?? '',
      headers: request.headers as Record<string, string>,
      ...(body !== '' && { body }),
    });
    if (cut === 'after') return void request.socket.destroy();
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(await answer.text());
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((closed) => this.#server.close(() => closed()));
  }
}

let server: S3Server;
afterEach(() => server.stop());

async function drivers(): Promise<[LeaseDriver, LeaseDriver]> {
  server = new S3Server();
  const url = await server.start();
  return [objectStoreLeases(s3Bucket({ url })), objectStoreLeases(s3Bucket({ url }))];
}

test('over HTTP, with the host’s own fetch', async () => {
  const [here, there] = await drivers();
  const answer = await ask(here, 'a');
  const token = 'token' in answer ? answer.token : 0;
  expect(await ask(there, 'b')).toMatchObject({ busy: true, holder: 'a' });
  expect(await here.renew('a/b c', 'a', token, 60_000)).toBe(true);
  expect(await here.release('a/b c', 'a', token)).toBe(true);
  expect(await ask(there, 'b')).toHaveProperty('token');
});

test('a connection cut in mid-acquire, before or after the write, is no answer', async () => {
  const [driver] = await drivers();
  await ask(driver, 'first');
  for (const cut of ['before', 'after'] as const) {
    server.cut = cut;
    await expect(askFor(driver, `cut ${cut}`, 'a')).rejects.toThrow('fetch failed');
    server.cut = undefined;
    expect(await askFor(driver, `cut ${cut}`, 'a')).toHaveProperty('token');
  }
});

test('a server that is down is out of reach', async () => {
  const [driver] = await drivers();
  await server.stop();
  await expect(ask(driver, 'a')).rejects.toThrow('fetch failed');
  await server.start();
});
