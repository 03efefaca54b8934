import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const SLICE_MS = 20;

/**
 * The line between the browser and the server: what the browser sends goes no faster than the pace, all its
 * connections together, as on a home connection; what the server sends is not slowed. Can be cut and mended.
 */
export class SlowLink {
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;
  #paceBytesPerSecond: number;
  #freeAtMs = 0;

  constructor(targetPort: number, paceBytesPerSecond: number) {
    this.#target = targetPort;
    this.#paceBytesPerSecond = paceBytesPerSecond;
  }

  get port(): number {
    return this.#port;
  }

  set paceBytesPerSecond(pace: number) {
    this.#paceBytesPerSecond = pace;
  }

  /** Opens it, on the port that it had before. */
  async open(): Promise<void> {
    const server = createServer((client) => this.#join(client));
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('The link has no port.');
    this.#port = address.port;
    this.#server = server;
  }

  /** Every connection breaks off, new ones are refused. */
  async cut(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(client: Socket): void {
    const server = connect(this.#target, '127.0.0.1');
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    server.pipe(client);
    void this.#carry(client, server).catch(() => server.destroy());
  }

  async #carry(client: Socket, server: Socket): Promise<void> {
    for await (const bytes of client as AsyncIterable<Uint8Array>) {
      await this.#turn(bytes.length);
      if (!server.write(bytes)) await once(server, 'drain');
    }
    server.end();
  }

  /** One clock for all connections: a byte that left makes the next one later. */
  async #turn(bytes: number): Promise<void> {
    const now = performance.now();
    this.#freeAtMs = Math.max(now, this.#freeAtMs) + (bytes * 1000) / this.#paceBytesPerSecond;
    if (this.#freeAtMs - now > SLICE_MS) await sleep(this.#freeAtMs - now);
  }
}
