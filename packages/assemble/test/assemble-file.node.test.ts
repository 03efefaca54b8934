import { createHash } from 'node:crypto';
import { link, mkdir, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type AssembleSettings, assembleFile } from '@chunks/assemble';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { type FilePort, nodeFiles } from '../src/file-port.ts';
import { contentOf, debris, heldOpen, inTemp, layChunks } from './support/disk.ts';

// The disk's speed is not what is tested.
vi.setConfig({ testTimeout: 60_000 });

const engines = ['inline', 'async'] as const;
const digestOf = (algorithm: string, bytes: Uint8Array): string =>
  algorithm === 'crc32'
    ? crc32(bytes).toString(16).padStart(8, '0')
    : createHash(algorithm).update(bytes).digest('hex');

// Sizes on both sides of the smallest buffer, and nothing.
const size = fc.oneof(fc.constantFrom(0, 1, 4095, 4096, 4097, 8192), fc.integer({ min: 0, max: 20_000 }));

/** The real file system, telling of each call. */
function watched(tell: (call: string) => void): FilePort {
  const calls = Object.entries(nodeFiles as unknown as Record<string, (...args: unknown[]) => unknown>);
  const telling = calls.map(([name, call]) => [
    name,
    (...args: unknown[]) => {
      tell(name);
      return call(...args);
    },
  ]);
  return Object.fromEntries(telling) as FilePort;
}

