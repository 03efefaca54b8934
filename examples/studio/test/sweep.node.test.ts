import { existsSync } from 'node:fs';
import { readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { sweepUploads } from '../src/upload/sweep.ts';
import { until } from './running.ts';
import { uploadsFolder } from './uploads-folder.ts';

const HOUR_MS = 60 * 60_000;

test('a stale upload goes with its record; a fresh, an active and a finished one stay', async () => {
  const { open, events, removed } = await uploadsFolder();
  const uploads = await open();
  const make = async (): Promise<string> =>
    (await uploads.create({ name: 'a', sizeBytes: 2_000, contentType: 'video/webm' })).id;
  const [stale, fresh, active, finished] = await Promise.all([make(), make(), make(), make()]);
  const { piece, end } = uploads.get(active).arrive(0);
  piece(1);
  await uploads.saveAssembly(uploads.get(finished), { id: finished } as never);

  const long = new Date(Date.now() - 3 * HOUR_MS);
  for (const id of [stale, active, finished]) {
    const folder = join(uploads.chunksRoot, id);
    for (const name of await readdir(folder)) await utimes(join(folder, name), long, long);
    await utimes(folder, long, long);
  }
  const sweeper = sweepUploads(uploads, { olderThanMs: 2 * HOUR_MS, everyMs: HOUR_MS });
  onTestFinished(async () => sweeper[Symbol.asyncDispose]());
  await until(() => events.includes('sweep'));
  end();

  expect(removed).toEqual([stale]);
  expect(
    uploads
      .list()
      .map(({ id }) => id)
      .sort(),
  ).toEqual([fresh, active, finished].sort());
  expect(existsSync(join(uploads.chunksRoot, stale))).toBe(false);
  const reopened = await open();
  expect(
    reopened
      .list()
      .map(({ id }) => id)
      .sort(),
  ).toEqual([fresh, active, finished].sort());
});
