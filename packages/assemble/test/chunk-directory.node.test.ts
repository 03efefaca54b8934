import { createHash } from 'node:crypto';
import { mkdir, readdir, rename, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { ChunkDirectory, isAssembleError } from '@chunks/assemble';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { nodeFiles } from '../src/file-port.ts';
import { contentOf, debris, heldOpen, inTemp, randomBytes } from './support/disk.ts';
import { faultyFiles } from './support/faulty-files.ts';

// The disk's speed is not what is tested.
vi.setConfig({ testTimeout: 60_000 });

async function* stream(bytes: Uint8Array, piece: number, failAt?: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(piece);
  for (let at = 0; at < bytes.length; at += piece) {
    if (failAt !== undefined && at >= failAt) throw new Error('the client went away');
    const part = bytes.subarray(at, at + piece);
    // One buffer for all pieces: whoever keeps a piece keeps the wrong bytes.
    buffer.set(part);
    yield buffer.subarray(0, part.length);
  }
}

const index = fc.integer({ min: 0, max: 3 });
const command = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      index,
      size: fc.integer({ min: 0, max: 400 }),
      streamed: fc.boolean(),
      check: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wrongSize' as const), index, off: fc.constantFrom(-1, 1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wrongDigest' as const), index }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('brokenStream' as const), index }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('abort' as const), index }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('fault' as const), index, at: fc.integer({ min: 0, max: 12 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reopen' as const) }) },
);

describe('ChunkDirectory', () => {
  test('behaves like a map of index to bytes, through failures and restarts', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 25 }), (commands) =>
        inTemp(async (root) => {
          const model = new Map<number, Buffer>();
          const open = () => ChunkDirectory.open({ root, id: 'u1', durability: 'none' });
          let upload = await open();
          let seed = 0;
          for (const c of commands) {
            const bytes = randomBytes(c.do === 'write' ? c.size : 300, ++seed);
            if (c.do === 'reopen') upload = await open();
            if (c.do === 'write') {
              const digest = { algorithm: 'sha256', hex: createHash('sha256').update(bytes).digest('hex') } as const;
              const stored = await upload.write(
                c.index,
                c.streamed ? stream(bytes, 64) : bytes,
                c.check ? { size: bytes.length, digest } : {},
              );
              expect(stored).toMatchObject({ index: c.index, size: bytes.length, crc32: crc32(bytes) });
              model.set(c.index, bytes);
            }
            if (c.do === 'wrongSize') {
              await expect(upload.write(c.index, stream(bytes, 64), { size: 300 + c.off })).rejects.toMatchObject({
                code: 'SIZE_MISMATCH',
              });
            }
            if (c.do === 'wrongDigest') {
              const digest = { algorithm: 'crc32', hex: '00000000' } as const;
              await expect(upload.write(c.index, bytes, { digest })).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
            }
            if (c.do === 'brokenStream') {
              await expect(upload.write(c.index, stream(bytes, 64, 128))).rejects.toThrow('the client went away');
            }
            if (c.do === 'abort') {
              const reason = new Error('enough');
              const controller = new AbortController();
              const hanging = Readable.from(
                (async function* () {
                  yield bytes;
                  controller.abort(reason);
                  await new Promise(() => undefined);
                })(),
              );
              await expect(upload.write(c.index, hanging, { signal: controller.signal })).rejects.toBe(reason);
            }
            if (c.do === 'fault') {
              // Opened anew with failing files: the write fails and leaves all as it was, or it succeeds.
              const files = faultyFiles(c.at, { kind: 'fail', code: 'EIO' });
              const failing = await ChunkDirectory.open({ root, id: 'u1', durability: 'full', files }).catch(
                () => undefined,
              );
              const error = await failing?.write(c.index, bytes).then(
                () => undefined,
                (reason) => reason,
              );
              const shows = failing !== undefined && (error === undefined || error.published === true);
              if (error !== undefined) expect(isAssembleError(error), String(error)).toBe(true);
              if (shows) model.set(c.index, bytes);
              upload = await open();
            }
            const listed = await upload.list();
            expect(listed.map((chunk) => chunk.index)).toEqual([...model.keys()].sort((a, b) => a - b));
            for (const chunk of listed) {
              const wanted = model.get(chunk.index) as Buffer;
              expect(await contentOf(chunk.path)).toEqual(wanted);
              expect(chunk).toMatchObject({ size: wanted.length, crc32: crc32(wanted) });
            }
            expect(await upload.missing(4)).toEqual([0, 1, 2, 3].filter((i) => !model.has(i)));
            if (c.do !== 'fault') expect(await debris(upload.path)).toEqual([]);
          }
          expect(heldOpen(root) ?? []).toEqual([]);
        }),
      ),
      { numRuns: 40 },
    );
  });

  test('many writers of one index: one of them stays, whole, and nothing else', async () => {
    await inTemp(async (root) => {
      const upload = await ChunkDirectory.open({ root, id: 'u', durability: 'none' });
      const bodies = Array.from({ length: 20 }, (_, i) => randomBytes(1000 + (i % 3), i % 5));
      await Promise.all(bodies.map((bytes) => upload.write(0, stream(bytes, 100))));
      const [chunk, ...others] = await upload.list();
      expect(others).toEqual([]);
      const content = await contentOf(chunk?.path ?? '');
      expect(bodies.some((bytes) => content?.equals(bytes))).toBe(true);
      expect((await readdir(upload.path)).length).toBe(2);
    });
  });

  test('two objects on one upload: the later write counts, and neither loses the other a chunk', async () => {
    await inTemp(async (root) => {
      const [a, b] = [
        await ChunkDirectory.open({ root, id: 'u', durability: 'none' }),
        await ChunkDirectory.open({ root, id: 'u', durability: 'none' }),
      ];
      for (let round = 0; round < 20; round++) {
        await a.write(0, randomBytes(50, 1));
        await b.write(0, randomBytes(60, 2));
        expect((await a.list())[0]?.size).toBe(60);
        await a.write(0, randomBytes(70, 3));
        expect((await b.list())[0]?.size).toBe(70);
      }
    });
  });

  test('a chunk that is replaced while it is being listed is listed, as it is now', async () => {
    await inTemp(async (root) => {
      const upload = await ChunkDirectory.open({ root, id: 'u', durability: 'none' });
      await upload.write(0, randomBytes(1, 1));
      let looks = 0;
      const readdir: typeof nodeFiles.readdir = async (path) => {
        const names = await nodeFiles.readdir(path);
        if (++looks <= 4) await upload.write(0, randomBytes(looks * 10, 1));
        return names;
      };
      const reader = await ChunkDirectory.open({ root, id: 'u', durability: 'none', files: { ...nodeFiles, readdir } });
      expect((await reader.list()).map(({ index, size }) => [index, size])).toEqual([[0, 40]]);
      expect(looks).toBe(5);
    });
  });

  test('a chunk that cannot be looked at is an error, not a missing chunk', async () => {
    await inTemp(async (root) => {
      const files = { ...nodeFiles };
      const upload = await ChunkDirectory.open({ root, id: 'u', durability: 'none', files });
      await upload.write(0, randomBytes(1, 1));
      files.lstat = () => Promise.reject(Object.assign(new Error('bad disk'), { code: 'EIO' }));
      await expect(upload.list()).rejects.toThrow('bad disk');
      await expect(upload.missing(1)).rejects.toThrow('bad disk');
    });
  });

  test('a source that gives more than promised is stopped, and told so', async () => {
    await inTemp(async (root) => {
      const upload = await ChunkDirectory.open({ root, id: 'u', durability: 'none' });
      let given = 0;
      let told = false;
      async function* endless() {
        try {
          for (;;) yield new Uint8Array(100).fill(++given);
        } finally {
          told = true;
        }
      }
      await expect(upload.write(0, endless(), { size: 1000 })).rejects.toMatchObject({
        code: 'SIZE_MISMATCH',
        expected: 1000,
      });
      expect(given).toBe(11);
      expect(told).toBe(true);
      expect(await upload.list()).toEqual([]);
    });
  });

  test('refuses ids that are no plain names, and makes nothing of them', async () => {
    await inTemp(async (folder) => {
      const root = join(folder, 'root');
      for (const id of ['../x', 'a/b', '..', '.', '.hidden', 'a\\b', 'a\0b', 'x'.repeat(201), '/etc', 'a\n']) {
        await expect(ChunkDirectory.open({ root, id }), id).rejects.toMatchObject({ code: 'UNSAFE_PATH' });
      }
      await expect(ChunkDirectory.open({ root, id: '' })).rejects.toThrow(RangeError);
      await expect(ChunkDirectory.open({ root, id: 7 as unknown as string })).rejects.toThrow(TypeError);
      expect(await readdir(folder)).toEqual([]);
    });
  });

  test('refuses a link as root or as upload', async () => {
    await inTemp(async (folder) => {
      await mkdir(join(folder, 'elsewhere'));
      await mkdir(join(folder, 'root'));
      await symlink(join(folder, 'elsewhere'), join(folder, 'root', 'u'));
      await symlink(join(folder, 'root'), join(folder, 'link'));
      await expect(ChunkDirectory.open({ root: join(folder, 'root'), id: 'u' })).rejects.toMatchObject({
        code: 'UNSAFE_PATH',
      });
      await expect(ChunkDirectory.open({ root: join(folder, 'link'), id: 'v' })).rejects.toMatchObject({
        code: 'UNSAFE_PATH',
      });
      expect(await readdir(join(folder, 'elsewhere'))).toEqual([]);
    });
  });

  test('refuses bad input before it writes', async () => {
    await inTemp(async (root) => {
      const upload = await ChunkDirectory.open({ root, id: 'u' });
      const bytes = Buffer.of(1);
      await expect(upload.write(-1, bytes)).rejects.toThrow(RangeError);
      await expect(upload.write(2 ** 60, bytes)).rejects.toThrow(RangeError);
      await expect(upload.write(0.5, bytes)).rejects.toThrow(RangeError);
      await expect(upload.write(0, bytes, { size: -1 })).rejects.toThrow(RangeError);
      await expect(upload.write(0, bytes, { digest: { algorithm: 'crc32', hex: 'xyz' } })).rejects.toThrow(
        /digest.hex/,
      );
      await expect(upload.write(0, 'text' as unknown as Uint8Array)).rejects.toThrow(TypeError);
      await expect(upload.write(0, stream(bytes, 1), { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow(
        'no',
      );
      await expect(upload.missing(-1)).rejects.toThrow(RangeError);
      expect(await readdir(upload.path)).toEqual(['upload.open']);
    });
  });

  test('does not list what a power cut cut short, nor other files, nor links', async () => {
    await inTemp(async (root) => {
      const upload = await ChunkDirectory.open({ root, id: 'u', durability: 'none' });
      const cut = await upload.write(0, randomBytes(100, 1));
      const whole = await upload.write(1, randomBytes(100, 2));
      await truncate(cut.path, 50);
      await writeFile(join(upload.path, 'notes.json'), '{}');
      await symlink(whole.path, join(upload.path, '2-100-00000000-0hodzencwrs9377c010.chunk'));
      expect(await upload.list()).toEqual([whole]);
    });
  });

  test('opening takes away what a dead process left half written, not what lives', async () => {
    await inTemp(async (root) => {
      const upload = await ChunkDirectory.open({ root, id: 'u', durability: 'none' });
      let partsMeanwhile = 0;
      const slow = async function* () {
        yield new Uint8Array(10);
        // Another process of this machine, number 2^22 + 1, which Linux never gives; and one on another machine.
        const [own] = await debris(upload.path);
        const dead = (own ?? '').split('-').with(2, '4194305').join('-');
        await writeFile(join(upload.path, dead), 'x');
        const foreign = dead.replace(/^[0-9a-f]{8}/, '00000000');
        await writeFile(join(upload.path, foreign), 'x');
        const old = foreign.replace(/.(?=\.part$)/, (digit) => (digit === '0' ? '1' : '0'));
        await writeFile(join(upload.path, old), 'x');
        await utimes(join(upload.path, old), 1, 1);
        await ChunkDirectory.open({ root, id: 'u', durability: 'none' });
        partsMeanwhile = (await debris(upload.path)).length;
        yield new Uint8Array(10);
      };
      expect((await upload.write(0, slow())).size).toBe(20);
      expect(partsMeanwhile).toBe(2);
    });
  });

  test('syncs the bytes, then the name; nothing without durability', async () => {
    await inTemp(async (root) => {
      for (const [durability, steps] of [
        ['full', ['fdatasync', 'rename', 'fsync', 'unlink']],
        ['none', ['rename', 'unlink']],
      ] as const) {
        const files = faultyFiles();
        const upload = await ChunkDirectory.open({ root, id: durability, durability, files });
        await upload.write(0, Buffer.of(1));
        files.calls.length = 0;
        await upload.write(0, Buffer.of(2));
        expect(files.calls.filter((call) => /sync$|rename|unlink/.test(call))).toEqual(steps);
      }
    });
  });

  test('finishing and removing are idempotent; a removed upload can be opened again, empty', async () => {
    await inTemp(async (root) => {
      const upload = await ChunkDirectory.open({ root, id: 'u' });
      await upload.write(0, Buffer.of(1));
      await upload.markFinished();
      await upload.markFinished();
      expect(await readdir(upload.path)).toContain('upload.finished');
      const again = await ChunkDirectory.open({ root, id: 'u' });
      expect(await readdir(upload.path)).not.toContain('upload.open');
      expect((await again.list()).length).toBe(1);
      await upload.remove();
      await upload.remove();
      expect(await readdir(root)).toEqual([]);
      await expect(again.write(1, Buffer.of(1))).rejects.toMatchObject({ code: 'WRITE_FAILED' });
      expect(await (await ChunkDirectory.open({ root, id: 'u' })).list()).toEqual([]);
    });
  });

  test('removing takes a link away, never what it points to', async () => {
    await inTemp(async (folder) => {
      const root = join(folder, 'root');
      const upload = await ChunkDirectory.open({ root, id: 'u' });
      await mkdir(join(folder, 'precious'));
      await writeFile(join(folder, 'precious', 'file'), 'x');
      await symlink(join(folder, 'precious'), join(upload.path, 'link'));
      await upload.remove();
      expect(await readdir(join(folder, 'precious'))).toEqual(['file']);
      await rename(join(folder, 'precious'), join(folder, 'still there'));
    });
  });
});
