import { Coverage } from './coverage.ts';
import type { ChunkRepository, FileRow } from './types.ts';

interface Kept {
  readonly row: FileRow;
  readonly coverage: Coverage;
}

const chunkCount = (row: FileRow): number => Math.ceil(row.totalBytes / row.chunkSizeBytes);

/** A repository that forgets everything with the process: for tests, and for stores that do the same. */
export function memoryRepository(): ChunkRepository {
  // In order of use: who is used moves to the end.
  const files = new Map<string, Kept>();
  const keep = (kept: Kept): void => {
    files.delete(kept.row.id);
    files.set(kept.row.id, kept);
  };
  const of = (fileId: string, generation: string): Coverage | undefined => {
    const kept = files.get(fileId);
    return kept?.row.generation === generation ? kept.coverage : undefined;
  };
  return {
    async loadFile(id) {
      const kept = files.get(id);
      if (kept === undefined) return undefined;
      keep(kept);
      return { ...kept.row, coverage: kept.coverage.toBytes() };
    },
    async upsertFile(row) {
      keep({ row, coverage: Coverage.from(row.coverage, chunkCount(row)) });
    },
    async removeFile(id) {
      return files.delete(id);
    },
    async markChunks(fileId, generation, chunks) {
      for (const { chunk } of chunks) of(fileId, generation)?.mark(chunk);
    },
    async unmarkChunks(fileId, generation, { firstChunk, endChunk }) {
      for (let chunk = firstChunk; chunk < endChunk; chunk++) of(fileId, generation)?.unmark(chunk);
    },
    async listFiles() {
      return [...files.keys()];
    },
  };
}
