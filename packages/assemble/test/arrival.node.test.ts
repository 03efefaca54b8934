import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { ByteSource } from '@chunks/base';
import { expect, test } from 'vitest';
import { receive } from '../src/arrival.ts';
import { nodeFiles } from '../src/file-port.ts';
import { contentOf, heldOpen, inTemp, randomBytes } from './support/disk.ts';
import { faultyFiles } from './support/faulty-files.ts';

const bytes = randomBytes(10_000, 1);
const source = (): ByteSource => new Blob([new Uint8Array(bytes)]).stream();

test('counts and sums what it stores', async () => {
  await inTemp(async (folder) => {
    const path = join(folder, 'part');
    expect(await receive(nodeFiles, { path, data: source(), durable: false })).toEqual({
      size: 10_000,
      crc32: crc32(bytes),
    });
    expect(await contentOf(path)).toEqual(bytes);
  });
});

test('never writes into a file that is there', async () => {
  await inTemp(async (folder) => {
    const path = join(folder, 'part');
    await receive(nodeFiles, { path, data: bytes, durable: false });
    await expect(receive(nodeFiles, { path, data: Buffer.of(1), durable: false })).rejects.toMatchObject({
      code: 'WRITE_FAILED',
      cause: { code: 'EEXIST' },
    });
    expect(await contentOf(path)).toEqual(bytes);
  });
});

test('each file call that fails is a failure with its cause, and no descriptor stays', async () => {
  const wanted: Record<string, string> = {
    open: 'WRITE_FAILED',
    write: 'WRITE_FAILED',
    fdatasync: 'SYNC_FAILED',
    close: 'WRITE_FAILED',
  };
  for (let at = 0; at < 4; at++) {
    await inTemp(async (folder) => {
      const files = faultyFiles(at, { kind: 'fail', code: 'EIO' });
      const end = receive(files, { path: join(folder, 'part'), data: bytes, durable: true });
      const error = await end.catch((reason) => reason);
      expect(error).toMatchObject({ code: wanted[files.calls[at] ?? ''], cause: { code: 'EIO' } });
      expect(heldOpen(folder) ?? []).toEqual([]);
    });
  }
});

test('a disk that takes one byte at a time still gets all', async () => {
  await inTemp(async (folder) => {
    const write: typeof nodeFiles.write = (fd, buffer, offset, length, position) =>
      nodeFiles.write(fd, buffer, offset, Math.min(length, 1), position);
    const path = join(folder, 'part');
    await receive({ ...nodeFiles, write }, { path, data: bytes.subarray(0, 200), durable: false });
    expect(await contentOf(path)).toEqual(bytes.subarray(0, 200));
    expect(await readdir(folder)).toEqual(['part']);
  });
});
