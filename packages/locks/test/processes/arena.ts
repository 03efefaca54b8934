import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { FencingGuard } from '@chunks/locks';
import type { ContenderTask, Question, Seen } from './contender.ts';

const script = fileURLToPath(new URL('./contender.ts', import.meta.url));

/** One grant, as far as the arena has heard of it. */
export interface Grant {
  readonly token: number;
  readonly process: number;
  /** Still inside when the next one was granted: its lease must have ended. */
  wasOverlapped: boolean;
  /** What its release said; undefined when it never came to that. */
  wasOurs: boolean | 'unknown' | undefined;
}

interface Counter {
  value: number;
  /** Writes that were accepted. Each added one to what it had read. */
  writes: number;
}

type Heard = { id: number } & Question;

/**
 * Processes that contend for one key, and what the lock protects: two counters that live here, apart from the store of
 * the leases. The fenced one admits a token at each read and write and refuses lower ones, the other takes anything.
 */
export class Arena {
  readonly grants: Grant[] = [];
  readonly fenced: Counter = { value: 0, writes: 0 };
  readonly unfenced: Counter = { value: 0, writes: 0 };
  /** Writes and reads that came from a holder who had been superseded. */
  refused = 0;
  /** Codes of errors, with how often they came. */
  readonly failures: Map<string, number> = new Map<string, number>();
  /** How processes ended that nobody had killed, if not in peace. */
  readonly deaths: string[] = [];
  readonly #task: ContenderTask;
  readonly #guard = new FencingGuard();
  readonly #inside = new Map<string, Grant>();
  readonly #leaving = new Map<string, Grant>();
  readonly #processes = new Map<number, ChildProcess>();
  readonly #cache = mkdtempSync(path.join(tmpdir(), 'arena-'));
  #started = 0;
  /** Called once, with the process that has just read; what it read is told it when the promise resolves. */
  #onRead: ((process: number) => Promise<void> | undefined) | undefined;

  constructor(task: ContenderTask) {
    this.#task = task;
  }

