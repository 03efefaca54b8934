import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net';

/** A TCP proxy before a real server, that breaks connections when a test says so. */
export class CutProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #toPort: number;
  readonly #sockets = new Set<Socket>();
  #isDown = false;
  #cut: { at: 'request' | 'reply'; text: string } | undefined;

  private constructor(server: Server, toPort: number) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    this.#toPort = toPort;
    server.on('connection', (socket) => this.#serve(socket));
  }

  static async before(toPort: number): Promise<CutProxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new CutProxy(server, toPort);
  }

  /** Connections through it that are up. */
  get connections(): number {
    return this.#sockets.size / 2;
  }

  /**
   * Breaks the connection on which a client next says `text`: `request`: the server never gets it; `reply`: the server
   * does what it says, and the client never hears.
   */
  cutNext(at: 'request' | 'reply', text: string): void {
    this.#cut = { at, text };
  }

  /** Whether the cut that was asked for has happened. */
  get hasCut(): boolean {
    return this.#cut === undefined;
  }

  /** Breaks all connections and takes no new ones. */
  down(): void {
    this.#isDown = true;
    this.breakAll();
  }

  up(): void {
    this.#isDown = false;
  }

  breakAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.breakAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(client: Socket): void {
    if (this.#isDown) return void client.destroy();
    const server = dial(this.#toPort, '127.0.0.1');
    const end = (): void => {
      for (const socket of [client, server]) {
        this.#sockets.delete(socket);
        socket.destroy();
      }
    };
    let mute = false;
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true).on('error', end).on('close', end);
    }
    client.on('data', (bytes) => {
      const cut = this.#cut;
      if (cut && bytes.includes(cut.text)) {
        this.#cut = undefined;
        if (cut.at === 'request') return end();
        mute = true;
      }
      server.write(bytes);
    });
    server.on('data', (bytes) => (mute ? end() : client.write(bytes)));
  }
}
