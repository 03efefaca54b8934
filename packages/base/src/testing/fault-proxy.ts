import { checkInteger, checkNumber, checkOneOf } from '../check.ts';
import { type Clock, systemClock } from '../clock.ts';
import type { Connection } from './fault-connection.ts';
import { FaultPlan, Speech } from './fault-plan.ts';
import { OneWay } from './one-way.ts';
import type { Net, Socket } from './tcp.ts';

// In a variable, for bundlers and type checkers look literal imports up, even where the proxy is never used.
const NODE_NET: string = 'node:net';
const HOST = '127.0.0.1';

interface Cut {
  readonly plan: FaultPlan;
  readonly at: 'request' | 'reply';
  /** Told when it has happened. */
  done(): void;
}

/**
 * A TCP proxy before a real server, for Node, that breaks, delays and doubles what passes when a test says so. Texts by
 * which a request is chosen are looked for in the bytes that clients send; each place where one stands counts as one
 * request.
 *
 * @example
 * const proxy = await FaultProxy.before(6379);
 * const client = new Redis(proxy.port);
 * // Every 7th write is carried out, and its reply lost.
 * proxy.cutEvery(7, 'reply', 'EVALSHA');
 */
export class FaultProxy {
  readonly #net: Net;
  readonly #toPort: number;
  readonly #clock: Clock;
  readonly #connections: Set<Connection> = new Set();
  #server: ReturnType<Net['createServer']> | undefined;
  #port = 0;
  #isDown = false;
  #delayMs = { request: 0, reply: 0 };
  #cuts = 0;
  #duplicates = 0;
  #next: Cut | undefined;
  #each: Cut | undefined;
  #doubling: { plan: FaultPlan; greets: boolean } | undefined;

  private constructor(net: Net, toPort: number, clock: Clock) {
    this.#net = net;
    this.#toPort = toPort;
    this.#clock = clock;
  }

  /**
   * Listens on a free port of 127.0.0.1.
   * @param toPort of the real server, on this machine
   * @param o the clock tells how long a delay takes @default the host's
   * @throws RangeError | TypeError when the port is none; on runtimes without `node:net`, whatever they throw for it
   */
  static async before(toPort: number, o: { clock?: Clock | undefined } = {}): Promise<FaultProxy> {
    checkInteger('toPort', toPort, 1, 65_535);
    const net = (await import(/* @vite-ignore */ NODE_NET)) as Net;
    const proxy = new FaultProxy(net, toPort, o.clock ?? systemClock);
    await proxy.#listen();
    return proxy;
  }

  /** Where clients are to connect to. */
  get port(): number {
    return this.#port;
  }

  /** Connections through it that are up, half-open ones included. */
  get connections(): number {
    return [...this.#connections].filter(({ isUp }) => isUp).length;
  }

  /** Connections that were broken by {@link cutNext} and {@link cutEvery}. */
  get cuts(): number {
    return this.#cuts;
  }

  /** Requests that the server got twice. */
  get duplicates(): number {
    return this.#duplicates;
  }

  /** Whether the cut that {@link cutNext} asked for has happened. */
  get hasCut(): boolean {
    return this.#next === undefined;
  }

  /**
   * Breaks the connection on which a client next says `text`: `request`: the server never gets it; `reply`: the server
   * does what it says, and the client never hears.
   */
  cutNext(at: 'request' | 'reply', text: string): void {
    const done = (): void => {
      this.#next = undefined;
    };
    this.#next = { plan: new FaultPlan(text, 1, true), at: checkOneOf('at', at, ['request', 'reply']), done };
  }

  /** The same for each request of that number that says `text`, until {@link heal}; 1 is every one. */
  cutEvery(every: number, at: 'request' | 'reply', text: string): void {
    const plan = new FaultPlan(text, every, false);
    this.#each = { plan, at: checkOneOf('at', at, ['request', 'reply']), done: () => undefined };
  }

  /**
   * Each request of that number that says `text` is sent twice, until {@link heal}: at first by the proxy itself, on a
   * connection of its own whose replies nobody hears, and, when that is done, by the client, who gets the answer to its
   * own. What came in the same packet is doubled with it. Good for protocols without a login, or, with `greets`, for
   * those where the client's first packet is all of it (Postgres that trusts everybody, NATS).
   * @param o greets: the client's first packet is said before the request on that other connection @default false
   */
  duplicateEvery(every: number, text: string, o: { greets?: boolean | undefined } = {}): void {
    this.#doubling = { plan: new FaultPlan(text, every, false), greets: o.greets ?? false };
  }

  /** From now on bytes take that long, in order, on all connections. @param o in ms @default 0 each */
  delay(o: { requestMs?: number | undefined; replyMs?: number | undefined }): void {
    this.#delayMs = {
      request: checkNumber('requestMs', o.requestMs ?? 0, 0),
      reply: checkNumber('replyMs', o.replyMs ?? 0, 0),
    };
  }

