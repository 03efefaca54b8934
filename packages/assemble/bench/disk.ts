import { randomFillSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const MIB: number = 2 ** 20;

/** Chunks that are in the page cache, and where to put the file. */
export interface Bed {
  readonly chunks: readonly { readonly index: number; readonly path: string }[];
  readonly totalBytes: number;
  readonly destination: string;
}

/** Lays random chunks in a folder under the system's temporary one, reads each once, and removes all afterwards. */
export async function onBed<T>(totalBytes: number, chunkBytes: number, task: (bed: Bed) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'chunks-bench-'));
  const clean = (): void => rmSync(folder, { recursive: true, force: true });
  process.once('exit', clean);
  try {
    const { bavail, bsize } = statfsSync(folder);
    if (bavail * bsize < 3 * totalBytes) throw new Error(`${folder} needs ${3 * totalBytes} free bytes`);
    const chunk = Buffer.alloc(chunkBytes);
    const chunks = Array.from({ length: Math.ceil(totalBytes / chunkBytes) }, (_, index) => {
      const path = join(folder, `${index}.chunk`);
      writeFileSync(path, randomFillSync(chunk).subarray(0, Math.min(chunkBytes, totalBytes - index * chunkBytes)));
      return { index, path };
    });
    for (const { path } of chunks) readFileSync(path);
    return await task({ chunks, totalBytes, destination: join(folder, 'whole.bin') });
  } finally {
    clean();
    process.off('exit', clean);
  }
}
