import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net';
import { VirtualClock } from '@chunks/base';
import { FaultProxy } from '@chunks/base/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

/** Does a line when it comes, and answers `did <line>`; to `end` with a last word and its end. */
class LineServer {
  readonly done: string[] = [];
  /** Connections that are over. */
  gone = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server = createServer({ allowHalfOpen: true }, (socket) => this.#serve(socket));

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  push(line: string): void {
    for (const socket of this.#sockets) socket.write(`${line}\n`);
  }

  stopReading(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  goOnReading(): void {
    for (const socket of this.#sockets) socket.resume();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    let rest = '';
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('end', () => socket.end());
    socket.on('close', () => {
      this.gone++;
      this.#sockets.delete(socket);
    });
    socket.on('data', (bytes) => {
      const lines = `${rest}${bytes}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        this.done.push(line);
        if (line === 'end') socket.end('last word\n');
        else socket.write(`did ${line}\n`);
      }
    });
  }
}

/** Speaks lines, and keeps what it hears. */
class LineClient {
  heard = '';
  isClosed = false;
  readonly socket: Socket;

  constructor(port: number) {
    this.socket = dial(port, '127.0.0.1');
    this.socket.on('data', (bytes) => {
      this.heard += bytes;
    });
    this.socket
      .on('error', () => undefined)
      .on('close', () => {
        this.isClosed = true;
      });
  }

  say(line: string): void {
    this.socket.write(`${line}\n`);
  }

  /** Its line and the answer. */
  async ask(line: string): Promise<void> {
    const before = this.heard.length;
    this.say(line);
    await until(() => this.heard.slice(before).endsWith(`did ${line}\n`) || this.isClosed);
  }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** Time for whatever should not come. */
const moment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

const clock = new VirtualClock();
let server: LineServer;
let proxy: FaultProxy;
let clients: LineClient[] = [];

const connect = (): LineClient => {
  const client = new LineClient(proxy.port);
  clients.push(client);
  return client;
};

beforeEach(async () => {
  server = new LineServer();
  proxy = await FaultProxy.before(await server.listen(), { clock });
});

afterEach(async () => {
  for (const { socket } of clients) socket.destroy();
  clients = [];
  await proxy.close();
  await server.close();
});

describe('without a fault', () => {
  test('everything passes, ends included, and connections are counted', async () => {
    const [one, two] = [connect(), connect()];
    await one.ask('a');
    await two.ask('b');
    expect([server.done, proxy.connections]).toEqual([['a', 'b'], 2]);
    one.socket.end('c\n');
    await until(() => one.isClosed);
    expect(one.heard).toBe('did a\ndid c\n');
    two.say('end');
    await until(() => two.isClosed);
    expect(two.heard).toBe('did b\nlast word\n');
    await until(() => proxy.connections === 0 && server.gone === 2);
    expect([proxy.cuts, proxy.duplicates]).toEqual([0, 0]);
  });

  test('a big answer arrives whole though the server ends at once', async () => {
    const big = createServer((socket) => socket.end('x'.repeat(8_000_000))).listen(0, '127.0.0.1');
    await once(big, 'listening');
    const before = await FaultProxy.before((big.address() as AddressInfo).port);
    const client = new LineClient(before.port);
    await until(() => client.isClosed);
    expect(client.heard.length).toBe(8_000_000);
    await before.close();
    big.close();
  });

  test('a client that breaks off breaks off at the server', async () => {
    const client = connect();
    await client.ask('a');
    client.socket.resetAndDestroy();
    await until(() => server.gone === 1);
    await until(() => proxy.connections === 0);
  });

  test('a server that is not there is a broken connection', async () => {
    await server.close();
    const client = connect();
    await until(() => client.isClosed);
    expect(client.heard).toBe('');
  });
});

describe('cuts', () => {
  test('before the request: the server never gets it', async () => {
    const client = connect();
    await client.ask('a');
    proxy.cutNext('request', 'set');
    await client.ask('get');
    expect(proxy.hasCut).toBe(false);
    await client.ask('set');
    await until(() => server.gone === 1);
    expect([client.isClosed, proxy.hasCut, proxy.cuts, server.done]).toEqual([true, true, 1, ['a', 'get']]);
    await connect().ask('set');
    expect(server.done).toEqual(['a', 'get', 'set']);
  });

  test('after it: the server does it, and the client never hears', async () => {
    const [client, other] = [connect(), connect()];
    await other.ask('other');
    proxy.cutNext('reply', 'set');
    await client.ask('get');
    await client.ask('set');
    expect([client.isClosed, client.heard, server.done]).toEqual([true, 'did get\n', ['other', 'get', 'set']]);
    expect([proxy.hasCut, proxy.cuts]).toEqual([true, 1]);
    await until(() => proxy.connections === 1);
    await other.ask('set');
    expect(other.isClosed).toBe(false);
  });

  test('after it: what was said before is done too, though the server is slow and has answered nothing yet', async () => {
    const client = connect();
    await client.ask('a');
    server.stopReading();
    proxy.cutNext('reply', 'set');
    client.say(`b\n${'x'.repeat(8_000_000)}\nset`);
    await until(() => {
      server.push('news');
      return client.isClosed;
    });
    expect([client.heard.includes('did b'), server.done]).toEqual([false, ['a']]);
    server.goOnReading();
    await until(() => server.gone === 1);
    expect([server.done.length, server.done.at(-1)]).toEqual([4, 'set']);
  });

  test.each(['request', 'reply'] as const)('every 7th of 50, at the %s', async (at) => {
    proxy.cutEvery(7, at, 'set');
    let client = connect();
    const lost: number[] = [];
    for (let i = 1; i <= 50; i++) {
      await client.ask('get');
      await client.ask(`set ${i}`);
      if (!client.isClosed) continue;
      lost.push(i);
      client = connect();
    }
    expect([lost, proxy.cuts]).toEqual([[7, 14, 21, 28, 35, 42, 49], 7]);
    const done = server.done.filter((line) => line !== 'get').length;
    expect(done).toBe(at === 'request' ? 43 : 50);
    proxy.heal();
    for (let i = 0; i < 10; i++) await client.ask('set');
    expect([client.isClosed, proxy.cuts]).toEqual([false, 7]);
  });

  test('down and up again, and everything at once', async () => {
    const [one, two] = [connect(), connect()];
    await Promise.all([one.ask('a'), two.ask('b')]);
    proxy.breakAll();
    await until(() => one.isClosed && two.isClosed && server.gone === 2 && proxy.connections === 0);
    proxy.down();
    const refused = connect();
    await until(() => refused.isClosed);
    proxy.up();
    const again = connect();
    await again.ask('c');
    expect(server.done.slice(2)).toEqual(['c']);
    await proxy.close();
    await until(() => again.isClosed);
    const late = connect();
    await until(() => late.isClosed);
    expect(late.heard).toBe('');
  });
});

test('delays hold requests and replies back, and keep their order', async () => {
  const client = connect();
  await client.ask('a');
  proxy.delay({ requestMs: 50, replyMs: 30 });
  client.say('b');
  await until(() => clock.pending === 1);
  proxy.delay({ replyMs: 30 });
  client.socket.end('c\n');
  await moment();
  await clock.advance(49);
  expect(server.done).toEqual(['a']);
  await clock.advance(1);
  await until(() => server.done.length === 3);
  expect([server.done, client.heard]).toEqual([['a', 'b', 'c'], 'did a\n']);
  await until(() => clock.pending > 0);
  await moment();
  await clock.advance(29);
  expect(client.heard).toBe('did a\n');
  await clock.advance(1);
  await until(() => client.isClosed);
  expect(client.heard).toBe('did a\ndid b\ndid c\n');
});

describe('duplicates', () => {
  test('the server gets each 2nd twice, the client hears once', async () => {
    const client = connect();
    await client.ask('hello');
    proxy.duplicateEvery(2, 'set');
    for (const line of ['set 1', 'get', 'set 2', 'set 3', 'set 4']) await client.ask(line);
    expect(server.done).toEqual(['hello', 'set 1', 'get', 'set 2', 'set 2', 'set 3', 'set 4', 'set 4']);
    expect(client.heard.split('\n').length).toBe(7);
    expect([proxy.duplicates, proxy.connections]).toEqual([2, 1]);
    proxy.heal();
    for (const line of ['set 5', 'set 6']) await client.ask(line);
    expect(server.done.slice(8)).toEqual(['set 5', 'set 6']);
  });

  test('after the greeting, where the protocol has one', async () => {
    proxy.duplicateEvery(1, 'set', { greets: true });
    const client = connect();
    for (const line of ['hello', 'get', 'set']) await client.ask(line);
    expect(server.done).toEqual(['hello', 'get', 'hello', 'set', 'set']);
    await connect().ask('set first');
    expect(server.done.slice(5)).toEqual(['set first', 'set first']);
  });
});

describe('half-open', () => {
  test('nothing passes, nobody hears of it, and new connections are whole', async () => {
    const client = connect();
    await client.ask('a');
    proxy.halfOpen();
    client.say('b');
    server.push('news');
    await moment();
    expect([client.heard, client.isClosed, server.done, proxy.connections]).toEqual(['did a\n', false, ['a'], 1]);
    await connect().ask('c');
    client.socket.destroy();
    await moment();
    // The server still believes in the client.
    expect(server.gone).toBe(0);
    proxy.breakAll();
    await until(() => server.gone === 2);
  });

  test.each(['request', 'reply'] as const)('of one direction, the %s', async (way) => {
    const client = connect();
    await client.ask('a');
    proxy.halfOpen(way);
    client.say('b');
    server.push('news');
    await until(() => (way === 'request' ? client.heard.endsWith('news\n') : server.done.length === 2));
    await moment();
    expect(client.heard).toBe(way === 'request' ? 'did a\nnews\n' : 'did a\n');
    expect(server.done).toEqual(way === 'request' ? ['a'] : ['a', 'b']);
    expect(client.isClosed).toBe(false);
  });
});

test('bad input is refused by name, rule and value', async () => {
  await expect(FaultProxy.before(0)).rejects.toThrow('toPort must be an integer from 1 to 65535, but is 0');
  expect(() => proxy.cutEvery(0, 'reply', 'x')).toThrow('every must be an integer ≥ 1, but is 0');
  expect(() => proxy.cutNext('reply', '')).toThrow('text must be a non-empty string, but is ""');
  expect(() => proxy.cutNext('both' as 'reply', 'x')).toThrow('at must be one of "request", "reply", but is "both"');
  expect(() => proxy.delay({ replyMs: Number.NaN })).toThrow('replyMs must be a number ≥ 0, but is NaN');
});
