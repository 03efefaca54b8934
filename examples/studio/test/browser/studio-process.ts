import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const MAIN = join(import.meta.dirname, '../../src/main.ts');

/** A port that was free a moment ago: a killed server has to come back on the same one. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('There is no free port.');
  return address.port;
}

/** A studio in a process of its own, so that it can really be killed. */
export class StudioProcess {
  readonly #port: number;
  readonly #data: string;
  #child: ChildProcess | undefined;

  constructor(port: number, data: string) {
    this.#port = port;
    this.#data = data;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Resolves when it says where it listens. */
  async start(): Promise<void> {
    // The same conditions as this process: with them the sources run, without them the builds.
    const child = spawn(
      process.execPath,
      [...process.execArgv, MAIN, '--port', String(this.#port), '--data', this.#data],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    this.#child = child;
    const died = once(child, 'exit').then(([code]) => {
      throw new Error(`The studio ended with ${code} before it listened.`);
    });
    await Promise.race([this.#listening(child), died]);
    // From now on its end is expected.
    died.catch(() => {});
  }

  async #listening(child: ChildProcess): Promise<void> {
    if (child.stdout === null) throw new Error('The studio has no output.');
    const lines = createInterface({ input: child.stdout });
    await new Promise<void>((resolve, reject) => {
      lines.on('line', (line) => {
        if (!line.startsWith('Studio: ')) return;
        if (line.includes(`:${this.#port}`)) resolve();
        else reject(new Error(`The studio took another port: ${line}`));
      });
    });
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  }
}
