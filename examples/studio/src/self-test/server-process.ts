import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const MAIN: string = join(import.meta.dirname, '../main.ts');
const START_MS = 30_000;

export interface ServerOptions {
  readonly data: string;
  readonly chunkSizeBytes?: number | undefined;
  readonly cacheChunkSizeBytes?: number | undefined;
  /** Options of Node's own. @default those of this process */
  readonly nodeArgs?: readonly string[] | undefined;
}

/** The real studio in a process of its own, as `npm start` runs it, so that it can be killed. */
export class ServerProcess {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | string>;
  /** The JSON lines it has logged. */
  readonly log: string[];

  private constructor(child: ChildProcess, url: string, ended: Promise<number | string>, log: string[]) {
    this.#child = child;
    this.url = url;
    this.#ended = ended;
    this.log = log;
  }

  static async start(options: ServerOptions): Promise<ServerProcess> {
    const { data, chunkSizeBytes, cacheChunkSizeBytes, nodeArgs = process.execArgv } = options;
    const args = [...nodeArgs, MAIN, '--port', '0', '--data', data, '--origin-pace', '0', '--origin-latency', '0'];
    if (chunkSizeBytes !== undefined) args.push('--chunk-size', String(chunkSizeBytes));
    if (cacheChunkSizeBytes !== undefined) args.push('--cache-chunk-size', String(cacheChunkSizeBytes));
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const log: string[] = [];
    child.stderr?.setEncoding('utf8').on('data', (text: string) => log.push(...text.split('\n').filter(Boolean)));
    const ended = new Promise<number | string>((resolve) => {
      child.once('exit', (code, signal) => resolve(signal ?? code ?? -1));
    });
    const url = await new Promise<string>((resolve, reject) => {
      let text = '';
      const timer = setTimeout(() => fail(`said no URL in ${START_MS} ms`), START_MS);
      const fail = (why: string): void => {
        clearTimeout(timer);
        child.kill('SIGKILL');
        reject(new Error(`The server ${why}: ${text}${log.join('\n')}`));
      };
      child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
        const found = /(http:\/\/\S+?)\/?(\s|$)/.exec(text)?.[1];
        if (found === undefined) return;
        clearTimeout(timer);
        resolve(found);
      });
      ended.then((how) => fail(`ended with ${how} at start`));
    });
    return new ServerProcess(child, url, ended, log);
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** As a power cut does it, as far as a process can tell. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** As Ctrl+C does it. @returns the exit code */
  async stop(): Promise<number | string> {
    this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 15_000);
    const how = await this.#ended;
    clearTimeout(late);
    return how;
  }

  /** The most memory it ever had resident, where the system tells (Linux). */
  async peakRssBytes(): Promise<number | undefined> {
    const status = await readFile(`/proc/${this.#child.pid}/status`, 'utf8').catch(() => '');
    const kilobytes = /VmHWM:\s+(\d+) kB/.exec(status)?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  }
}
