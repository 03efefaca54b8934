import { CopyDigests, type CopyJob } from './copy-job.ts';
import { copyAsync } from './engine-async.ts';
import { copyInline } from './engine-inline.ts';
import { DestinationExistsError, SizeMismatchError, SyncFailedError, WriteFailedError } from './errors.ts';
import { codeOf, syncDirectory } from './file-port.ts';
import { checkDestination, makePlan, type Plan } from './plan.ts';
import {
  type AssembleInput,
  type AssembleSettings,
  checkSettings,
  type Durability,
  type Engine,
  type Settings,
} from './settings.ts';
import type { Digest } from './types.ts';
import { type Claim, Workplace } from './workplace.ts';

/** What {@link assembleFile} made. */
export interface AssembleResult {
  /** Absolute. */
  readonly path: string;
  readonly bytes: number;
  readonly chunks: number;
  /** Of the whole, when `verify.whole` or the manifest asked for it. */
  readonly digest?: Digest | undefined;
  readonly engine: Engine;
  readonly durability: Durability;
  readonly durationMs: number;
}

/**
 * Makes one file of many chunks. Every check comes before the first write; the file is built beside its destination
 * and put there in one step, so that at every instant, and after every crash, the destination is absent, the old file
 * or the complete new one. The chunks are never changed. Temporary files of a run that died are taken away by the next
 * run to the same destination.
 *
 * Cancel: an abort rejects with `signal.reason` and leaves nothing; once the file stands at its destination, the call
 * succeeds. Two runs to one destination: the second is refused; there is no queue.
 *
 * @throws TypeError | RangeError for bad options.
 * @throws DuplicateChunksError | ExtraChunksError | MissingChunksError | SizeMismatchError when chunks and total do not fit.
 * @throws UnsafePathError for links, for paths outside `root`, and for a chunk that became another file meanwhile.
 * @throws DestinationExistsError without `overwrite`, AssemblyBusyError while another run is at it.
 * @throws InsufficientSpaceError before anything is written.
 * @throws ChunkUnavailableError, DigestMismatchError, WriteFailedError, SyncFailedError from the copy on; all but a
 * SyncFailedError with `published` leave the destination as it was.
 * @example
 * const upload = await ChunkDirectory.open({ root: 'uploads', id });
 * const { bytes, digest } = await assembleFile({
 *   chunks: await upload.list(), totalBytes, destination: 'videos/a.mp4', verify: { whole: 'sha256' },
 * });
 */
export async function assembleFile(options: AssembleInput & AssembleSettings): Promise<AssembleResult> {
  const settings = checkSettings(options);
  const startedMs = performance.now();
  settings.signal?.throwIfAborted();
  const workplace = new Workplace(settings.destination, settings.files);
  await workplace.clear();
  const plan = await makePlan(settings);
  settings.signal?.throwIfAborted();
  const claim = await workplace.claim(settings.mode);
  let digest: Digest | undefined;
  try {
    // Again, now that no other run is at it: it may have published while this one waited for its turn to look.
    await checkDestination(settings, plan.chunks);
    digest = await copy(settings, plan, claim);
    await settle(settings, plan, claim);
    settings.signal?.throwIfAborted();
    await publish(settings, claim);
  } finally {
    await claim.end();
  }
  if (settings.durability === 'full') await confirm(settings, workplace.directory);
  return {
    path: settings.destination,
    bytes: plan.totalBytes,
    chunks: plan.chunks.length,
    digest,
    engine: plan.engine,
    durability: settings.durability,
    durationMs: performance.now() - startedMs,
  };
}

async function copy(settings: Settings, plan: Plan, claim: Claim): Promise<Digest | undefined> {
  const { files, bufferBytes, signal, onProgress } = settings;
  const { totalBytes } = plan;
  const digests = CopyDigests.of(settings);
  let bytes = 0;
  const job: CopyJob = {
    chunks: plan.chunks,
    fd: claim.fd,
    path: claim.path,
    files,
    bufferBytes,
    signal,
    digests,
    wrote: (chunk, count) => {
      bytes += count;
      onProgress?.({ bytes, totalBytes, chunk: chunk.index, chunks: plan.chunks.length });
    },
  };
  await (plan.engine === 'inline' ? copyInline(job) : copyAsync(job));
  return digests?.finish();
}

/** The bytes are all there, and on the disk if that was asked for. */
async function settle({ files, durability }: Settings, { totalBytes }: Plan, claim: Claim): Promise<void> {
  const { path, fd } = claim;
  try {
    const { size } = await files.fstat(fd);
    if (size !== totalBytes) throw new SizeMismatchError({ expected: totalBytes, actual: size });
  } catch (cause) {
    if (cause instanceof SizeMismatchError) throw cause;
    throw new WriteFailedError({ path, cause });
  }
  if (durability !== 'none') {
    // Never tried again on this descriptor: after a failure the kernel takes the lost pages for clean.
    await files.fdatasync(fd).catch((cause) => {
      throw new SyncFailedError({ path, published: false, cause });
    });
  }
  await claim.close().catch((cause) => {
    throw new WriteFailedError({ path, wanted: totalBytes, written: totalBytes, cause });
  });
}

async function publish({ files, destination, overwrite }: Settings, claim: Claim): Promise<void> {
  try {
    // link refuses what rename would silently replace.
    await (overwrite ? files.rename(claim.path, destination) : files.link(claim.path, destination));
  } catch (cause) {
    if (codeOf(cause) === 'EEXIST') throw new DestinationExistsError({ path: destination, cause });
    throw new WriteFailedError({ path: destination, cause });
  }
}

async function confirm({ files, destination }: Settings, directory: string): Promise<void> {
  await syncDirectory(files, directory).catch((cause) => {
    throw new SyncFailedError({ path: destination, published: true, cause });
  });
}
