import { lstat, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CopyDigests, type CopyJob } from '../../src/copy-job.ts';
import { nodeFiles } from '../../src/file-port.ts';
import type { PlannedChunk } from '../../src/plan.ts';
import { checkSettings } from '../../src/settings.ts';
import { inTemp, layChunks } from './disk.ts';

/** A copy that an engine can be given, and what came of it. */
export interface Copying {
  readonly job: CopyJob;
  readonly whole: Buffer;
  /** Sizes in the order in which they were reported. */
  readonly wrote: number[];
  /** What lies in the file now. */
  result(): Promise<Buffer>;
  /** The digest that the job asked for. */
  digest(): string | undefined;
}

/** Lays chunks, plans them, opens an empty file and hands over the job. */
export async function copying(
  o: { sizes: readonly number[] } & Partial<CopyJob>,
  task: (copying: Copying) => Promise<void>,
): Promise<void> {
  await inTemp(async (folder) => {
    const { chunks, whole, totalBytes } = await layChunks(folder, o.sizes);
    let startByte = 0;
    const planned: PlannedChunk[] = [];
    for (const { index, path } of chunks) {
      const { size, dev, ino } = await lstat(path);
      planned.push({ index, path, size, dev, ino, startByte, digest: undefined });
      startByte += size;
    }
    const path = join(folder, 'copy');
    const handle = await open(path, 'w');
    const wrote: number[] = [];
    const digests = CopyDigests.of(checkSettings({ chunks, totalBytes, destination: path, verify: { whole: 'sha1' } }));
    const job: CopyJob = {
      chunks: planned,
      fd: handle.fd,
      path,
      files: nodeFiles,
      bufferBytes: 4096,
      signal: undefined,
      digests,
      wrote: (_, bytes) => void wrote.push(bytes),
      ...o,
    };
    try {
      await task({ job, whole, wrote, result: () => readFile(path), digest: () => digests?.finish()?.hex });
    } finally {
      await handle.close();
    }
  });
}
