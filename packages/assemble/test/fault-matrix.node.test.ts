import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assembleFile, isAssembleError } from '@chunks/assemble';
import { describe, expect, test, vi } from 'vitest';
import { contentOf, debris, heldOpen, inTemp, type Laid, layChunks } from './support/disk.ts';
import { type Fault, type FaultyFiles, faultyFiles } from './support/faulty-files.ts';

// The disk's speed is not what is tested.
vi.setConfig({ testTimeout: 60_000 });

// Empty, shorter and longer than the buffer, so that every kind of call comes at several places.
const SIZES = [9000, 0, 3000];
const faults: Fault[] = [
  ...['ENOSPC', 'EIO', 'EFBIG', 'EINTR'].map((code): Fault => ({ kind: 'fail', code })),
  { kind: 'shortThen', code: 'ENOSPC' },
  { kind: 'shortThen', code: 'EIO' },
  { kind: 'doneButFails', code: 'EIO' },
  { kind: 'short' },
];
const combinations = [
  { engine: 'inline', overwrite: false },
  { engine: 'inline', overwrite: true },
  { engine: 'async', overwrite: false },
  { engine: 'async', overwrite: true },
] as const;

interface Scene extends Laid {
  readonly folder: string;
  readonly destination: string;
  run(files: FaultyFiles, signal?: AbortSignal): Promise<unknown>;
}

/** A scene is set once and used for every call index: each run must leave it usable for the next. */
async function scene(o: (typeof combinations)[number], task: (scene: Scene) => Promise<void>): Promise<void> {
  await inTemp(async (folder) => {
    const laid = await layChunks(folder, SIZES);
    const destination = join(folder, 'whole.bin');
    const { chunks, totalBytes } = laid;
    const run: Scene['run'] = (files, signal) =>
      assembleFile({
        chunks,
        totalBytes,
        destination,
        bufferBytes: 4096,
        verify: { whole: 'crc32' },
        files,
        signal,
        ...o,
      });
    await task({ ...laid, folder, destination, run });
  });
}

/** Old content or none, as it was before a run. */
async function reset({ destination }: Scene, overwrite: boolean): Promise<void> {
  await (overwrite ? writeFile(destination, 'old') : rm(destination, { force: true }));
}

async function stateOf({ destination, whole }: Scene): Promise<'absent' | 'old' | 'complete' | 'WRONG'> {
  const content = await contentOf(destination);
  if (content === undefined) return 'absent';
  if (content.equals(whole)) return 'complete';
  return content.toString() === 'old' ? 'old' : 'WRONG';
}

async function chunksKept({ chunks, whole }: Scene): Promise<boolean> {
  const parts = await Promise.all(chunks.map(async ({ path }) => (await contentOf(path)) ?? Buffer.from('gone')));
  return Buffer.concat(parts).equals(whole);
}

async function callsOf(set: Scene): Promise<string[]> {
  const files = faultyFiles();
  await set.run(files);
  return files.calls;
}

/** A retry succeeds, or finds the complete file that the failed run had published. */
async function retryFinishes(set: Scene): Promise<void> {
  const error = await set.run(faultyFiles()).then(
    () => undefined,
    (reason) => reason,
  );
  if (error !== undefined) expect(error.code).toBe('DESTINATION_EXISTS');
  expect(await stateOf(set)).toBe('complete');
  expect(await debris(set.folder)).toEqual([]);
}

describe.each(combinations)('$engine, overwrite $overwrite', (o) => {
  test.each(faults)('each file call with %o: absent, old or complete; chunks kept; a retry finishes', async (fault) => {
    await scene(o, async (set) => {
      await reset(set, o.overwrite);
      const clean = await callsOf(set);
      for (let at = 0; at < clean.length; at++) {
        await reset(set, o.overwrite);
        const files = faultyFiles(at, fault);
        const error = await set.run(files).then(
          () => undefined,
          (reason) => reason,
        );
        // The async engine's calls come in another order every time.
        const hit = files.calls[at] ?? 'none';
        const call = `${fault.kind} at call ${at}, ${hit}: ${error}`;
        const state = await stateOf(set);
        if (error === undefined) expect(state, call).toBe('complete');
        else {
          expect(['absent', 'old', 'complete'], call).toContain(state);
          expect(isAssembleError(error), call).toBe(true);
          // Only a removal that failed may leave something, and then only until the next run.
          if (hit !== 'unlink') expect(await debris(set.folder), call).toEqual([]);
        }
        if (fault.kind === 'short') expect(error, call).toBeUndefined();
        if (fault.kind === 'shortThen' && /^(read|write)(Sync)?$/.test(hit)) {
          expect(error?.cause?.code ?? error, call).toBe(fault.code);
        }
        expect(await chunksKept(set), call).toBe(true);
        expect(heldOpen(set.folder) ?? [], call).toEqual([]);
        await retryFinishes(set);
      }
    });
  });

  test('an abort at each file call: its own reason, or complete', async () => {
    await scene(o, async (set) => {
      await reset(set, o.overwrite);
      const clean = await callsOf(set);
      const reason = new Error('enough');
      let aborted = 0;
      for (let at = 0; at < clean.length; at++) {
        await reset(set, o.overwrite);
        const controller = new AbortController();
        const files = faultyFiles(at, { kind: 'run', run: () => controller.abort(reason) });
        const error = await set.run(files, controller.signal).then(
          () => undefined,
          (thrown) => thrown,
        );
        const call = `abort at call ${at}, ${clean[at]}`;
        if (error !== undefined) {
          expect(error, call).toBe(reason);
          expect(await stateOf(set), call).toBe(o.overwrite ? 'old' : 'absent');
          aborted++;
        } else expect(await stateOf(set), call).toBe('complete');
        expect(await debris(set.folder), call).toEqual([]);
        expect(heldOpen(set.folder) ?? [], call).toEqual([]);
        await retryFinishes(set);
      }
      // Up to the sync an abort counts; the last few calls publish.
      expect(aborted).toBeGreaterThanOrEqual(clean.lastIndexOf('fdatasync'));
    });
  });

  test('a sync that fails is final: the same descriptor is not asked again', async () => {
    await scene(o, async (set) => {
      const clean = await callsOf(set);
      await reset(set, o.overwrite);
      const files = faultyFiles(clean.indexOf('fdatasync'), { kind: 'fail', code: 'EIO' });
      await expect(set.run(files)).rejects.toMatchObject({
        code: 'SYNC_FAILED',
        published: false,
        cause: { code: 'EIO' },
      });
      expect(files.calls.filter((call) => call === 'fdatasync')).toHaveLength(1);
      await reset(set, o.overwrite);
      const late = faultyFiles(clean.lastIndexOf('fsync'), { kind: 'fail', code: 'EIO' });
      await expect(set.run(late)).rejects.toMatchObject({ code: 'SYNC_FAILED', published: true });
      expect(await stateOf(set)).toBe('complete');
    });
  });
});
