import { type ChunkManager, type FileSnapshot, isManagerError, Priority } from '@chunks/manager';
import type { Cursor, Run } from '../protocol.ts';

type Named = NonNullable<Run['priority']>;
const NAMES: ReadonlyMap<number | undefined, Named> = new Map(
  Object.entries(Priority).map(([name, value]) => [value, name as Named]),
);

/** What the cache holds and does, file by file, as the chunk map shows it. */
export class CacheRuns {
  readonly #manager: ChunkManager;
  readonly #chunkSizeBytes: number;

  constructor(manager: ChunkManager, chunkSizeBytes: number, changed: (fileId: string) => void) {
    this.#manager = manager;
    this.#chunkSizeBytes = chunkSizeBytes;
    const events = ['queued', 'started', 'progress', 'chunk', 'failed', 'retry', 'cancelled', 'evicted'] as const;
    for (const event of events) manager.on(event, ({ fileId }) => changed(fileId));
  }

  of(fileId: string, sizeBytes: number): { runs: Run[]; cursors: readonly Cursor[] } {
    const snapshot = this.#snapshot(fileId);
    if (snapshot === undefined) {
      return { runs: sizeBytes > 0 ? [{ startByte: 0, endByte: sizeBytes, state: 'missing' }] : [], cursors: [] };
    }
    const at = (chunk: number): number => Math.min(sizeBytes, chunk * this.#chunkSizeBytes);
    const runs = snapshot.runs.map(({ chunks, state, priority, bytesSoFar, waiters, attempts }): Run => {
      const range = { startByte: at(chunks.firstChunk), endByte: at(chunks.endChunk) };
      return { ...range, state, priority: NAMES.get(priority), bytesSoFar, waiters, attempts };
    });
    return { runs, cursors: snapshot.cursors };
  }

  /** undefined until somebody has played it: before that the manager does not know the file. */
  #snapshot(fileId: string): FileSnapshot | undefined {
    try {
      return this.#manager.snapshot(fileId);
    } catch (error) {
      if (isManagerError(error) && error.code === 'UNKNOWN_FILE') return undefined;
      throw error;
    }
  }
}