describe('assembleFile', () => {
  test('gives the same bytes as joining the chunks in order of index, in any order of listing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(size, { maxLength: 12 }),
        fc.infiniteStream(fc.integer()),
        fc.constantFrom(...engines, 'auto' as const),
        fc.constantFrom(4096, 5000, 16_384, undefined),
        fc.constantFrom('crc32' as const, 'sha256' as const, 'sha1' as const, 'md5' as const, undefined),
        fc.boolean(),
        fc.boolean(),
        (sizes, shuffle, engine, bufferBytes, whole, verifyChunks, overwrite) =>
          inTemp(async (folder) => {
            const laid = await layChunks(folder, sizes);
            const destination = join(folder, 'whole.bin');
            if (overwrite) await writeFile(destination, 'old');
            const sums = await Promise.all(
              laid.chunks.map(async (c) => digestOf('sha1', (await contentOf(c.path)) ?? Buffer.of())),
            );
            const listed = laid.chunks
              .map((chunk) => ({ ...chunk, digest: { algorithm: 'sha1', hex: sums[chunk.index] ?? '' } as const }))
              .map((chunk) => ({ chunk, at: shuffle.next().value as number }))
              .sort((a, b) => a.at - b.at)
              .map(({ chunk }) => chunk);
            const progress: number[] = [];
            const result = await assembleFile({
              chunks: listed,
              totalBytes: laid.totalBytes,
              destination,
              engine,
              bufferBytes,
              overwrite,
              durability: 'none',
              verify: { whole, chunks: verifyChunks },
              onProgress: ({ bytes }) => progress.push(bytes),
            });
            expect(await contentOf(destination)).toEqual(laid.whole);
            expect(result).toMatchObject({ path: destination, bytes: laid.totalBytes, chunks: sizes.length });
            expect(result.digest?.hex).toBe(whole && digestOf(whole, laid.whole));
            expect(progress).toEqual([...progress].sort((a, b) => a - b));
            expect(progress.at(-1) ?? 0).toBe(laid.totalBytes);
            expect(await debris(folder)).toEqual([]);
            expect(heldOpen(folder) ?? []).toEqual([]);
          }),
      ),
      { numRuns: 80 },
    );
  });

  test.each(engines)('%s refuses a chunk or a whole with another digest, and publishes nothing', async (engine) => {
    await inTemp(async (folder) => {
      const { chunks, totalBytes } = await layChunks(folder, [10_000, 0, 9000, 12_000]);
      const destination = join(folder, 'whole.bin');
      const base = { totalBytes, destination, engine, bufferBytes: 4096 };
      const good = await Promise.all(
        chunks.map(async (c) => ({
          ...c,
          digest: { algorithm: 'crc32', hex: digestOf('crc32', (await contentOf(c.path)) as Buffer) } as const,
        })),
      );
      const wrong = good.map((c) =>
        c.index === 2 ? { ...c, digest: { algorithm: 'crc32', hex: '00000000' } as const } : c,
      );
      await expect(assembleFile({ ...base, chunks: wrong, verify: { chunks: true } })).rejects.toMatchObject({
        code: 'DIGEST_MISMATCH',
        index: 2,
      });
      const whole = { algorithm: 'sha1', hex: 'A'.repeat(40) } as const;
      await expect(assembleFile({ ...base, chunks: good, verify: { whole } })).rejects.toMatchObject({
        code: 'DIGEST_MISMATCH',
        index: undefined,
        expected: 'a'.repeat(40),
      });
      await expect(
        assembleFile({ destination, engine, chunks: { version: 1, id: 'x', totalBytes, chunks: good, digest: whole } }),
      ).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
      expect(await contentOf(destination)).toBeUndefined();
      expect(await debris(folder)).toEqual([]);
    });
  });

  test('auto copies small files inline and large ones on the thread pool', async () => {
    await inTemp(async (folder) => {
      const chunk = Buffer.alloc(8 * 2 ** 20 + 1, 7);
      await writeFile(join(folder, 'a'), chunk.subarray(1));
      await writeFile(join(folder, 'b'), chunk);
      const run = (name: string, totalBytes: number) =>
        assembleFile({
          chunks: [{ index: 0, path: join(folder, name) }],
          totalBytes,
          destination: join(folder, `${name}.out`),
          durability: 'none',
        });
      expect((await run('a', chunk.length - 1)).engine).toBe('inline');
      expect((await run('b', chunk.length)).engine).toBe('async');
    });
  });

  test('inline lets the event loop turn between slices', async () => {
    await inTemp(async (folder) => {
      const path = join(folder, 'a');
      await writeFile(path, Buffer.alloc(20 * 2 ** 20));
      let turns = 0;
      const turn = () => {
        turns++;
        handle = setImmediate(turn);
      };
      let handle = setImmediate(turn);
      let during = 0;
      await assembleFile({
        chunks: [{ index: 0, path }],
        totalBytes: 20 * 2 ** 20,
        destination: join(folder, 'out'),
        engine: 'inline',
        durability: 'none',
        onProgress: ({ bytes, totalBytes }) => {
          if (bytes === 2 ** 18) turns = 0;
          if (bytes === totalBytes) during = turns;
        },
      });
      clearImmediate(handle);
      expect(during).toBeGreaterThanOrEqual(2);
    });
  });

  test('refuses what is there, replaces it when told to, and never a folder', async () => {
    await inTemp(async (folder) => {
      const { chunks, totalBytes, whole } = await layChunks(folder, [10]);
      const destination = join(folder, 'out');
      await writeFile(destination, 'old');
      const options = { chunks, totalBytes, destination };
      await expect(assembleFile(options)).rejects.toMatchObject({ code: 'DESTINATION_EXISTS', path: destination });
      expect(String(await contentOf(destination))).toBe('old');
      await assembleFile({ ...options, overwrite: true });
      expect(await contentOf(destination)).toEqual(whole);
      await mkdir(join(folder, 'd'));
      await expect(assembleFile({ ...options, overwrite: true, destination: join(folder, 'd') })).rejects.toMatchObject(
        { code: 'DESTINATION_EXISTS' },
      );
    });
  });

  test('a destination that appears during the copy wins, whole', async () => {
    await inTemp(async (folder) => {
      const { chunks, totalBytes } = await layChunks(folder, [5000, 5000]);
      const destination = join(folder, 'out');
      const files = { ...nodeFiles, fdatasync: () => writeFile(destination, 'another program') };
      await expect(assembleFile({ chunks, totalBytes, destination, files })).rejects.toMatchObject({
        code: 'DESTINATION_EXISTS',
      });
      expect(String(await contentOf(destination))).toBe('another program');
      expect(await debris(folder)).toEqual([]);
    });
  });

  test('overwriting a link replaces the link, never what it points to', async () => {
    await inTemp(async (folder) => {
      const { chunks, totalBytes, whole } = await layChunks(folder, [10]);
      await writeFile(join(folder, 'precious'), 'precious');
      await symlink(join(folder, 'precious'), join(folder, 'out'));
      await assembleFile({ chunks, totalBytes, destination: join(folder, 'out'), overwrite: true });
      expect(String(await contentOf(join(folder, 'precious')))).toBe('precious');
      expect(await contentOf(join(folder, 'out'))).toEqual(whole);
    });
  });

  test('of many runs at once to one destination one wins, the others say why, and the file is right', async () => {
    await inTemp(async (folder) => {
      const { chunks, totalBytes, whole } = await layChunks(folder, [50_000, 50_000]);
      const destination = join(folder, 'out');
      const run = (overwrite: boolean) =>
        assembleFile({ chunks, totalBytes, destination, overwrite, engine: 'async', bufferBytes: 4096 });
      const ends = await Promise.allSettled([run(false), run(false), run(false), run(false)]);
      expect(ends.filter((end) => end.status === 'fulfilled')).toHaveLength(1);
      for (const end of ends) {
        if (end.status === 'rejected') expect(['ASSEMBLY_BUSY', 'DESTINATION_EXISTS']).toContain(end.reason.code);
      }
      expect(await contentOf(destination)).toEqual(whole);
      await run(true);
      expect(await debris(folder)).toEqual([]);
    });
  });

  test.each(engines)('%s refuses a chunk that is swapped, cut or turned into a link after the plan', async (engine) => {
    const cases: [string, (path: string, folder: string) => Promise<void>][] = [
      [
        'UNSAFE_PATH',
        async (path, folder) => {
          await writeFile(join(folder, 'evil'), Buffer.alloc(6000, 1));
          await rename(join(folder, 'evil'), path);
        },
      ],
      ['SIZE_MISMATCH', (path) => writeFile(path, 'short')],
      [
        'UNSAFE_PATH',
        async (path, folder) => {
          await rename(path, join(folder, 'moved'));
          await symlink(join(folder, 'moved'), path);
        },
      ],
      ['CHUNK_UNAVAILABLE', (path) => rm(path)],
    ];
    for (const [code, spoil] of cases) {
      await inTemp(async (folder) => {
        const { chunks, totalBytes } = await layChunks(folder, [6000, 6000]);
        const destination = join(folder, 'out');
        // The claim is the first thing written: everything was planned by then.
        const open: typeof nodeFiles.open = async (path, flag, mode) => {
          if (path.endsWith('.claim')) await spoil(chunks[1]?.path ?? '', folder);
          return nodeFiles.open(path, flag, mode);
        };
        await expect(
          assembleFile({ chunks, totalBytes, destination, engine, files: { ...nodeFiles, open } }),
        ).rejects.toMatchObject({ code });
        expect(await contentOf(destination)).toBeUndefined();
        expect(await debris(folder)).toEqual([]);
        expect(heldOpen(folder) ?? []).toEqual([]);
      });
    }
  });

  test('syncs the bytes before the name appears, and the name before it resolves, as far as asked', async () => {
    const wanted = {
      full: ['fdatasync', 'link', 'unlink', 'unlink', 'fsync'],
      file: ['fdatasync', 'link', 'unlink', 'unlink'],
      none: ['link', 'unlink', 'unlink'],
    };
    for (const [durability, steps] of Object.entries(wanted)) {
      await inTemp(async (folder) => {
        const { chunks, totalBytes } = await layChunks(folder, [100]);
        const seen: string[] = [];
        const files = watched((name) => seen.push(name));
        const settings: AssembleSettings = {
          destination: join(folder, 'out'),
          durability: durability as 'full',
          files,
        };
        await assembleFile({ chunks, totalBytes, ...settings });
        expect(seen.filter((name) => ['fdatasync', 'fsync', 'link', 'unlink', 'rename'].includes(name))).toEqual(steps);
      });
    }
  });

  test('gives the file the mode that was asked for', async () => {
    await inTemp(async (folder) => {
      const { chunks, totalBytes } = await layChunks(folder, [1]);
      const destination = join(folder, 'out');
      await assembleFile({ chunks, totalBytes, destination, mode: 0o600 });
      expect((await stat(destination)).mode & 0o777).toBe(0o600);
      expect((await stat(destination)).nlink).toBe(1);
    });
  });

  test('an aborted signal, and an error out of onProgress, end it with themselves', async () => {
    await inTemp(async (folder) => {
      const { chunks, totalBytes } = await layChunks(folder, [9000, 9000]);
      const reason = new Error('enough');
      for (const engine of engines) {
        const base = { chunks, totalBytes, destination: join(folder, 'out'), engine, bufferBytes: 4096 };
        await expect(assembleFile({ ...base, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
        const onProgress = () => {
          throw reason;
        };
        await expect(assembleFile({ ...base, onProgress })).rejects.toBe(reason);
        expect(await debris(folder)).toEqual([]);
      }
    });
  });

  test('does not touch hard-linked neighbours', async () => {
    await inTemp(async (folder) => {
      const { chunks, totalBytes, whole } = await layChunks(folder, [100]);
      await writeFile(join(folder, 'out'), 'old');
      await link(join(folder, 'out'), join(folder, 'backup'));
      await assembleFile({ chunks, totalBytes, destination: join(folder, 'out'), overwrite: true });
      expect(String(await contentOf(join(folder, 'backup')))).toBe('old');
      expect(await contentOf(join(folder, 'out'))).toEqual(whole);
      expect((await readdir(folder)).length).toBe(3);
    });
  });
});
