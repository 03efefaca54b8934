import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ChunkManager } from '@chunks/manager';
import { httpFetcher } from '@chunks/manager/http';
import { sqliteRepository } from '@chunks/manager/sqlite';
import { fileChunkStore } from '@chunks/manager/store-file';

export interface CacheOptions {
  /** The cache gets a folder of its own in it. */
  readonly directory: string;
  readonly chunkSizeBytes: number;
  readonly maxBytes: number;
  /** Where the origin answers; asked at each fetch, because the port is known only when the server listens. */
  originUrl(fileId: string): string;
  readonly token?: string | undefined;
}

/** The range cache: chunks as files, coverage in SQLite, the origin behind HTTP as it would be elsewhere. */
export async function openCache(options: CacheOptions): Promise<ChunkManager> {
  // A cache keeps the chunk size it was made with, and the map shows the one that is set: another size, another cache.
  const own = `cache-${options.chunkSizeBytes}`;
  for (const name of await readdir(options.directory)) {
    if (name.startsWith('cache-') && name !== own) await rm(join(options.directory, name), { recursive: true });
  }
  const chunks = join(options.directory, own, 'chunks');
  await mkdir(chunks, { recursive: true });
  const headers = options.token === undefined ? undefined : { authorization: `Bearer ${options.token}` };
  return new ChunkManager({
    ...httpFetcher({ url: options.originUrl, headers }),
    repository: sqliteRepository(join(options.directory, own, 'cache.sqlite')),
    store: fileChunkStore(chunks),
    chunkSizeBytes: options.chunkSizeBytes,
    diskBudget: { maxBytes: options.maxBytes },
  });
}
