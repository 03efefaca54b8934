import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { startSweeper } from '@chunks/assemble';
import { describeError } from '../log.ts';
import { LOCK_OPTIONS, type Uploads } from './uploads.ts';

export interface SweepSettings {
  readonly olderThanMs: number;
  readonly everyMs: number;
}

/** Removes uploads that nobody has touched for long. Never a finished one, never one that somebody is sending. */
export function sweepUploads(uploads: Uploads, settings: SweepSettings): AsyncDisposable {
  const { locks, log } = uploads.options;
  return startSweeper({
    root: uploads.chunksRoot,
    ...settings,
    isActive: (id) => {
      const upload = uploads.find(id);
      return upload !== undefined && (upload.active || upload.stage === 'ready');
    },
    // Chunks and record go under one lock: a client that comes in between finds the upload whole or gone.
    exclusively: (id, task) =>
      locks.run(
        `upload:${id}`,
        async () => {
          const result = await task();
          const upload = uploads.find(id);
          if (upload !== undefined && !existsSync(join(uploads.chunksRoot, id))) await uploads.removeLocked(upload);
          return result;
        },
        LOCK_OPTIONS,
      ),
    onSweep: ({ removed, bytes, kept, skipped }) => {
      // A sweep that found nothing is no news.
      if (removed.length + skipped.length > 0) log('sweep', { removed, bytes, kept, skipped });
    },
    onError: (error) => log('sweep-failed', { error: describeError(error) }),
  });
}
