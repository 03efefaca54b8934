import type { Speech } from './fault-plan.ts';
import type { OneWay } from './one-way.ts';
import type { Socket } from './tcp.ts';

/** One connection through the proxy: two sockets, and what passes between them. */
export interface Connection {
  readonly client: Socket;
  readonly server: Socket;
  readonly request: OneWay;
  readonly reply: OneWay;
  readonly speech: Speech;
  /** The first that the client said. */
  greeting: Uint8Array | undefined;
  isUp: boolean;
  /** Set: the next reply is cut off, and this is told. */
  cutsReply: (() => void) | undefined;
}
