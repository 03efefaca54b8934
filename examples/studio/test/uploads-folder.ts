import { KeyedMutex } from '@chunks/locks';
import { Uploads } from '../src/upload/uploads.ts';
import { temporary } from './running.ts';

export interface UploadsFolder {
  readonly directory: string;
  /** Opens it, again as after a crash. */
  open(limits?: Partial<Uploads['options']['limits']>): Promise<Uploads>;
  readonly events: string[];
  /** What the hooks were called with, over all openings. */
  readonly created: string[];
  readonly assembled: string[];
  readonly removed: string[];
}

/** The upload side alone, without a server. */
export async function uploadsFolder(): Promise<UploadsFolder> {
  const directory = await temporary();
  const seen = { events: [], created: [], assembled: [], removed: [] } as Record<string, string[]> &
    Pick<UploadsFolder, 'events' | 'created' | 'assembled' | 'removed'>;
  return {
    directory,
    ...seen,
    open: (limits) =>
      Uploads.open({
        directory,
        limits: { chunkSizeBytes: 1024, maxFileBytes: 2 ** 53 - 1, maxOpenUploads: 10, maxChunks: 2 ** 53, ...limits },
        locks: new KeyedMutex(),
        log: (event) => seen.events.push(event),
        hooks: {
          created: async ({ id }) => void seen.created.push(id),
          assembled: async ({ id }) => void seen.assembled.push(id),
          removed: async (id) => void seen.removed.push(id),
          changed: () => undefined,
          received: () => undefined,
          sizeMismatch: () => undefined,
        },
      }),
  };
}
