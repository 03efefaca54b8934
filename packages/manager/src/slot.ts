import { type ByteRange, type Linked, LinkedList } from '@chunks/base';
import type { FileEntry } from './file-entry.ts';
import type { Flight } from './flight.ts';
import { Priority } from './priority.ts';

/** What one who wants a chunk is told. Each is called synchronously: do no more than settle a promise. */
export interface DemandListener {
  /** More bytes of the chunk are readable. */
  onProgress(): void;
  /** The chunk is stored and marked. The demand is over. */
  onDone(): void;
  /** It cannot be had. The demand is over; `makeError` gives an error of this one's own. */
  onFailed(makeError: () => unknown): void;
}

/**
 * One who wants one chunk: the unit in which demand is counted. It names the chunk, not the slot: while nobody wants a
 * chunk its slot may be forgotten, so which one it stands in is decided when it joins.
 */
export class Demand implements Linked<Demand> {
  previous: Demand | undefined = undefined;
  next: Demand | undefined = undefined;
  /** The slot in whose list it stands; undefined before it is wanted, and once that is over. */
  slot: Slot | undefined = undefined;
  readonly file: FileEntry;
  readonly chunk: number;
  priority: Priority;
  readonly owner: string | undefined;
  readonly listener: DemandListener;

  constructor(
    file: FileEntry,
    chunk: number,
    o: { priority: Priority; owner: string | undefined; listener: DemandListener },
  ) {
    this.file = file;
    this.chunk = chunk;
    this.priority = o.priority;
    this.owner = o.owner;
    this.listener = o.listener;
  }
}

/**
 * idle → queued → fetching → (done: the slot goes) | backoff → queued | idle with `failed`.
 * fetching → stopping (nobody wants it, the aborted fetch has not settled) → idle or queued.
 * idle → evicting → idle or queued.
 */
export type Phase = 'idle' | 'queued' | 'fetching' | 'backoff' | 'stopping' | 'evicting';

/** One chunk that is wanted, under way, partly here or being read. Chunks that just lie there have none. */
export class Slot {
  readonly file: FileEntry;
  readonly chunk: number;
  readonly demands: LinkedList<Demand> = new LinkedList<Demand>();
  /** Readers that stand in this chunk: it must not be evicted. */
  holds = 0;
  phase: Phase = 'idle';
  /** The most urgent class asked for since somebody wanted it. */
  priority: Priority = Priority.LOW;
  /** Bytes in the store, from the chunk's start, without a gap. */
  received = 0;
  /** Failed attempts since somebody wanted it. */
  attempts = 0;
  failed = false;
  /** Whether the disk budget counts its bytes although it is not marked. */
  reserved = false;
  /** When bytes last arrived; 0 before the first. */
  progressAtMs = 0;
  flight: Flight | undefined = undefined;
  /** Of the phases backoff and stopping. */
  cancelTimer: () => void = () => undefined;

  constructor(file: FileEntry, chunk: number) {
    this.file = file;
    this.chunk = chunk;
  }

  /** Empty for the chunk that an empty file turned out not to have. */
  get range(): ByteRange {
    const { geometry } = this.file;
    return this.chunk < geometry.count ? geometry.rangeOf(this.chunk) : { startByte: 0, endByte: 0 };
  }

  get size(): number {
    const { startByte, endByte } = this.range;
    return endByte - startByte;
  }

  join(demand: Demand): void {
    this.demands.push(demand);
    demand.slot = this;
  }

  leave(demand: Demand): void {
    this.demands.remove(demand);
    demand.slot = undefined;
  }

  /** Ends everybody's demand; the caller tells them. */
  takeDemands(): Demand[] {
    const demands = [...this.demands];
    for (const demand of demands) this.leave(demand);
    return demands;
  }

  /** Whether nobody would miss its bytes right now. */
  get unused(): boolean {
    return this.phase === 'idle' && this.demands.size === 0 && this.holds === 0;
  }
}
