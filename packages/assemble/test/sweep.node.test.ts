import { mkdir, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ChunkDirectory, type SweepOptions, sweepStale } from '@chunks/assemble';
import { VirtualClock } from '@chunks/base/testing';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { inTemp } from './support/disk.ts';

// The disk's speed is not what is tested.
vi.setConfig({ testTimeout: 60_000 });

// A folder that cannot be emptied: for whoever runs the tests as root, no permission makes one.
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  const stuck = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
  return {
    ...real,
    rm: (...all: Parameters<typeof real.rm>) =>
      String(all[0]).endsWith('.removing-stuck') ? Promise.reject(stuck) : real.rm(...all),
  };
});

const NOW_MS = 1_700_000_000_000;
const HOUR_MS = 3_600_000;
const clock = new VirtualClock(NOW_MS);

/** Sets the times of a folder and of all in it, the folder's last: writing inside moves it. */
async function age(folder: string, ageMs: number): Promise<void> {
  const when = new Date(NOW_MS - ageMs);
  for (const name of await readdir(folder)) await utimes(join(folder, name), when, when);
  await utimes(folder, when, when);
}

async function makeUpload(root: string, id: string, chunks: number, ageMs: number): Promise<ChunkDirectory> {
  const upload = await ChunkDirectory.open({ root, id, durability: 'none' });
  for (let i = 0; i < chunks; i++) await upload.write(i, new Uint8Array(100));
  await age(upload.path, ageMs);
  return upload;
}

const entry = fc.record({
  kind: fc.constantFrom('upload', 'upload', 'upload', 'finished', 'foreign', 'file', 'link', 'leftover'),
  hours: fc.integer({ min: 0, max: 5 }),
  /** One file inside is that much younger than the rest. */
  touchedHours: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
  chunks: fc.integer({ min: 0, max: 3 }),
  active: fc.boolean(),
});

