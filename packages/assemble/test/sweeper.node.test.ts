import { mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ChunkDirectory, type SweepResult, startSweeper } from '@chunks/assemble';
import { VirtualClock } from '@chunks/base/testing';
import { describe, expect, test, vi } from 'vitest';
import { inTemp } from './support/disk.ts';

// The disk's speed is not what is tested.
vi.setConfig({ testTimeout: 60_000 });

const MINUTE_MS = 60_000;

async function makeStale(root: string, id: string): Promise<void> {
  const upload = await ChunkDirectory.open({ root, id, durability: 'none' });
  await utimes(join(upload.path, 'upload.open'), 1, 1);
  await utimes(upload.path, 1, 1);
}

/** Waits for what happens outside virtual time: the disk. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

describe('startSweeper', () => {
  test('sweeps at once, then half an hour after each sweep, until it is disposed', async () => {
    await inTemp(async (root) => {
      const clock = new VirtualClock();
      const results: SweepResult[] = [];
      await makeStale(root, 'a');
      const sweeper = startSweeper({ root, clock, onSweep: (result) => results.push(result) });
      await until(() => clock.pending === 1);
      expect(results.map((result) => result.removed)).toEqual([['a']]);
      await makeStale(root, 'b');
      await clock.advance(30 * MINUTE_MS - 1);
      expect(results).toHaveLength(1);
      await clock.advance(1);
      await until(() => clock.pending === 1);
      expect(results.map((result) => result.removed)).toEqual([['a'], ['b']]);
      await sweeper[Symbol.asyncDispose]();
      expect(clock.pending).toBe(0);
      await makeStale(root, 'c');
      await clock.advance(90 * MINUTE_MS);
      expect(await readdir(root)).toEqual(['c']);
    });
  });

  test('never overlaps itself, however long a sweep takes', async () => {
    await inTemp(async (root) => {
      const clock = new VirtualClock();
      await makeStale(root, 'a');
      let started = 0;
      let release: () => void = () => undefined;
      const held = new Promise<void>((resolve) => {
        release = resolve;
      });
      const sweeper = startSweeper({
        root,
        clock,
        everyMs: 10,
        exclusively: async (_, task) => {
          started++;
          await held;
          return task();
        },
      });
      await until(() => started === 1);
      await clock.advance(1000);
      expect(started).toBe(1);
      release();
      await until(() => clock.pending === 1);
      expect(await readdir(root)).toEqual([]);
      await sweeper[Symbol.asyncDispose]();
    });
  });

  test('an error is told and does not end it; an error of the handler neither', async () => {
    await inTemp(async (folder) => {
      const root = join(folder, 'root');
      const clock = new VirtualClock();
      await writeFile(root, 'a file');
      const errors: unknown[] = [];
      const results: SweepResult[] = [];
      const sweeper = startSweeper({
        root,
        clock,
        everyMs: 10,
        onSweep: (result) => {
          results.push(result);
          throw new Error('bad listener');
        },
        onError: (error) => {
          errors.push(error);
          throw new Error('bad handler');
        },
      });
      await until(() => clock.pending === 1);
      expect(errors).toMatchObject([{ code: 'UNSAFE_PATH' }]);
      await rm(root);
      await mkdir(root);
      await clock.advance(10);
      await until(() => clock.pending === 1);
      expect(results).toHaveLength(1);
      expect(errors[1]).toMatchObject({ message: 'bad listener' });
      await sweeper[Symbol.asyncDispose]();
      await sweeper[Symbol.asyncDispose]();
    });
  });

  test("the caller's signal stops it, too, and is no error", async () => {
    await inTemp(async (root) => {
      const clock = new VirtualClock();
      const controller = new AbortController();
      const errors: unknown[] = [];
      const sweeper = startSweeper({ root, clock, signal: controller.signal, onError: (error) => errors.push(error) });
      await until(() => clock.pending === 1);
      controller.abort();
      expect(clock.pending).toBe(0);
      await sweeper[Symbol.asyncDispose]();
      expect(errors).toEqual([]);
    });
  });

  test('refuses bad options at the call', () => {
    expect(() => startSweeper({ root: '' })).toThrow(RangeError);
    expect(() => startSweeper({ root: 'x', everyMs: 0 })).toThrow(RangeError);
    expect(() => startSweeper({ root: 'x', onError: 1 as unknown as () => void })).toThrow(TypeError);
  });
});
