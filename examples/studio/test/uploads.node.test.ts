import { existsSync } from 'node:fs';
import { readdir, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { assembleUpload } from '../src/upload/assemble.ts';
import type { Upload } from '../src/upload/upload.ts';
import type { Uploads } from '../src/upload/uploads.ts';
import { someBytes } from './running.ts';
import { uploadsFolder } from './uploads-folder.ts';

const file = (sizeBytes: number) => ({ name: 'a.webm', sizeBytes, contentType: 'video/webm' });
const never = new AbortController().signal;

/** An upload with all its chunks on disk. */
async function sent(uploads: Uploads, sizeBytes: number): Promise<Upload> {
  const upload = await uploads.create(file(sizeBytes));
  const bytes = someBytes(sizeBytes);
  for (const index of upload.missing())
    await upload.chunks.write(index, bytes.subarray(index * 1024, (index + 1) * 1024));
  return upload;
}

test('limits: file size, chunks, open uploads and room on the disk, each with its own answer', async () => {
  const { open } = await uploadsFolder();
  const create = async (sizeBytes: number, limits: Parameters<typeof open>[0]): Promise<unknown> =>
    (await open(limits)).create(file(sizeBytes)).catch((problem) => problem);
  expect(await create(11, { maxFileBytes: 10 })).toMatchObject({ status: 413, code: 'file-too-large' });
  expect(await create(3 * 1024, { maxChunks: 2 })).toMatchObject({ status: 413, code: 'too-many-chunks' });
  expect(await create(2 ** 52, {})).toMatchObject({ status: 507, code: 'disk-full' });
  expect(await create(1, { maxOpenUploads: 0 })).toMatchObject({ status: 429, code: 'too-many-uploads' });
});

test('room is promised once: what an open upload still needs is not free for the next one', async () => {
  const { directory, open } = await uploadsFolder();
  const uploads = await open();
  const { bavail, bsize } = await statfs(directory);
  // Assembling takes it twice: three fifths of what is free, so that one fits and two do not.
  const large = file(Math.floor(bavail * bsize * 0.3));
  const first = await uploads.create(large);
  await expect(uploads.create(large)).rejects.toMatchObject({ status: 507, code: 'disk-full' });
  await uploads.remove(first);
  await uploads.create(large);
});

test('who asks while the file is assembled shares the one assembly', async () => {
  const { open, assembled } = await uploadsFolder();
  const uploads = await open();
  const upload = await sent(uploads, 5_000);
  const first = assembleUpload(upload, uploads, never);
  expect(assembleUpload(upload, uploads, never)).toBe(first);
  const report = await first;
  expect(await assembleUpload(upload, uploads, never)).toEqual(report);
  expect(assembled).toEqual([upload.id, upload.id]);
});

test('what a crash left at any step of an upload is put right at the next start', async () => {
  const { directory, open, created, assembled } = await uploadsFolder();
  const uploads = await open();
  const half = await uploads.create(file(3_000));
  await half.chunks.write(1, someBytes(1_024));
  // Killed after the report was saved and before the chunks were removed.
  const done = await sent(uploads, 2_000);
  await uploads.saveAssembly(done, { id: done.id, sha256: 'ab' } as never);
  await writeFile(uploads.pathOf(done.id), someBytes(2_000));
  // Killed in the middle of a removal: no record, but a file. And in the middle of saving a record.
  const orphan = 'f'.repeat(24);
  await writeFile(uploads.pathOf(orphan), 'x');
  await writeFile(join(directory, 'records', `${half.id}.json.temp`), '{"half":');
  created.length = 0;

  const again = await open();
  expect(again.get(half.id).missing()).toEqual([0, 2]);
  expect(again.get(done.id).stage).toBe('ready');
  expect(again.get(done.id).record.assembly?.sha256).toBe('ab');
  // The batch record is told again, whatever it had heard.
  expect(created.sort()).toEqual([half.id, done.id].sort());
  expect(assembled).toEqual([done.id]);
  expect(existsSync(join(again.chunksRoot, done.id))).toBe(false);
  expect(await readdir(again.filesRoot)).toEqual([done.id]);
  expect((await readdir(join(directory, 'records'))).sort()).toEqual([`${half.id}.json`, `${done.id}.json`].sort());
});

test('of two removals at once one removes, and nothing is left', async () => {
  const { directory, open, removed } = await uploadsFolder();
  const uploads = await open();
  const upload = await sent(uploads, 3_000);
  await Promise.all([uploads.remove(upload), uploads.remove(upload)]);
  expect(removed).toEqual([upload.id]);
  expect(upload.removed).toBe(true);
  for (const folder of ['chunks', 'files', 'records']) expect(await readdir(join(directory, folder))).toEqual([]);
  expect(() => uploads.get(upload.id)).toThrow(/no upload/);
});
