import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { type GuardOptions, guard } from './http/guard.ts';
import { asProblem, codesOf, HttpProblem } from './http/problem.ts';
import { describeError, type Log } from './log.ts';

/** The parts as one app: guarded, with every failure answered as problem JSON. */
export function assembleApp(parts: readonly Hono[], guardOptions: GuardOptions, log: Log): Hono {
  const app = new Hono();
  app.use(async (context, next) => {
    await next();
    context.header('x-content-type-options', 'nosniff');
    context.header('referrer-policy', 'same-origin');
    context.header('cross-origin-resource-policy', 'same-origin');
  });
  app.use(guard(guardOptions));
  for (const part of parts) app.route('/', part);
  app.notFound(() => new HttpProblem(404, 'no-such-route', 'There is nothing at this address').toResponse());
  app.onError((error, context) => {
    const { method, path } = context.req;
    if (codesOf(error).some((code) => code.startsWith('UPDATE_'))) {
      log('retry-exhausted', { method, path, error: describeError(error) });
    }
    const problem = asProblem(error) ?? clientGone(error, context.req.raw.signal);
    if (problem !== undefined) return problem.toResponse();
    log('failure', { method, path, error: describeError(error), stack: error.stack });
    return new HttpProblem(500, 'internal', 'Something went wrong here; the log of the server says what').toResponse();
  });
  return app;
}

/** An error that only says that the client left: nobody reads the answer, and it is no fault of the server. */
function clientGone(error: Error, signal: AbortSignal): HttpProblem | undefined {
  const gone = signal.aborted || codesOf(error).includes('ECONNRESET');
  return gone ? new HttpProblem(400, 'client-gone', 'The request was not sent to its end') : undefined;
}

/** A body that fails half-way must not look whole: the connection is cut, and the log says why. */
function cutOnFailure(response: Response, outgoing: ServerResponse, log: Log): Response {
  if (response.body === null) return response;
  const reader = response.body.getReader();
  const body = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          const { done, value } = await reader.read();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          if (!outgoing.destroyed) log('body-cut', { url: outgoing.req.url, error: describeError(error) });
          outgoing.destroy();
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { status: response.status, headers: response.headers });
}

function refuseGarbage(socket: Socket, answering: boolean): void {
  // In the middle of an answer a refusal would be taken for bytes of that answer.
  if (answering) {
    socket.destroy();
    return;
  }
  const { status, message } = new HttpProblem(400, 'not-http', 'That was not an HTTP request');
  const body = JSON.stringify({ type: 'urn:chunks:problem:not-http', title: 'Bad request', status, detail: message });
  const head = ['HTTP/1.1 400 Bad Request', 'content-type: application/problem+json', 'connection: close'];
  if (socket.writable) socket.end(`${head.join('\r\n')}\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
}

export interface Listening {
  readonly port: number;
  /** Ends what is idle, lets requests finish for a while, then cuts them. */
  close(): Promise<void>;
}

const GRACE_MS = 3_000;
const MAX_CONNECTIONS = 2_000;
const MAX_PORT_TRIES = 20;

/** Listens on the port, or on the next free one. @param onBusy told of each port that is taken */
export async function listen(
  app: Hono,
  { host, port, log, onBusy }: { host: string; port: number; log: Log; onBusy(port: number): void },
): Promise<Listening> {
  const listener = getRequestListener(
    async (request, { outgoing }) => cutOnFailure(await app.fetch(request), outgoing as ServerResponse, log),
    {
      overrideGlobalObjects: false,
      errorHandler: (error) => new HttpProblem(400, 'bad-request', describeError(error)).toResponse(),
    },
  );
  const server = createServer(
    {
      // A chunk of 8 MiB passes in ten minutes at 14 kB/s; whoever is slower than that is not uploading.
      requestTimeout: 600_000,
      headersTimeout: 20_000,
      keepAliveTimeout: 20_000,
      maxHeaderSize: 16 * 1024,
    },
    listener,
  );
  server.maxConnections = MAX_CONNECTIONS;
  const connections = watchConnections(server);
  server.on('clientError', (_error, socket) =>
    refuseGarbage(socket as Socket, connections.answering(socket as Socket)),
  );
  for (let attempt = 0; ; attempt++) {
    try {
      await listenOnce(server, host, port + attempt);
      break;
    } catch (error) {
      const busy = codesOf(error)[0] === 'EADDRINUSE' && attempt < MAX_PORT_TRIES && port + attempt < 65_535;
      if (!busy) throw error;
      onBusy(port + attempt);
    }
  }
  return { port: (server.address() as AddressInfo).port, close: () => closeServer(server, connections) };
}

const listenOnce = (server: Server, host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });

/** Which connections have a request under way: the others may be closed at any time. */
function watchConnections(server: Server): { endIdle(): void; answering(socket: Socket): boolean } {
  const requests = new Map<Socket, Set<ServerResponse>>();
  server.on('connection', (socket) => {
    requests.set(socket, new Set());
    socket.once('close', () => requests.delete(socket));
  });
  server.on('request', ({ socket }, outgoing) => {
    const own = requests.get(socket);
    own?.add(outgoing);
    outgoing.once('close', () => {
      own?.delete(outgoing);
      if (own?.size === 0 && !server.listening) socket.destroySoon();
    });
  });
  return {
    // Node itself counts a connection that never sent anything as busy, and clients keep such ones in reserve.
    endIdle: () => {
      for (const [socket, own] of requests) if (own.size === 0) socket.destroy();
    },
    answering: (socket) => [...(requests.get(socket) ?? [])].some((outgoing) => outgoing.headersSent),
  };
}

const closeServer = (server: Server, connections: { endIdle(): void }): Promise<void> =>
  new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), GRACE_MS);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    connections.endIdle();
  });
