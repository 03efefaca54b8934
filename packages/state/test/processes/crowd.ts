import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createState } from '@chunks/state';
import type { UpdateEnd } from '@chunks/state/testing';
import { openStore, type StoreAddress } from './stores.ts';
import type { Told, UpdaterTask } from './updater.ts';

/** What came of it. */
export interface Outcome {
  readonly ends: readonly UpdateEnd[];
  /** The record in the end. */
  readonly log: readonly string[];
  readonly version: number;
}

const script = fileURLToPath(new URL('./updater.ts', import.meta.url));
// Half of what such a short process does is to compile the same files as the one before it.
const compiled = fileURLToPath(new URL('../../../../node_modules/.cache/updaters', import.meta.url));

/** Some processes of updaters on one record. */
export class Crowd {
  readonly #address: StoreAddress;
  readonly #each: Pick<UpdaterTask, 'updaters' | 'rounds'>;
  readonly #processes: Map<string, ChildProcess> = new Map();
  readonly #ends: UpdateEnd[] = [];
  #onUpdate: (process: string) => void = () => undefined;

  constructor(address: StoreAddress, each: Pick<UpdaterTask, 'updaters' | 'rounds'>) {
    this.#address = address;
    this.#each = each;
  }

  /** Starts processes of these names, and lets them begin at the same moment. */
  async run(names: readonly string[]): Promise<void> {
    const ready = names.map(async (name) => {
      const task: UpdaterTask = { address: this.#address, process: name, ...this.#each };
      const child = fork(script, [JSON.stringify(task)], {
        execArgv: ['--conditions=@chunks/source', '--disable-warning=ExperimentalWarning'],
        env: { ...process.env, NODE_COMPILE_CACHE: compiled },
      });
      this.#processes.set(name, child);
      child.on('message', (told: Told) => this.#hear(name, told));
      const died = once(child, 'exit').then(([code]) => {
        throw new Error(`${name} ended with ${code} before it began`);
      });
      died.catch(() => undefined);
      await Promise.race([once(child, 'message'), died]);
      return child;
    });
    for (const child of await Promise.all(ready)) child.send('go');
  }

  /** Kills the process in the midst of it, once it has told of so many updates. */
  killAfter(name: string, updates: number): Promise<void> {
    return new Promise((resolve) => {
      let left = updates;
      this.#onUpdate = (process) => {
        if (process !== name || --left > 0) return;
        this.#onUpdate = () => undefined;
        this.#processes.get(name)?.kill('SIGKILL');
        resolve();
      };
    });
  }

  /** Waits for all of them. @returns what they told, and what stands there */
  async end(): Promise<Outcome> {
    const exits = [...this.#processes.values()].map((child) =>
      child.exitCode === null && child.signalCode === null ? once(child, 'exit') : [child.exitCode, child.signalCode],
    );
    for (const [code, signal] of await Promise.all(exits)) {
      if (code !== 0 && signal !== 'SIGKILL') throw new Error(`a process ended with ${code}, ${signal}`);
    }
    const { store, close, wipe } = await openStore(this.#address);
    const state = createState({ store, initial: () => ({ log: [] as string[] }) });
    const { state: record, version } = (await state.get('shared')) ?? { state: { log: [] }, version: 0 };
    await wipe();
    await state.close();
    await close();
    return { ends: this.#ends, log: record.log, version };
  }

  /** Leaves no process behind, whatever has happened. */
  clear(): void {
    for (const child of this.#processes.values()) child.kill('SIGKILL');
  }

  #hear(name: string, told: Told): void {
    if (told === 'ready') return;
    this.#ends.push(told);
    this.#onUpdate(name);
  }
}