describe('sweepStale', () => {
  test('removes exactly the stale uploads, and touches nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(entry, { maxLength: 8 }),
        fc.boolean(),
        fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
        (entries, dryRun, maxRemovals) =>
          inTemp(async (folder) => {
            const root = join(folder, 'root');
            await mkdir(root);
            await mkdir(join(folder, 'outside'));
            await writeFile(join(folder, 'outside', 'precious'), 'x');
            for (const [i, e] of entries.entries()) {
              const path = join(root, `${i}`);
              const hours = (e.hours + 0.5) * HOUR_MS;
              if (e.kind === 'upload' || e.kind === 'finished') {
                const upload = await makeUpload(root, `${i}`, e.chunks, hours);
                if (e.kind === 'finished') await upload.markFinished();
                await age(path, hours);
                const [touched] = await readdir(path);
                const when = new Date(NOW_MS - (e.touchedHours ?? 9) * HOUR_MS);
                if (e.touchedHours !== undefined) await utimes(join(path, touched ?? ''), when, when);
              }
              if (e.kind === 'foreign') await mkdir(path);
              if (e.kind === 'foreign') await writeFile(join(path, 'data.db'), 'x');
              if (e.kind === 'file') await writeFile(path, 'x');
              if (e.kind === 'link') await symlink(join(folder, 'outside'), path);
              if (e.kind === 'leftover') await mkdir(join(root, `.removing-${i}`));
              if (e.kind !== 'leftover' && e.kind !== 'link') await utimes(path, 1, 1).catch(() => undefined);
              if (e.kind === 'upload') await utimes(path, new Date(NOW_MS - hours), new Date(NOW_MS - hours));
            }
            const stale = entries.flatMap((e, i) => {
              const newest = Math.min(e.hours + 0.5, e.touchedHours ?? 9);
              return e.kind === 'upload' && !e.active && newest > 2 ? [`${i}`] : [];
            });
            const removed = stale.slice(0, maxRemovals ?? 99);
            const result = await sweepStale({
              root,
              clock,
              dryRun,
              maxRemovals,
              isActive: (id) => entries[Number(id)]?.active ?? false,
            });
            expect(result.removed).toEqual(removed);
            expect(result.bytes).toBe(removed.reduce((sum, id) => sum + (entries[Number(id)]?.chunks ?? 0) * 100, 0));
            const uploads = entries.filter((e) => e.kind === 'upload' || e.kind === 'finished').length;
            expect(result.kept).toBe(uploads - stale.length);
            const others = entries.flatMap((e, i) => (e.kind === 'link' || e.kind === 'foreign' ? [`${i}`] : []));
            expect(result.skipped.map((skipped) => skipped.id).sort()).toEqual(
              [...others, ...stale.slice(removed.length)].sort(),
            );
            const gone = new Set(dryRun ? [] : removed);
            const kept = entries.flatMap((e, i) =>
              e.kind === 'leftover' ? (dryRun ? [`.removing-${i}`] : []) : gone.has(`${i}`) ? [] : [`${i}`],
            );
            expect((await readdir(root)).sort()).toEqual(kept.sort());
            expect(await readdir(join(folder, 'outside'))).toEqual(['precious']);
          }),
      ),
      { numRuns: 60 },
    );
  });

  test('looks again under the lock: who came meanwhile is kept', async () => {
    await inTemp(async (root) => {
      await makeUpload(root, 'a', 1, 3 * HOUR_MS);
      await makeUpload(root, 'b', 1, 3 * HOUR_MS);
      await makeUpload(root, 'c', 1, 3 * HOUR_MS);
      const active = new Set<string>();
      const held: string[] = [];
      const result = await sweepStale({
        root,
        clock,
        isActive: (id) => active.has(id),
        exclusively: async (id, task) => {
          held.push(id);
          if (id === 'a') await utimes(join(root, 'a', 'upload.open'), new Date(NOW_MS), new Date(NOW_MS));
          if (id === 'b') active.add('b');
          return task();
        },
      });
      expect(held).toEqual(['a', 'b', 'c']);
      expect(result).toMatchObject({ removed: ['c'], kept: 2, skipped: [] });
    });
  });

  test('what cannot be asked or locked is kept and named, and the others go on', async () => {
    await inTemp(async (root) => {
      for (const id of ['a', 'b', 'c']) await makeUpload(root, id, 1, 3 * HOUR_MS);
      const o: SweepOptions = {
        root,
        clock,
        isActive: (id) => {
          if (id === 'a') throw new Error('registry down');
          return false;
        },
        exclusively: (id, task) => (id === 'b' ? Promise.reject(new Error('lock timeout')) : task()),
      };
      const result = await sweepStale(o);
      expect(result.removed).toEqual(['c']);
      expect(result.skipped).toEqual([
        { id: 'a', reason: expect.stringContaining('registry down') },
        { id: 'b', reason: expect.stringContaining('lock timeout') },
      ]);
    });
  });

  test('what an earlier sweep could not empty is named, and stops nothing', async () => {
    await inTemp(async (root) => {
      await mkdir(join(root, '.removing-stuck'));
      await makeUpload(root, 'a', 1, 3 * HOUR_MS);
      expect(await sweepStale({ root, clock })).toEqual({
        removed: ['a'],
        bytes: 100,
        kept: 0,
        skipped: [{ id: '.removing-stuck', reason: expect.stringContaining('EACCES') }],
      });
    });
  });

  test('an abort ends it between two uploads', async () => {
    await inTemp(async (root) => {
      for (const id of ['a', 'b']) await makeUpload(root, id, 1, 3 * HOUR_MS);
      const controller = new AbortController();
      const reason = new Error('enough');
      const exclusively: SweepOptions['exclusively'] = async (_, task) => {
        controller.abort(reason);
        return task();
      };
      await expect(sweepStale({ root, clock, exclusively, signal: controller.signal })).rejects.toBe(reason);
      expect(await readdir(root)).toEqual(['b']);
    });
  });

  test('an upload that is just as old as the limit is kept', async () => {
    await inTemp(async (root) => {
      await makeUpload(root, 'a', 1, 1000);
      expect((await sweepStale({ root, clock, olderThanMs: 1000 })).kept).toBe(1);
      expect((await sweepStale({ root, clock, olderThanMs: 999 })).removed).toEqual(['a']);
    });
  });

  test('keeps what users store beside the chunks in account: their files are activity, and go with the upload', async () => {
    await inTemp(async (root) => {
      const upload = await makeUpload(root, 'a', 0, 9 * HOUR_MS);
      await writeFile(join(upload.path, 'meta.json'), '12345');
      await age(upload.path, 9 * HOUR_MS);
      const recently = new Date(NOW_MS - HOUR_MS);
      await utimes(join(upload.path, 'meta.json'), recently, recently);
      expect((await sweepStale({ root, clock })).kept).toBe(1);
      await age(upload.path, 9 * HOUR_MS);
      expect(await sweepStale({ root, clock })).toEqual({ removed: ['a'], bytes: 5, kept: 0, skipped: [] });
    });
  });

  test('a root that is not there yet has nothing to sweep; a link is refused; bad options, too', async () => {
    await inTemp(async (folder) => {
      const root = join(folder, 'root');
      expect(await sweepStale({ root })).toEqual({ removed: [], bytes: 0, kept: 0, skipped: [] });
      await mkdir(root);
      await symlink(root, join(folder, 'link'));
      await expect(sweepStale({ root: join(folder, 'link') })).rejects.toMatchObject({ code: 'UNSAFE_PATH' });
      await expect(sweepStale({ root: '' })).rejects.toThrow(RangeError);
      await expect(sweepStale({ root, olderThanMs: -1 })).rejects.toThrow(RangeError);
      await expect(sweepStale({ root, maxRemovals: 0.5 })).rejects.toThrow(RangeError);
      await expect(sweepStale({ root, isActive: true as unknown as () => boolean })).rejects.toThrow(TypeError);
      await rm(root, { recursive: true });
    });
  });
});
