import { assembleFile, isAssembleError } from '@chunks/assemble';
import { HttpProblem } from '../http/problem.ts';
import { describeError } from '../log.ts';
import type { AssemblyReport } from '../protocol.ts';
import type { Upload } from './upload.ts';
import { LOCK_OPTIONS, type Uploads } from './uploads.ts';

/**
 * Puts the file together. Idempotent: who asks while it is under way gets the same answer, done is answered with the
 * report there is, and what a crash left half-done is done again from the chunks, which go only when the report is on
 * disk.
 */
export function assembleUpload(upload: Upload, uploads: Uploads, stop: AbortSignal): Promise<AssemblyReport> {
  upload.assembling ??= assembleAlone(upload, uploads, stop).finally(() => {
    upload.assembling = undefined;
  });
  return upload.assembling;
}

/** Under the upload's lock: no chunk is published, and nothing removed, meanwhile. */
function assembleAlone(upload: Upload, uploads: Uploads, stop: AbortSignal): Promise<AssemblyReport> {
  const { locks, hooks } = uploads.options;
  return locks.run(
    `upload:${upload.id}`,
    async (lock) => {
      if (upload.removed) throw new HttpProblem(404, 'unknown-upload', 'The upload was deleted');
      const report = upload.record.assembly ?? (await build(upload, uploads, AbortSignal.any([stop, lock.signal])));
      if (upload.record.assembly === undefined) await uploads.saveAssembly(upload, report);
      await hooks.assembled(upload.record);
      await upload.chunks.remove();
      hooks.changed(upload.id);
      return report;
    },
    { ...LOCK_OPTIONS, signal: stop },
  );
}

async function build(upload: Upload, uploads: Uploads, signal: AbortSignal): Promise<AssemblyReport> {
  const { hooks } = uploads.options;
  const chunks = await upload.chunks.list();
  upload.foundOnDisk(chunks.map((chunk) => chunk.index));
  const missing = upload.missing();
  if (missing.length > 0) {
    const some = missing.slice(0, 20).join(', ');
    throw new HttpProblem(409, 'missing-chunks', `${missing.length} chunks are missing, first ${some}`);
  }
  const rssBefore = process.memoryUsage.rss();
  let rssPeak = rssBefore;
  upload.problem = undefined;
  upload.assembledBytes = 0;
  hooks.changed(upload.id);
  try {
    const result = await assembleFile({
      chunks,
      totalBytes: upload.record.sizeBytes,
      root: uploads.chunksRoot,
      destination: uploads.pathOf(upload.id),
      // A run that was killed after publishing and before its report was saved left the same file there.
      overwrite: true,
      verify: { whole: 'sha256' },
      signal,
      onProgress: ({ bytes }) => {
        upload.assembledBytes = bytes;
        rssPeak = Math.max(rssPeak, process.memoryUsage.rss());
        hooks.changed(upload.id);
      },
    });
    return {
      id: upload.id,
      bytes: result.bytes,
      chunks: result.chunks,
      engine: result.engine,
      durationMs: Math.round(result.durationMs * 10) / 10,
      sha256: result.digest?.hex ?? '',
      rssGrowthBytes: Math.max(0, Math.max(rssPeak, process.memoryUsage.rss()) - rssBefore),
    };
  } catch (error) {
    upload.problem = describeError(error);
    if (isAssembleError(error) && error.code === 'SIZE_MISMATCH') {
      hooks.sizeMismatch({ outcome: 'failed', id: upload.id, expected: error.expected, actual: error.actual });
    }
    throw error;
  } finally {
    upload.assembledBytes = undefined;
    hooks.changed(upload.id);
  }
}
