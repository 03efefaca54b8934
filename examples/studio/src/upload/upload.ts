import type { ChunkDirectory } from '@chunks/assemble';
import type { AssemblyReport, Run, Stage, UploadStatus } from '../protocol.ts';
import type { UploadRecord } from './record.ts';

interface Arrival {
  bytesSoFar: number;
  /** Clients that are sending this chunk now; more than one when a client sends it again. */
  senders: number;
}

/** One upload as the running server knows it. What must outlive the process is in its record and its chunk files. */
export class Upload {
  record: UploadRecord;
  readonly chunks: ChunkDirectory;
  /** The assembly that is under way. */
  assembling: Promise<AssemblyReport> | undefined;
  /** While the file is being put together: how far it is. */
  assembledBytes: number | undefined;
  /** Why putting it together failed, until it is tried again. */
  problem: string | undefined;
  /** Set once, under the upload's lock: whoever waited for that lock must stop. */
  removed = false;
  #stored: Set<number>;
  readonly #arriving = new Map<number, Arrival>();

  constructor(record: UploadRecord, chunks: ChunkDirectory, stored: Iterable<number>) {
    this.record = record;
    this.chunks = chunks;
    this.#stored = new Set(stored);
  }

  /** What lies on disk is right, whatever was thought to lie there: somebody may have tidied up. */
  foundOnDisk(indices: Iterable<number>): void {
    this.#stored = new Set(indices);
  }

  get id(): string {
    return this.record.id;
  }

  get chunkCount(): number {
    return Math.ceil(this.record.sizeBytes / this.record.chunkSizeBytes);
  }

  get stage(): Stage {
    if (this.record.assembly !== undefined) return 'ready';
    if (this.assembledBytes !== undefined) return 'assembling';
    return this.problem === undefined ? 'uploading' : 'failed';
  }

  /** Somebody is sending or assembling: not for the sweeper. */
  get active(): boolean {
    return this.#arriving.size > 0 || this.assembledBytes !== undefined;
  }

  get storedBytes(): number {
    let bytes = 0;
    for (const index of this.#stored) bytes += this.sizeOf(index);
    return bytes;
  }

  sizeOf(index: number): number {
    const { sizeBytes, chunkSizeBytes } = this.record;
    return Math.min(chunkSizeBytes, sizeBytes - index * chunkSizeBytes);
  }

  missing(): number[] {
    const missing: number[] = [];
    for (let index = 0; index < this.chunkCount; index++) if (!this.#stored.has(index)) missing.push(index);
    return missing;
  }

  /** @returns what to call with each piece that comes in, and when the sender is done, one way or the other. */
  arrive(index: number): { piece(bytes: number): void; stored(): void; end(): void } {
    const arrival = this.#arriving.get(index) ?? { bytesSoFar: 0, senders: 0 };
    this.#arriving.set(index, arrival);
    arrival.senders++;
    let own = 0;
    return {
      piece: (bytes) => {
        own += bytes;
        arrival.bytesSoFar = Math.max(arrival.bytesSoFar, own);
      },
      stored: () => this.#stored.add(index),
      end: () => {
        if (--arrival.senders === 0) this.#arriving.delete(index);
      },
    };
  }

  status(): UploadStatus {
    const { id, name, sizeBytes, contentType, chunkSizeBytes, assembly } = this.record;
    const missing = assembly === undefined ? this.missing() : [];
    const { chunkCount, stage } = this;
    return { id, name, sizeBytes, contentType, chunkSizeBytes, chunkCount, missing, stage, assembly };
  }

  /** The file's chunks as stretches of one state. */
  runs(): Run[] {
    const runs: Run[] = [];
    const { chunkSizeBytes, assembly } = this.record;
    for (let index = 0; index < this.chunkCount; index++) {
      const startByte = index * chunkSizeBytes;
      const endByte = startByte + this.sizeOf(index);
      const state = this.#stateOf(index, assembly !== undefined);
      const last = runs.at(-1);
      if (last?.state === state && state !== 'fetching') runs[runs.length - 1] = { ...last, endByte };
      else runs.push({ startByte, endByte, state, bytesSoFar: this.#arriving.get(index)?.bytesSoFar });
    }
    return runs.map((run) => (run.state === 'fetching' ? run : { ...run, bytesSoFar: undefined }));
  }

  #stateOf(index: number, assembled: boolean): Run['state'] {
    if (assembled || this.#stored.has(index)) return 'present';
    return this.#arriving.has(index) ? 'fetching' : 'missing';
  }
}
