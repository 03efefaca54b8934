import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { copyInline } from '../src/engine-inline.ts';
import { nodeFiles } from '../src/file-port.ts';
import { copying } from './support/copying.ts';

// The disk's speed is not what is tested.
vi.setConfig({ testTimeout: 60_000 });

test('copies with one buffer, from front to back, and digests on the way', async () => {
  const buffers = new Set<ArrayBufferLike>();
  const readSync: typeof nodeFiles.readSync = (fd, buffer, ...rest) => {
    buffers.add(buffer.buffer);
    return nodeFiles.readSync(fd, buffer, ...rest);
  };
  await copying({ sizes: [10_000, 0, 4096, 1], files: { ...nodeFiles, readSync } }, async (copy) => {
    await copyInline(copy.job);
    expect(await copy.result()).toEqual(copy.whole);
    expect(copy.wrote).toEqual([4096, 4096, 1808, 4096, 1]);
    expect(copy.digest()).toBe(createHash('sha1').update(copy.whole).digest('hex'));
    expect(buffers.size).toBe(1);
  });
});

test('an abort is heard between slices, in one chunk and between many small ones', async () => {
  const reason = new Error('enough');
  for (const sizes of [[20 * 2 ** 20], new Array(400).fill(10)]) {
    const controller = new AbortController();
    await copying({ sizes, signal: controller.signal, bufferBytes: 2 ** 20 }, async ({ job, wrote }) => {
      const end = copyInline(job);
      void turn().then(() => controller.abort(reason));
      await expect(end).rejects.toBe(reason);
      expect(wrote.length).toBeGreaterThan(0);
      expect(wrote.length).toBeLessThan(sizes.length === 1 ? 20 : 400);
    });
  }
});

test('a chunk that ends early is an error that tells where', async () => {
  const readSync: typeof nodeFiles.readSync = (fd, buffer, offset, length, position) =>
    position >= 5000 ? 0 : nodeFiles.readSync(fd, buffer, offset, Math.min(length, 5000 - position), position);
  await copying({ sizes: [9000], files: { ...nodeFiles, readSync } }, async ({ job }) => {
    await expect(copyInline(job)).rejects.toMatchObject({
      code: 'SIZE_MISMATCH',
      index: 0,
      expected: 9000,
      actual: 5000,
    });
  });
});
