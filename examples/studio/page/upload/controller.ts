import type { AssemblyReport, UploadRequest, UploadStatus } from '../../src/protocol.ts';
import { RequestError } from '../request.ts';
import { type Unfinished, type UploadMemory, whyNotTheSame } from './memory.ts';
import { retryDelayMs, type SendProgress, sendMissing, type UploadPort } from './sender.ts';

/** All that an upload asks of the server. */
export interface UploadServer extends UploadPort {
  create(upload: UploadRequest, signal: AbortSignal): Promise<UploadStatus>;
  assemble(id: string, signal: AbortSignal): Promise<AssemblyReport>;
  remove(id: string): Promise<void>;
}

export interface ControllerOptions {
  readonly server: UploadServer;
  readonly memory: UploadMemory;
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Milliseconds, by the clock that shows when the server is asked again. */
  readonly now: () => number;
  readonly random: () => number;
  readonly onChange: (state: UploadState) => void;
}

export type Phase = 'idle' | 'asking' | 'sending' | 'waiting' | 'paused' | 'assembling' | 'failed' | 'done';

/** What the upload column shows. */
export interface UploadState {
  readonly phase: Phase;
  readonly id?: string | undefined;
  readonly name: string;
  readonly sizeBytes: number;
  readonly progress?: SendProgress | undefined;
  /** When the server is asked again, by the controller's clock. */
  readonly retryAtMs?: number | undefined;
  readonly problem?: string | undefined;
  /** Files that wait for their turn. */
  readonly queued: number;
  /** Uploads from before a reload that need their file again. */
  readonly unfinished: readonly Unfinished[];
}

interface Job {
  readonly file: File | undefined;
  readonly name: string;
  readonly sizeBytes: number;
  status?: UploadStatus | undefined;
}

const PAUSED = new Error('paused');

