import { mkdir, readdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { planAssembly } from '@chunks/assemble';
import { describe, expect, test } from 'vitest';
import { nodeFiles } from '../src/file-port.ts';
import { inTemp, layChunks } from './support/disk.ts';

describe('planAssembly', () => {
  test('says what it would take, and writes nothing', async () => {
    await inTemp(async (folder) => {
      const { chunks, totalBytes } = await layChunks(folder, [10, 20]);
      const before = await readdir(folder);
      const plan = await planAssembly({ chunks, totalBytes, destination: join(folder, 'out') });
      expect(plan).toMatchObject({ totalBytes: 30, chunks: 2, needBytes: 30, engine: 'inline' });
      expect(plan.freeBytes).toBeGreaterThan(30);
      expect(await readdir(folder)).toEqual(before);
    });
  });

  test('lists all offenders of a kind', async () => {
    await inTemp(async (folder) => {
      const { chunks, totalBytes } = await layChunks(folder, [10, 10, 10, 10, 10]);
      const o = { totalBytes, destination: join(folder, 'out') };
      const at = (index: number) => chunks[index] ?? { index, path: '' };
      await expect(planAssembly({ ...o, chunks: [at(0), at(2), at(4)] })).rejects.toMatchObject({
        code: 'MISSING_CHUNKS',
        indices: [1, 3],
      });
      await expect(planAssembly({ ...o, chunks: [...chunks, at(1), at(3), at(3)] })).rejects.toMatchObject({
        code: 'DUPLICATE_CHUNKS',
        indices: [1, 3],
      });
      await expect(planAssembly({ ...o, chunks, totalBytes: 30 })).rejects.toMatchObject({
        code: 'EXTRA_CHUNKS',
        indices: [3, 4],
      });
      await expect(planAssembly({ ...o, chunks, totalBytes: 51 })).rejects.toMatchObject({
        code: 'MISSING_CHUNKS',
        indices: [5],
      });
      await expect(planAssembly({ ...o, chunks, totalBytes: 45 })).rejects.toMatchObject({
        code: 'SIZE_MISMATCH',
        expected: 45,
        actual: 50,
      });
      const sized = chunks.map((chunk) => ({ ...chunk, size: chunk.index % 2 === 0 ? 10 : 9 }));
      await expect(planAssembly({ ...o, chunks: sized })).rejects.toMatchObject({
        code: 'SIZE_MISMATCH',
        mismatches: [
          { index: 1, expected: 9, actual: 10 },
          { index: 3, expected: 9, actual: 10 },
        ],
      });
      const gone = chunks.map((chunk) =>
        chunk.index > 2 ? { ...chunk, path: join(folder, `gone-${chunk.index}`) } : chunk,
      );
      await expect(planAssembly({ ...o, chunks: gone })).rejects.toMatchObject({
        code: 'MISSING_CHUNKS',
        indices: [3, 4],
      });
    });
  });

  test('a manifest with a chunk size says how many chunks there must be and how long each', async () => {
    await inTemp(async (folder) => {
      const { chunks } = await layChunks(folder, [10, 10, 5]);
      const plan = (o: object) =>
        planAssembly({
          destination: join(folder, 'out'),
          chunks: { version: 1, id: 'm', totalBytes: 25, chunkSizeBytes: 10, chunks, ...o },
        });
      expect(await plan({})).toMatchObject({ totalBytes: 25, chunks: 3 });
      await expect(plan({ chunks: chunks.slice(0, 2) })).rejects.toMatchObject({
        code: 'MISSING_CHUNKS',
        indices: [2],
      });
      await expect(plan({ totalBytes: 20 })).rejects.toMatchObject({ code: 'EXTRA_CHUNKS', indices: [2] });
      await truncate(chunks[1]?.path ?? '', 9);
      await expect(plan({})).rejects.toMatchObject({ code: 'SIZE_MISMATCH', index: 1, expected: 10, actual: 9 });
    });
  });

  test('an empty file needs no chunk, or an empty one', async () => {
    await inTemp(async (folder) => {
      const { chunks } = await layChunks(folder, [0]);
      const destination = join(folder, 'out');
      for (const some of [[], chunks]) {
        expect(await planAssembly({ destination, chunks: some, totalBytes: 0 })).toMatchObject({
          totalBytes: 0,
          chunks: some.length,
        });
        const manifest = { version: 1, id: 'm', totalBytes: 0, chunkSizeBytes: 10, chunks: some } as const;
        expect(await planAssembly({ destination, chunks: manifest })).toMatchObject({ totalBytes: 0 });
      }
    });
  });

  test('keeps to the root: paths outside, links in it, links on the way, and a root that is a link', async () => {
    await inTemp(async (folder) => {
      const root = join(folder, 'root');
      await mkdir(join(root, 'in'), { recursive: true });
      await mkdir(join(folder, 'root-2'));
      for (const name of ['root/in/a', 'root/..b', 'root-2/a', 'outside']) await writeFile(join(folder, name), 'x');
      await symlink(join(folder, 'outside'), join(root, 'link'));
      await symlink(join(folder, 'root-2'), join(root, 'dir'));
      await symlink(root, join(folder, 'alias'));
      const plan = (path: string, inRoot = root) =>
        planAssembly({ chunks: [{ index: 0, path }], totalBytes: 1, destination: join(folder, 'out'), root: inRoot });
      expect(await plan(join(root, 'in/a'))).toMatchObject({ chunks: 1 });
      expect(await plan(join(root, '..b'))).toMatchObject({ chunks: 1 });
      // Through a link above the root is the caller's own affair: it is where the root lies.
      expect(await plan(join(folder, 'alias/in/a'), join(folder, 'alias/in'))).toMatchObject({ chunks: 1 });
      for (const path of ['outside', 'root-2/a', 'root/../outside', 'root/link', 'root/dir/a', 'root/in']) {
        await expect(plan(join(folder, path)), path).rejects.toMatchObject({ code: 'UNSAFE_PATH' });
      }
      await expect(plan(join(root, 'in/a'), join(folder, 'alias'))).rejects.toMatchObject({
        code: 'UNSAFE_PATH',
        paths: [join(folder, 'alias')],
      });
      await expect(plan(join(root, 'in/a'), join(folder, 'nowhere'))).rejects.toMatchObject({ code: 'UNSAFE_PATH' });
    });
  });

  test('without a root a chunk must still be a plain file', async () => {
    await inTemp(async (folder) => {
      await writeFile(join(folder, 'a'), 'x');
      await symlink(join(folder, 'a'), join(folder, 'link'));
      for (const name of ['link', '.']) {
        const chunks = [{ index: 0, path: join(folder, name) }];
        await expect(planAssembly({ chunks, totalBytes: 1, destination: join(folder, 'out') })).rejects.toMatchObject({
          code: 'UNSAFE_PATH',
          indices: [0],
        });
      }
    });
  });

  test('refuses too little space beforehand, with both numbers', async () => {
    await inTemp(async (folder) => {
      const { chunks, totalBytes } = await layChunks(folder, [4097]);
      const files = { ...nodeFiles, statfs: async () => ({ bavail: 1, bsize: 4096 }) };
      await expect(planAssembly({ chunks, totalBytes, destination: join(folder, 'out'), files })).rejects.toMatchObject(
        {
          code: 'INSUFFICIENT_SPACE',
          needBytes: 4097,
          freeBytes: 4096,
        },
      );
    });
  });

  test('refuses to replace one of the chunks, and a folder that is not there', async () => {
    await inTemp(async (folder) => {
      const { chunks, totalBytes } = await layChunks(folder, [5, 5]);
      const overwrite = { chunks, totalBytes, destination: chunks[1]?.path ?? '', overwrite: true };
      await expect(planAssembly(overwrite)).rejects.toMatchObject({ code: 'UNSAFE_PATH', indices: [1] });
      await expect(planAssembly({ ...overwrite, destination: join(folder, 'no', 'out') })).rejects.toMatchObject({
        code: 'WRITE_FAILED',
        cause: { code: 'ENOENT' },
      });
    });
  });
});
