import { collectBytes, deferred, onAbort } from '@chunks/base';
import { VirtualClock } from '@chunks/base/testing';
import {
  type CachedFile,
  ChunkManager,
  type ChunkRepository,
  type ChunkStore,
  type ChunkTicket,
  Coverage,
  type FetchChunk,
  type FetchContext,
  type FetchJob,
  memoryChunkStore,
  type Priority,
} from '@chunks/manager';
import fc from 'fast-check';
import { expect } from 'vitest';
import { contentOf, flush } from './origin.ts';

const ID = 'film';
const TOTAL = 45;
const CHUNK = 10;
const COUNT = 5;
const ABANDON_MS = 5_000;
const EXPECTED = new Set(['GENERATION_CHANGED', 'WAIT_TIMEOUT', 'CHUNK_FAILED', 'DISK_BUDGET', 'UNKNOWN_FILE']);

const content = (generation: string): Uint8Array => contentOf(TOTAL, Number(generation.slice(1)));

const KINDS = [
  ...['request', 'request', 'wait', 'wait', 'read', 'read', 'pull', 'pull', 'pull', 'cancel', 'abort', 'leave'],
  ...['give', 'give', 'give', 'finish', 'finish', 'finish', 'fail', 'deafen', 'change', 'time', 'crash'],
  ...['remove', 'reopen', 'playhead', 'pin', 'unpin'],
] as const;

/** What a program may do; numbers pick among what is there. */
export interface Step {
  readonly kind: string;
  readonly chunk: number;
  readonly pick: number;
  readonly priority: Priority;
}

export const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(...KINDS),
  chunk: fc.nat(COUNT - 1),
  pick: fc.nat(20),
  priority: fc.constantFrom<Priority>(0, 1, 2, 3),
});

interface OpenCall {
  readonly job: FetchJob;
  readonly context: FetchContext;
  readonly generation: string;
  readonly end: ReturnType<typeof deferred<void>>;
  readonly epoch: number;
  at: number;
  ignoresAbort: boolean;
  abortedAtMs: number | undefined;
}

interface Reading {
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly generation: string;
  at: number;
  readonly endByte: number;
  state: 'idle' | 'pulling' | 'over';
}

/** One random program over one file, its world and the rules that hold in it after every step. */
export class Program {
  /** Of the manager that runs now: a dead process's timers never fire. */
  #clock = new VirtualClock();
  readonly #disk = memoryChunkStore();
  readonly #openRepository: () => Promise<ChunkRepository>;
  readonly #budget: number | undefined;
  #repository!: ChunkRepository;
  #manager!: ChunkManager;
  #file!: CachedFile;
  /** Of the manager that runs now; a crash takes its hands off the disk. */
  #life = { over: false };
  #generation = 'g1';
  #calls: OpenCall[] = [];
  #tickets: ChunkTicket[] = [];
  #waits: AbortController[] = [];
  #readings: Reading[] = [];
  #pending = 0;
  /** How many generations there were. */
  #changes = 0;
  /** How often the file began anew: a deaf call of the one before is no business of the new one's. */
  #epoch = 0;
  readonly #problems: unknown[] = [];
  /** How often each byte was written since it was last removed, by generation. */
  readonly #written = new Map<string, Uint8Array>();

  constructor(openRepository: () => Promise<ChunkRepository>, budget: number | undefined) {
    this.#openRepository = openRepository;
    this.#budget = budget;
  }

  async run(steps: readonly Step[]): Promise<void> {
    await this.#start();
    for (const each of steps) {
      await this.#do(each);
      await flush();
      await this.#check();
    }
    await this.#drain();
    await this.#check();
    expect(this.#pending).toBe(0);
    expect(this.#manager.stats()).toMatchObject({ waiters: 0, active: 0 });
    await this.#manager.close();
    expect(this.#clock.pending).toBe(0);
  }

  async #start(): Promise<void> {
    this.#repository = await this.#openRepository();
    const life = { over: false };
    this.#life = life;
    this.#clock = new VirtualClock();
    this.#manager = new ChunkManager({
      fetchChunk: (job, context) => (life.over ? new Promise(() => undefined) : this.#fetch(job, context)),
      store: mortal(this.#countingStore(), this.#life),
      repository: mortal(this.#repository, this.#life),
      chunkSizeBytes: CHUNK,
      concurrency: 2,
      retry: { attempts: 2, baseMs: 100 },
      initialBufferBytes: 15,
      abandonAfterMs: ABANDON_MS,
      diskBudget: this.#budget === undefined ? undefined : { maxBytes: this.#budget },
      clock: this.#clock,
      random: () => 0.5,
    });
    this.#manager.on('generation', ({ from }) => {
      this.#changes++;
      // A generation that was assumed is the same file when the origin names it.
      if (!from?.startsWith('length')) this.#epoch++;
    });
    await this.#open();
  }

  async #open(): Promise<void> {
    this.#file = await this.#manager.openFile({ id: ID, totalBytes: TOTAL });
  }

