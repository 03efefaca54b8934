import {
  type Backoff,
  type Clock,
  checkFunction,
  checkInteger,
  checkNumber,
  Emitter,
  exponentialBackoff,
  LogHistogram,
  refuseType,
  systemClock,
} from '@chunks/base';
import type { DiskBudget } from './eviction.ts';
import type { FileEntry } from './file-entry.ts';
import { DEFAULT_CHUNK_SIZE_BYTES } from './geometry.ts';
import { memoryRepository } from './memory-repository.ts';
import { type PerPriority, perPriority } from './priority.ts';
import type { ChunkRepository, ChunkStore, DescribeFile, FetchChunk, ManagerEvents, ManagerOptions } from './types.ts';

/** {@link ManagerOptions}, checked, with every default in place. */
export interface Settings {
  readonly fetchChunk: FetchChunk;
  readonly describeFile: DescribeFile | undefined;
  readonly store: ChunkStore;
  readonly repository: ChunkRepository;
  readonly chunkSizeBytes: number;
  readonly concurrency: number;
  readonly perFile: number;
  readonly attempts: number;
  readonly backoff: Backoff;
  readonly initialBufferBytes: number;
  readonly maxDiskBytes: number | undefined;
  readonly abandonAfterMs: number;
  readonly clock: Clock;
  readonly random: () => number;
}

const checkObject = (option: string, value: unknown): void => {
  if (typeof value !== 'object' || value === null) refuseType(option, 'an object', value);
};

/** @throws TypeError | RangeError naming option, rule and value */
export function settingsOf(o: ManagerOptions): Settings {
  checkObject('options', o);
  checkFunction('fetchChunk', o.fetchChunk);
  checkObject('store', o.store);
  if (o.describeFile !== undefined) checkFunction('describeFile', o.describeFile);
  const concurrency = checkInteger('concurrency', o.concurrency ?? 3, 1);
  const baseMs = checkNumber('retry.baseMs', o.retry?.baseMs ?? 500, 0);
  return {
    fetchChunk: o.fetchChunk,
    describeFile: o.describeFile,
    store: o.store,
    repository: o.repository ?? memoryRepository(),
    chunkSizeBytes: checkInteger('chunkSizeBytes', o.chunkSizeBytes ?? DEFAULT_CHUNK_SIZE_BYTES, 1),
    concurrency,
    perFile: checkInteger('perFile', o.perFile ?? concurrency, 1),
    attempts: checkInteger('retry.attempts', o.retry?.attempts ?? 3, 1),
    backoff: exponentialBackoff({
      baseMs,
      maxMs: checkNumber('retry.maxMs', o.retry?.maxMs ?? 10_000, 0),
      jitter: 'full',
    }),
    initialBufferBytes: checkInteger('initialBufferBytes', o.initialBufferBytes ?? 20 * 1024 * 1024, 0),
    maxDiskBytes:
      o.diskBudget === undefined ? undefined : checkInteger('diskBudget.maxBytes', o.diskBudget.maxBytes, 1),
    abandonAfterMs: checkNumber('abandonAfterMs', o.abandonAfterMs ?? 5_000, 0),
    clock: o.clock ?? systemClock,
    random: o.random ?? Math.random,
  };
}

/** What is counted as it happens; the rest of the statistics is read off when asked for. */
export class Counters {
  waiters = 0;
  bytesFetched = 0;
  bytesWasted = 0;
  shared = 0;
  retries = 0;
  abandoned = 0;
  evictions = 0;
  readonly wait: PerPriority<LogHistogram> = perPriority(() => new LogHistogram());
}

/** What every part of one manager shares. */
export class Core {
  readonly settings: Settings;
  readonly events: Emitter<ManagerEvents> = new Emitter();
  readonly counters: Counters = new Counters();
  /** By id: the current generation of each file that is loaded, open or just being opened. */
  readonly files: Map<string, FileEntry> = new Map();
  /** Undefined without a limit. */
  budget: DiskBudget | undefined = undefined;
  closed = false;

  constructor(settings: Settings) {
    this.settings = settings;
  }
}