  /**
   * Connections that are up stay so, and nothing passes on them any more, not even their end, until {@link breakAll}.
   * New connections are whole.
   */
  halfOpen(way: 'request' | 'reply' | 'both' = 'both'): void {
    checkOneOf('way', way, ['request', 'reply', 'both']);
    for (const { request, reply } of this.#connections) {
      if (way !== 'reply') request.isMute = true;
      if (way !== 'request') reply.isMute = true;
    }
  }

  /** No more cuts, duplicates and delays. What is broken stays broken. */
  heal(): void {
    this.#next = undefined;
    this.#each = undefined;
    this.#doubling = undefined;
    this.delay({});
  }

  /** Breaks all connections and takes no new ones. */
  down(): void {
    this.#isDown = true;
    this.breakAll();
  }

  /** Takes connections again. */
  up(): void {
    this.#isDown = false;
  }

  /** Breaks all connections, on both sides. */
  breakAll(): void {
    for (const { client, server } of this.#connections) {
      client.destroy();
      server.destroy();
    }
  }

  /** Breaks all connections and listens no more. */
  async close(): Promise<void> {
    this.down();
    await new Promise<void>((resolve) => this.#server?.close(resolve));
  }

  #listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      const server = this.#net.createServer({ allowHalfOpen: true }, (client) => this.#serve(client));
      this.#server = server;
      server.once('error', reject);
      server.listen(0, HOST, () => {
        this.#port = (server.address() as { port: number }).port;
        resolve();
      });
    });
  }

  #serve(client: Socket): void {
    if (this.#isDown) {
      client.on('error', () => undefined).destroy();
      return;
    }
    const server = this.#dial();
    const connection: Connection = {
      client,
      server,
      request: new OneWay(this.#clock),
      reply: new OneWay(this.#clock),
      speech: new Speech(),
      greeting: undefined,
      isUp: true,
      cutsReply: undefined,
    };
    this.#connections.add(connection);
    this.#join(connection, client, server, 'request');
    this.#join(connection, server, client, 'reply');
    client.on('data', (bytes) => this.#ask(connection, bytes));
    server.on('data', (bytes) => this.#answer(connection, bytes));
  }

  #dial(): Socket {
    return this.#net.connect({ port: this.#toPort, host: HOST, allowHalfOpen: true }).setNoDelay();
  }

  /** Hands the end of one side on to the other. */
  #join(connection: Connection, from: Socket, to: Socket, name: 'request' | 'reply'): void {
    const way = connection[name];
    from.setNoDelay();
    from.on('end', () => {
      way.hasEnded = true;
      way.pass(this.#delayMs[name], () => to.end());
    });
    // What follows every error is the close.
    from.on('error', () => undefined);
    from.on('close', () => {
      if (!connection.isUp) this.#connections.delete(connection);
      connection.isUp = false;
      // After an end the other side still has to hear what is on its way.
      if (!way.isMute && !way.hasEnded) to.destroy();
    });
  }

  #ask(connection: Connection, bytes: Uint8Array): void {
    const { client, server, request, speech } = connection;
    if (this.#next ?? this.#each ?? this.#doubling) speech.hear(bytes);
    const cut = [this.#next, this.#each].filter((one) => one?.plan.strikes(speech)).at(0);
    if (cut?.at === 'request') {
      this.#cuts++;
      cut.done();
      client.destroy();
      server.destroy();
      return;
    }
    const send = (): void => {
      const earlier = connection.cutsReply;
      if (cut) {
        connection.cutsReply = () => {
          earlier?.();
          cut.done();
        };
      }
      server.write(bytes);
    };
    const isDoubled = this.#doubling?.plan.strikes(speech) === true;
    request.pass(this.#delayMs.request, send, isDoubled ? this.#double(connection, bytes) : undefined);
    connection.greeting ??= bytes;
  }

  #answer(connection: Connection, bytes: Uint8Array): void {
    const { client, server, request, reply, cutsReply } = connection;
    if (cutsReply === undefined) reply.pass(this.#delayMs.reply, () => client.write(bytes));
    if (cutsReply === undefined || reply.isMute) return;
    reply.isMute = true;
    request.isMute = true;
    this.#cuts++;
    cutsReply();
    client.destroy();
    // Its end comes after all that was said: what the server has not got round to yet is done too.
    server.end();
  }

  /** @returns when the server is done with it */
  #double(connection: Connection, bytes: Uint8Array): Promise<void> {
    this.#duplicates++;
    const copy = this.#dial().resume();
    if (this.#doubling?.greets && connection.greeting) copy.write(connection.greeting);
    copy.write(bytes);
    copy.end();
    return new Promise((resolve) => copy.on('error', () => undefined).on('close', resolve));
  }
}
