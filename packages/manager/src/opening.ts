import { deferred, onAbort } from '@chunks/base';
import type { Core } from './core.ts';
import type { Downloads } from './downloads.ts';
import { BadOriginError } from './errors.ts';
import { FileEntry, generationOfLength } from './file-entry.ts';
import { ChunkGeometry } from './geometry.ts';
import { Priority } from './priority.ts';
import { Demand } from './slot.ts';
import type { FileFacts, OpenOptions } from './types.ts';

/** What is known before anything is asked of the origin. */
export function entryFromHints(core: Core, o: OpenOptions): FileEntry | undefined {
  if (o.totalBytes === undefined) return undefined;
  return newEntry(core, o, {
    totalBytes: o.totalBytes,
    generation: o.generation,
    certainty: o.generation === undefined ? 'assumed' : 'certain',
  });
}

/** What the origin says when it is asked without fetching. @throws BadOriginError when it does not say how long it is */
export async function entryFromDescription(core: Core, o: OpenOptions, signal: AbortSignal): Promise<FileEntry> {
  const facts = await describe(core, { id: o.id, generation: undefined }, signal);
  if (facts === 'unchanged' || facts?.totalBytes === undefined) {
    throw new BadOriginError({ fileId: o.id, problem: 'describeFile did not say how long the file is' });
  }
  const generation = facts.generation ?? undefined;
  const certainty = facts.generation === undefined ? 'assumed' : 'certain';
  return newEntry(core, o, { totalBytes: facts.totalBytes, generation, certainty });
}

/** Undefined without `describeFile`. Ends with the signal also when the describing goes on. */
export async function describe(
  core: Core,
  file: { id: string; generation: string | undefined },
  signal: AbortSignal,
): Promise<FileFacts | 'unchanged' | undefined> {
  const { describeFile } = core.settings;
  if (describeFile === undefined) return undefined;
  const aborted = deferred<never>();
  aborted.promise.catch(() => undefined);
  const unlisten = onAbort(signal, () => aborted.reject(signal.reason));
  try {
    return await Promise.race([describeFile(file, { signal }), aborted.promise]);
  } finally {
    unlisten();
  }
}

/**
 * A file of which nothing is known: the fetch of its first chunk tells. The chunk goes on coming afterwards, so that
 * what was asked of the origin once is not asked again by the first reader.
 */
export async function probeEntry(
  core: Core,
  downloads: Downloads,
  o: OpenOptions,
  signal: AbortSignal,
): Promise<FileEntry> {
  const chunkSizeBytes = o.chunkSizeBytes ?? core.settings.chunkSizeBytes;
  const geometry = new ChunkGeometry({ totalBytes: chunkSizeBytes, chunkSizeBytes });
  const entry = new FileEntry({ id: o.id, generation: '', geometry, certainty: 'unknown' });
  core.files.set(o.id, entry);
  const known = deferred<void>();
  entry.onKnown = () => known.resolve();
  const listener = {
    onProgress: () => undefined,
    onDone: () => undefined,
    onFailed: (makeError: () => unknown) => known.reject(makeError()),
  };
  const demand = new Demand(entry, 0, { priority: Priority.CRITICAL, owner: undefined, listener });
  const unlisten = onAbort(signal, () => known.reject(signal.reason));
  downloads.want(demand);
  try {
    await known.promise;
    return entry;
  } catch (error) {
    downloads.release(demand);
    if (core.files.get(o.id) === entry) core.files.delete(o.id);
    throw error;
  } finally {
    unlisten();
  }
}

function newEntry(
  core: Core,
  o: OpenOptions,
  facts: { totalBytes: number; generation: string | undefined; certainty: FileEntry['certainty'] },
): FileEntry {
  const { totalBytes, certainty } = facts;
  const chunkSizeBytes = o.chunkSizeBytes ?? core.settings.chunkSizeBytes;
  return new FileEntry({
    id: o.id,
    generation: facts.generation ?? generationOfLength(totalBytes),
    geometry: new ChunkGeometry({ totalBytes, chunkSizeBytes }),
    certainty,
  });
}
