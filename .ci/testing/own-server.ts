import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, globSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { listens } from './listens.ts';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// Not at one go: who is served goes on being served until the blow.
async function childrenOf(pid: number): Promise<number[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=']);
  const pairs = stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  return pairs.flatMap(([own = 0, parent]) => (parent === pid ? [own] : []));
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}

interface Command {
  readonly line: readonly [string, ...string[]];
  /** How it is ended without a farewell. */
  readonly signal: NodeJS.Signals;
  isReady(): boolean | Promise<boolean>;
}

/** A server of the test's own, to be killed and started again. */
export class OwnServer {
  readonly port: number;
  readonly #folder: string;
  readonly #command: Command;
  #process: ChildProcess | undefined;

  private constructor(port: number, folder: string, command: Command) {
    this.port = port;
    this.#folder = folder;
    this.#command = command;
  }

  /** Redis without persistence: whatever it is killed with, it forgets everything. */
  static async redis(...options: string[]): Promise<OwnServer> {
    const [port, folder] = [await freePort(), mkdtempSync(path.join(tmpdir(), 'own-redis-'))];
    const where = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder];
    return new OwnServer(port, folder, {
      line: ['redis-server', ...where, '--save', '', ...options],
      signal: 'SIGKILL',
      isReady: () => listens(port),
    }).start();
  }

  /** Postgres, user postgres, database postgres, everything on the disk. */
  static async postgres(): Promise<OwnServer> {
    const [port, folder] = [await freePort(), mkdtempSync(path.join(tmpdir(), 'own-postgres-'))];
    const found = globSync('/usr/lib/postgresql/*/bin').sort().at(-1) ?? globSync('/usr/pgsql-*/bin').sort().at(-1);
    const binary = (name: string): string => (found ? path.join(found, name) : name);
    // Postgres refuses to run as root.
    const isRoot = process.getuid?.() === 0;
    const as = isRoot ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups'] : [];
    if (isRoot) {
      const idOf = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
      chownSync(folder, idOf('-u'), idOf('-g'));
    }
    chmodSync(folder, 0o700);
    const make = [...as, binary('initdb'), '-D', folder, '-U', 'postgres', '-A', 'trust', '--no-sync'];
    execFileSync(make[0] as string, make.slice(1), { stdio: 'ignore', cwd: tmpdir() });
    const [command, ...args] = [
      ...as,
      binary('postgres'),
      '-D',
      folder,
      '-p',
      `${port}`,
      '-h',
      '127.0.0.1',
      '-k',
      folder,
    ];
    return new OwnServer(port, folder, {
      line: [command as string, ...args],
      // An "immediate" shutdown: no checkpoint, no farewell, and it takes all its processes along, as a power cut does.
      signal: 'SIGQUIT',
      // It takes connections before it takes statements.
      isReady: () => spawnSync(binary('pg_isready'), ['-h', '127.0.0.1', '-p', `${port}`]).status === 0,
    }).start();
  }

  /** NATS with JetStream, whose streams of storage `file` are on the disk. */
  static async nats(): Promise<OwnServer> {
    const [port, folder] = [await freePort(), mkdtempSync(path.join(tmpdir(), 'own-nats-'))];
    return new OwnServer(port, folder, {
      line: ['nats-server', '-a', '127.0.0.1', '-p', `${port}`, '-js', '-sd', folder],
      signal: 'SIGKILL',
      isReady: () => listens(port),
    }).start();
  }

  /** Its disk is lost. Not while it runs. */
  wipe(): void {
    for (const name of readdirSync(this.#folder)) rmSync(path.join(this.#folder, name), { recursive: true });
  }

  /** Starts it, on what is left of its data. */
  async start(): Promise<this> {
    const [command, ...args] = this.#command.line;
    const child = spawn(command, args, { stdio: 'ignore', cwd: tmpdir() });
    await once(child, 'spawn');
    this.#process = child;
    while (!(await this.#command.isReady())) {
      if (child.exitCode !== null) throw new Error(`${command} ended with ${child.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return this;
  }

  /**
   * Nothing is said to anybody, nothing is written any more.
   * @param how SIGKILL: it and all its processes in one blow; else each by the signal that its own kind has for that
   */
  async kill(how?: 'SIGKILL'): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    this.#process = undefined;
    const exited = once(child, 'exit');
    const helpers = how === undefined ? [] : await childrenOf(child.pid as number);
    child.kill(how ?? this.#command.signal);
    // Those that it had: the orphans of a Postgres would finish what they are at.
    for (const pid of helpers) end(pid);
    await exited;
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