/** One upload at a time, from the choice of a file to the assembled one; survives reloads, drops and dead servers. */
export class UploadController {
  readonly #options: ControllerOptions;
  readonly #memory: UploadMemory;
  #state: UploadState = { phase: 'idle', name: '', sizeBytes: 0, queued: 0, unfinished: [] };
  readonly #queue: Job[] = [];
  #job: Job | undefined;
  #abort: AbortController | undefined;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#memory = options.memory;
  }

  get #server(): UploadServer {
    return this.#options.server;
  }

  get state(): UploadState {
    return this.#state;
  }

  /** Takes up what an earlier page left: whole uploads are assembled, others wait for their file. */
  async restore(): Promise<void> {
    for (const kept of this.#memory.list()) {
      const status = await this.#patiently((signal) => this.#server.describe(kept.id, signal)).catch(() => undefined);
      if (status === undefined || status.stage === 'ready') {
        this.#memory.forget(kept.id);
      } else if (status.missing.length > 0) {
        this.#set({ unfinished: [...this.#state.unfinished, kept] });
      } else {
        this.#enqueue([{ file: undefined, name: kept.name, sizeBytes: kept.size, status }]);
      }
    }
  }

  /** New files go to the end of the line; a file that was begun before goes on where it stopped. */
  add(files: readonly File[]): void {
    this.#enqueue(files.map((file) => ({ file, name: file.name, sizeBytes: file.size })));
  }

  /** Goes on with an upload from before a reload, if it is the same file. */
  goOn(kept: Unfinished, file: File): void {
    const problem = whyNotTheSame(kept, file);
    if (problem === undefined) this.add([file]);
    else this.#set({ problem });
  }

  pause(): void {
    this.#abort?.abort(PAUSED);
  }

  resume(): void {
    const job = this.#job;
    if (this.#abort === undefined && job !== undefined) void this.#run(job).then(() => this.#next());
  }

  /** Stops it and has the server delete what it has; false when the server refused, which is told as the problem. */
  async discard(id: string): Promise<boolean> {
    this.#memory.forget(id);
    this.#set({ unfinished: this.#state.unfinished.filter((kept) => kept.id !== id), problem: undefined });
    if (this.#state.id === id) {
      this.#job = undefined;
      this.#abort?.abort(PAUSED);
      this.#set({ phase: 'idle', id: undefined, progress: undefined });
      void this.#next();
    }
    try {
      await this.#server.remove(id);
    } catch (error) {
      if (isUnknown(error)) return true;
      this.#set({ problem: messageOf(error) });
      return false;
    }
    return true;
  }

  #enqueue(jobs: readonly Job[]): void {
    this.#queue.push(...jobs);
    this.#set({ queued: this.#queue.length });
    if (this.#abort === undefined && this.#state.phase !== 'paused') void this.#next();
  }

  async #next(): Promise<void> {
    while (this.#abort === undefined) {
      const job = this.#queue.shift();
      this.#set({ queued: this.#queue.length });
      if (job === undefined) return;
      await this.#run(job);
      if (this.#state.phase === 'paused') return;
    }
  }

  async #run(job: Job): Promise<void> {
    const abort = new AbortController();
    this.#abort = abort;
    this.#job = job;
    this.#set({
      phase: 'asking',
      id: job.status?.id,
      name: job.name,
      sizeBytes: job.sizeBytes,
      progress: undefined,
      problem: undefined,
    });
    try {
      await this.#send(job, abort.signal);
      this.#job = undefined;
      this.#set({ phase: 'done' });
    } catch (error) {
      if (isUnknown(error) && job.status !== undefined) {
        // Swept or deleted in the meantime: another try must begin a new one.
        this.#memory.forget(job.status.id);
        job.status = undefined;
      }
      if (this.#job === job) this.#set(error === PAUSED ? { phase: 'paused' } : failedBy(error));
    } finally {
      if (this.#abort === abort) this.#abort = undefined;
    }
  }

  async #send(job: Job, signal: AbortSignal): Promise<void> {
    const { file } = job;
    const known = job.status;
    // After a pause the server is asked what it has by now.
    let status =
      known === undefined
        ? await this.#begin(job, signal)
        : await this.#patiently((s) => this.#server.describe(known.id, s), signal);
    if (file !== undefined) {
      this.#memory.remember(status.id, file);
      this.#set({ id: status.id, unfinished: this.#state.unfinished.filter((kept) => kept.id !== status.id) });
      status = await sendMissing({
        port: this.#server,
        file,
        status,
        wait: this.#options.wait,
        random: this.#options.random,
        signal,
        onProgress: (progress) => this.#progress(progress),
      });
      job.status = status;
    }
    this.#set({ phase: 'assembling' });
    await this.#patiently((s) => this.#server.assemble(status.id, s), signal);
    this.#memory.forget(status.id);
  }

  async #begin(job: Job, signal: AbortSignal): Promise<UploadStatus> {
    const { file } = job;
    const kept = file === undefined ? undefined : this.#memory.find(file);
    if (kept !== undefined) {
      try {
        job.status = await this.#patiently((s) => this.#server.describe(kept.id, s), signal);
        return job.status;
      } catch (error) {
        if (!isUnknown(error)) throw error;
        this.#memory.forget(kept.id);
      }
    }
    const contentType = file?.type === '' ? undefined : file?.type;
    const wanted = { name: job.name, sizeBytes: job.sizeBytes, contentType };
    job.status = await this.#patiently((s) => this.#server.create(wanted, s), signal);
    return job.status;
  }

  /** Tries until there is an answer; a refusal rejects. */
  async #patiently<T>(ask: (signal: AbortSignal) => Promise<T>, signal = new AbortController().signal): Promise<T> {
    for (let failures = 1; ; failures += 1) {
      try {
        return await ask(signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof RequestError && error.retryable)) throw error;
        const before = this.#state.phase;
        const forMs = retryDelayMs(failures, this.#options.random());
        this.#set({ phase: 'waiting', retryAtMs: this.#options.now() + forMs });
        await this.#options.wait(forMs, signal);
        this.#set({ phase: before === 'waiting' ? 'asking' : before });
      }
    }
  }

  #progress(progress: SendProgress): void {
    const { waiting } = progress;
    if (waiting === undefined) this.#set({ phase: 'sending', progress });
    else this.#set({ phase: 'waiting', progress, retryAtMs: this.#options.now() + waiting.forMs });
  }

  #set(change: Partial<UploadState>): void {
    this.#state = { ...this.#state, ...change };
    this.#options.onChange(this.#state);
  }
}

/** The server knows no such upload (any more). */
function isUnknown(error: unknown): boolean {
  return error instanceof RequestError && error.status === 404;
}

function failedBy(error: unknown): Partial<UploadState> {
  return { phase: 'failed', problem: messageOf(error) };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
