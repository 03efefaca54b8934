import type { FileView } from '../protocol.ts';
import type { Upload } from '../upload/upload.ts';
import type { CacheRuns } from './cache-runs.ts';

/** One file in all its stages: the one place where the upload side and the play side meet. */
export function fileView(upload: Upload, cache: CacheRuns): FileView {
  const { id, name, sizeBytes, contentType, assembly } = upload.record;
  const { runs, cursors } = assembly === undefined ? { runs: [], cursors: [] } : cache.of(id, sizeBytes);
  return {
    id,
    name,
    sizeBytes,
    contentType,
    stage: upload.stage,
    uploadRuns: upload.runs(),
    cacheRuns: runs,
    cursors,
    assembly,
    assembledBytes: upload.assembledBytes,
    problem: upload.problem,
  };
}
