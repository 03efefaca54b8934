import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

type Front = (url: string, init: RequestInit) => Promise<Response>;

/** A front such as `conditionalPutFront` behind a real socket. Where the front throws, the connection breaks. */
export class FrontServer {
  readonly #front: Front;
  readonly #server: Server;

  private constructor(front: Front) {
    this.#front = front;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(front: Front): Promise<FrontServer> {
    const server = new FrontServer(front);
    await once(server.#server.listen(0, '127.0.0.1'), 'listening');
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** May be called twice. */
  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((closed) => this.#server.close(() => closed()));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url, headers, socket } = request;
    try {
      const body = await text(request);
      const init = { method, headers: headers as Record<string, string>, ...(body !== '' && { body }) };
      const answer = await this.#front(`http://front.test${url}`, init);
      response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
    } catch {
      socket.destroy();
    }
  }
}