  async #do({ kind, chunk, pick, priority }: Step): Promise<void> {
    const manager = this.#manager;
    const endByte = Math.min(TOTAL, (chunk + 1 + (pick % 3)) * CHUNK - (pick % 4));
    const range = { startByte: chunk * CHUNK + (pick % 4), endByte };
    const open = this.#calls[pick % Math.max(1, this.#calls.length)];
    if (kind === 'request') {
      const ticket = manager.requestRange(ID, range, { priority });
      this.#tickets.push(ticket);
      this.#settles(ticket.done);
    } else if (kind === 'wait') {
      const leaving = new AbortController();
      this.#waits.push(leaving);
      const changes = this.#changes;
      const wait = manager.waitForChunk(ID, chunk, { priority, signal: leaving.signal, timeoutMs: 1_000 });
      const isStable = (): boolean => this.#budget === undefined && this.#changes === changes;
      this.#settles(wait.then(() => isStable() && expect(manager.hasChunk(ID, chunk)).toBe(true)));
    } else if (kind === 'read') this.#read(range);
    else if (kind === 'pull') this.#pull(this.#readings[pick % Math.max(1, this.#readings.length)]);
    else if (kind === 'cancel') this.#tickets[pick % Math.max(1, this.#tickets.length)]?.cancel();
    else if (kind === 'abort') this.#waits[pick % Math.max(1, this.#waits.length)]?.abort(leave());
    else if (kind === 'leave') this.#leave(this.#readings[pick % Math.max(1, this.#readings.length)]);
    else if (kind === 'give') await this.#give(open, 1 + (pick % 5));
    else if (kind === 'finish') await this.#finish(open);
    else if (kind === 'fail') this.#end(open, new Error('the origin failed'));
    else if (kind === 'deafen' && open !== undefined) open.ignoresAbort = true;
    else if (kind === 'change') this.#generation = `g${Number(this.#generation.slice(1)) + (pick % 3)}`;
    else if (kind === 'time') await this.#clock.advance(pick * 50);
    else if (kind === 'crash') await this.#crash();
    else if (kind === 'remove') {
      await manager.removeFile(ID);
      await this.#open();
    } else if (kind === 'reopen') await this.#open();
    else if (kind === 'playhead')
      manager.playhead(ID, { owner: `p${pick % 2}`, byte: range.startByte, bitrateBitsPerSecond: 16 });
    else if (kind === 'pin') manager.pin(ID, { firstChunk: chunk, endChunk: chunk + 1 });
    else if (kind === 'unpin') manager.unpin(ID);
  }

  readonly #fetch: FetchChunk = async (job, context) => {
    const generation = this.#generation;
    this.#checkStart(job);
    const call: OpenCall = {
      job,
      context,
      generation,
      end: deferred<void>(),
      at: job.resumeFromByte,
      epoch: this.#epoch,
      ignoresAbort: false,
      abortedAtMs: undefined,
    };
    this.#calls.push(call);
    onAbort(context.signal, () => {
      call.abortedAtMs = this.#clock.now();
      if (!call.ignoresAbort) this.#end(call, context.signal.reason);
    });
    try {
      context.setFile({ totalBytes: TOTAL, generation });
      await call.end.promise;
    } finally {
      this.#calls = this.#calls.filter((each) => each !== call);
    }
  };

  /** Single flight: another call for the chunk may only be one that has ignored its abort for long enough. */
  #checkStart(job: FetchJob): void {
    for (const other of this.#calls) {
      if (other.job.chunk !== job.chunk || other.epoch !== this.#epoch) continue;
      const isAbandoned = other.abortedAtMs !== undefined && this.#clock.now() - other.abortedAtMs >= ABANDON_MS;
      if (!isAbandoned) this.#problems.push(new Error(`chunk ${job.chunk} is fetched twice at once`));
    }
  }

  async #give(call: OpenCall | undefined, count: number): Promise<void> {
    if (call === undefined) return;
    const end = Math.min(call.at + count, call.job.range.endByte);
    const bytes = content(call.generation).slice(call.at, end);
    const wasOver = call.context.signal.aborted;
    // Not awaited here: a store that a crash has cut off never answers.
    const writing = call.context.write(bytes).then(
      () => {
        if (wasOver) this.#problems.push(new Error('a late write was taken'));
      },
      () => undefined,
    );
    call.at = end;
    await Promise.race([writing, flush()]);
  }

  async #finish(call: OpenCall | undefined): Promise<void> {
    await this.#give(call, CHUNK);
    call?.end.resolve();
  }

  #end(call: OpenCall | undefined, reason: unknown): void {
    call?.end.promise.catch(() => undefined);
    call?.end.reject(reason);
  }

  #read(range: { startByte: number; endByte: number }): void {
    const { generation } = this.#file;
    try {
      const reader = this.#file.read(range, { timeoutMs: 1_000 }).getReader();
      this.#readings.push({ reader, generation, at: range.startByte, endByte: range.endByte, state: 'idle' });
    } catch (error) {
      this.#expectError(error);
    }
  }

  #pull(reading: Reading | undefined): void {
    if (reading === undefined || reading.state !== 'idle') return;
    reading.state = 'pulling';
    const before = reading.generation;
    this.#settles(
      reading.reader.read().then(
        ({ done, value }) => {
          reading.state = done ? 'over' : 'idle';
          if (value === undefined) return;
          // Before the origin was asked, the generation was only assumed.
          const generation = before.startsWith('length') ? this.#file.generation : before;
          expect([...value]).toEqual([...content(generation).slice(reading.at, reading.at + value.byteLength)]);
          reading.at += value.byteLength;
          expect(reading.at).toBeLessThanOrEqual(reading.endByte);
        },
        (error) => {
          reading.state = 'over';
          throw error;
        },
      ),
    );
  }

  #leave(reading: Reading | undefined): void {
    reading?.reader.cancel().catch(() => undefined);
  }

  async #crash(): Promise<void> {
    this.#life.over = true;
    for (const call of [...this.#calls]) this.#end(call, new Error('the process is gone'));
    await flush();
    this.#calls = [];
    this.#tickets = [];
    this.#waits = [];
    this.#readings = [];
    // What a dead process waited for is nobody's wait any more.
    this.#pending = 0;
    this.#written.clear();
    await this.#repository.close?.();
    await this.#start();
  }

  #settles(promise: Promise<unknown>): void {
    const { over } = this.#life;
    const life = this.#life;
    if (over) return;
    this.#pending++;
    const settled = (): void => {
      if (!life.over) this.#pending--;
    };
    promise.then(settled, (error) => {
      settled();
      this.#expectError(error);
    });
  }

  #expectError(error: unknown): void {
    const { code, name } = error as { code?: string; name?: string };
    if (name === 'AbortError' || EXPECTED.has(code as string)) return;
    this.#problems.push(error);
  }

  /** What holds at every moment. */
  async #check(): Promise<void> {
    for (const problem of this.#problems) throw problem;
    const row = await this.#repository.loadFile(ID);
    if (row !== undefined) {
      const coverage = Coverage.from(row.coverage, COUNT);
      for (let chunk = 0; chunk < COUNT; chunk++) {
        if (!coverage.has(chunk)) continue;
        const range = { startByte: chunk * CHUNK, endByte: Math.min(TOTAL, chunk * CHUNK + CHUNK) };
        const stored = await collectBytes(this.#disk.read(ID, row.generation, range));
        expect([...stored]).toEqual([...content(row.generation).slice(range.startByte, range.endByte)]);
      }
    }
    const { active } = this.#manager.stats();
    expect(active).toBeGreaterThanOrEqual(0);
    expect(active).toBeLessThanOrEqual(2);
    // What runs is wanted: a call that nobody wants was aborted.
    const wanted = this.#manager.snapshot(ID).runs.filter(({ state }) => state === 'fetching');
    for (const { waiters, chunks, bytesSoFar } of wanted) {
      const size = Math.min(CHUNK, TOTAL - chunks.firstChunk * CHUNK);
      // What is complete may end by itself when the last one has left.
      if (bytesSoFar !== size) expect(waiters).toBeGreaterThan(0);
    }
    expect(this.#calls.filter((call) => call.abortedAtMs === undefined).length).toBe(wanted.length);
    if (this.#budget !== undefined) expect(await this.#disk.usage()).toBeLessThanOrEqual(this.#budget);
  }

  /** The origin heals and answers everything: nobody may be left waiting. */
  async #drain(): Promise<void> {
    for (let round = 0; round < 60 && (this.#pending > 0 || this.#calls.length > 0); round++) {
      for (const call of [...this.#calls]) await this.#finish(call);
      await flush();
      for (const reading of this.#readings) this.#pull(reading);
      await this.#clock.advance(100);
      await flush();
    }
    for (const reading of this.#readings) this.#leave(reading);
    await flush();
  }

  /** Nobody asks for a byte twice: within one life of a chunk each byte is written once. */
  #countingStore(): ChunkStore {
    const disk = this.#disk;
    const of = (generation: string): Uint8Array => {
      let counts = this.#written.get(generation);
      if (counts === undefined) this.#written.set(generation, (counts = new Uint8Array(TOTAL)));
      return counts;
    };
    return {
      ...disk,
      write: (fileId, generation, chunk, offset, bytes) => {
        const counts = of(generation);
        for (let byte = offset; byte < offset + bytes.byteLength; byte++) {
          counts[byte] = (counts[byte] as number) + 1;
          if ((counts[byte] as number) > 1) this.#problems.push(new Error(`byte ${byte} was fetched twice`));
        }
        return disk.write(fileId, generation, chunk, offset, bytes);
      },
      remove: (fileId, generation, chunks, range) => {
        if (range === undefined) this.#written.delete(generation);
        else of(generation).fill(0, range.startByte, range.endByte);
        return disk.remove(fileId, generation, chunks, range);
      },
    };
  }
}

const leave = (): DOMException => new DOMException('left', 'AbortError');

/** The same object, until its owner is dead: then no call has any effect, nor ever an answer. */
function mortal<T extends object>(target: T, life: { over: boolean }): T {
  return new Proxy(target, {
    get(of, name) {
      const value = Reflect.get(of, name);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => (life.over ? new Promise(() => undefined) : Reflect.apply(value, of, args));
    },
  });
}
