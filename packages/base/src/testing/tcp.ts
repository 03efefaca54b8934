/** What the proxy uses of a socket of `node:net`, so that its types compile where there is no Node. */
export interface Socket {
  on(event: 'data', listener: (bytes: Uint8Array) => void): Socket;
  on(event: 'end' | 'close' | 'error', listener: () => void): Socket;
  setNoDelay(): Socket;
  resume(): Socket;
  write(bytes: Uint8Array): unknown;
  end(): unknown;
  destroy(): unknown;
}

/** The same of `node:net` itself. */
export interface Net {
  createServer(
    o: { allowHalfOpen: boolean },
    serve: (client: Socket) => void,
  ): {
    listen(port: number, host: string, listening: () => void): unknown;
    once(event: 'error', listener: (error: Error) => void): unknown;
    address(): unknown;
    close(closed: () => void): unknown;
  };
  connect(o: { port: number; host: string; allowHalfOpen: boolean }): Socket;
}