  /** One more process. */
  start(): void {
    const number = ++this.#started;
    const child = fork(script, [JSON.stringify(this.#task)], {
      execArgv: ['--conditions=@chunks/source', '--disable-warning=ExperimentalWarning'],
      // Stripping the types of our sources is most of what a process does at its start.
      env: { ...process.env, NODE_COMPILE_CACHE: this.#cache },
    });
    this.#processes.set(number, child);
    child.on('message', async (heard: Heard) => {
      const answer = this.#answer(number, heard);
      if (heard.ask === 'read' && this.#onRead !== undefined) {
        const onRead = this.#onRead;
        this.#onRead = undefined;
        await onRead(number);
      }
      if (child.connected) child.send({ id: heard.id, answer }, () => undefined);
    });
    child.once('exit', (code, signal) => {
      this.#processes.delete(number);
      if (code !== 0 && signal !== 'SIGKILL') this.deaths.push(`process ${number}: ${code ?? signal}`);
    });
  }

  /** Until so many more grants were given, by any process or by others than one. */
  async granted(count: number, isCounted: (grant: Grant) => boolean = () => true): Promise<void> {
    const from = this.grants.length;
    await this.until(() => this.grants.slice(from).filter(isCounted).length >= count, `${count} more grants`);
  }

  async until(isSo: () => boolean, what: string): Promise<void> {
    const endMs = performance.now() + 60_000;
    while (!isSo()) {
      if (performance.now() > endMs) throw new Error(`waited in vain for ${what}; ${this.summary()}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Stops a holder between its read and its write until others have written, then lets it go on. */
  async stopHolder(): Promise<void> {
    await this.#stopped(async (stopped) => {
      const from = this.grants.length;
      await this.#patiently(() => this.grants.slice(from).filter(({ process }) => process !== stopped).length >= 5);
    });
  }

  /** The same, but the late write comes when the next holder has read and not yet written: the worst of moments. */
  async stopHolderUntilNextRead(): Promise<void> {
    await this.#stopped(async (stopped) => {
      let isLate = false;
      this.#onRead = async () => {
        await this.#resume(stopped);
        isLate = true;
      };
      await this.#patiently(() => isLate);
      this.#onRead = undefined;
    });
  }

  /** Kills a holder between its read and its write, and starts another process in its place. */
  async killHolder(): Promise<void> {
    await this.#holder('SIGKILL');
    this.start();
    await this.granted(5);
  }

  /** Kills all processes at once, as a power cut does, and starts as many others. */
  async killAll(): Promise<void> {
    const all = [...this.#processes.values()];
    const ends = all.map((child) => once(child, 'exit'));
    for (const child of all) child.kill('SIGKILL');
    await Promise.all(ends);
    for (const _ of all) this.start();
    await this.granted(5);
  }

  /** Lets all of them come to an end in peace. */
  async finish(): Promise<void> {
    for (const child of this.#processes.values()) child.send('finish');
    await this.until(() => this.#processes.size === 0, 'all processes to end');
  }

  /** Leaves no process behind, whatever has happened. */
  async clear(): Promise<void> {
    for (const child of this.#processes.values()) child.kill('SIGKILL');
    await this.until(() => this.#processes.size === 0, 'all processes to die');
    rmSync(this.#cache, { recursive: true, force: true });
  }

  /** What has happened, in a line. */
  summary(): string {
    const { grants, fenced, unfenced, refused, failures, deaths } = this;
    const counts = { grants: grants.length, fenced, unfenced, refused };
    return JSON.stringify({ ...counts, failures: Object.fromEntries(failures), deaths });
  }

  /** The process that reads next, which gets this signal before it hears what it has read. */
  #holder(signal: 'SIGSTOP' | 'SIGKILL'): Promise<number> {
    return new Promise((resolve) => {
      this.#onRead = (number) => {
        this.#processes.get(number)?.kill(signal);
        resolve(number);
        return undefined;
      };
    });
  }

  /**
   * Stops a holder and lets it go on once the others have got somewhere. A process of SQLite may be stopped in the midst
   * of a transaction, while which nobody else gets anywhere: then it is another one's turn.
   */
  async #stopped(others: (stopped: number) => Promise<void>): Promise<void> {
    for (let tries = 0; tries < 10; tries++) {
      const stopped = await this.#holder('SIGSTOP');
      const { refused } = this;
      await others(stopped);
      this.#processes.get(stopped)?.kill('SIGCONT');
      const isLate = await this.#patiently(() => this.refused > refused);
      if (isLate) return;
    }
    throw new Error(`no holder that was stopped ever wrote late; ${this.summary()}`);
  }

  /** For a while. @returns whether it came to be */
  async #patiently(isSo: () => boolean): Promise<boolean> {
    const endMs = performance.now() + 5_000;
    while (!isSo() && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 10));
    return isSo();
  }

  async #resume(stopped: number): Promise<void> {
    const { refused } = this;
    this.#processes.get(stopped)?.kill('SIGCONT');
    await this.until(() => this.refused > refused, 'the late write');
  }

  #answer(process: number, heard: Heard): Seen | undefined {
    if (heard.ask === 'failed') {
      this.failures.set(heard.code, (this.failures.get(heard.code) ?? 0) + 1);
      return undefined;
    }
    const { token } = heard;
    const id = `${process} ${token}`;
    const inside = this.#inside.get(id);
    if (heard.ask === 'granted') {
      for (const other of this.#inside.values()) other.wasOverlapped = true;
      const grant: Grant = { token, process, wasOverlapped: false, wasOurs: undefined };
      this.grants.push(grant);
      this.#inside.set(id, grant);
    } else if (heard.ask === 'read') {
      this.#isFresh(token);
      return { fenced: this.fenced.value, unfenced: this.unfenced.value };
    } else if (heard.ask === 'write') {
      if (this.#isFresh(token)) add(this.fenced, heard.seen.fenced);
      add(this.unfenced, heard.seen.unfenced);
    } else if (heard.ask === 'leaving' && inside !== undefined) {
      this.#inside.delete(id);
      this.#leaving.set(id, inside);
    } else if (heard.ask === 'left') {
      const grant = this.#leaving.get(id);
      if (grant !== undefined) grant.wasOurs = heard.wasOurs;
      this.#leaving.delete(id);
    }
    return undefined;
  }

  #isFresh(token: number): boolean {
    try {
      this.#guard.admit('counter', token);
      return true;
    } catch {
      this.refused++;
      return false;
    }
  }
}

function add(counter: Counter, seen: number): void {
  counter.value = seen + 1;
  counter.writes++;
}
