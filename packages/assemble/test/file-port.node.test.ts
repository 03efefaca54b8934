import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { codeOf, flags, lstatAll, nodeFiles, remove, syncDirectory } from '../src/file-port.ts';
import { heldOpen, inTemp } from './support/disk.ts';
import { faultyFiles } from './support/faulty-files.ts';

test('reads and writes at positions, with counts', async () => {
  await inTemp(async (folder) => {
    const path = join(folder, 'a');
    const fd = await nodeFiles.open(path, flags.createNew, 0o600);
    expect(await nodeFiles.write(fd, Buffer.from('xabcx'), 1, 3, 2)).toBe(3);
    expect(nodeFiles.writeSync(fd, Buffer.from('Z'), 0, 1, 0)).toBe(1);
    expect((await nodeFiles.fstat(fd)).size).toBe(5);
    await nodeFiles.close(fd);
    expect(await readFile(path, 'latin1')).toBe('Z\0abc');
    const reading = await nodeFiles.open(path, flags.readChunk);
    const buffer = Buffer.alloc(4);
    expect(await nodeFiles.read(reading, buffer, 1, 3, 2)).toBe(3);
    expect(buffer.toString()).toBe('\0abc');
    expect(nodeFiles.readSync(reading, buffer, 0, 4, 4)).toBe(1);
    expect(await nodeFiles.read(reading, buffer, 0, 4, 5)).toBe(0);
    await nodeFiles.close(reading);
    await expect(nodeFiles.open(path, flags.createNew)).rejects.toMatchObject({ code: 'EEXIST' });
  });
});

test('removing what is gone is as good; other failures are told', async () => {
  await inTemp(async (folder) => {
    await writeFile(join(folder, 'a'), '');
    await remove(nodeFiles, join(folder, 'a'));
    await remove(nodeFiles, join(folder, 'a'));
    await expect(remove(nodeFiles, folder)).rejects.toThrow();
  });
});

test('syncing a folder leaves nothing open, also when it fails', async () => {
  await inTemp(async (folder) => {
    await syncDirectory(nodeFiles, folder);
    await expect(syncDirectory(faultyFiles(1, { kind: 'fail', code: 'EIO' }), folder)).rejects.toMatchObject({
      code: 'EIO',
    });
    expect(heldOpen(folder) ?? []).toEqual([]);
  });
});

test('asks for many files at once but not for all, and answers in order', async () => {
  let asking = 0;
  let most = 0;
  const lstat: typeof nodeFiles.lstat = async (path) => {
    most = Math.max(most, ++asking);
    await new Promise((resolve) => setImmediate(resolve));
    asking--;
    if (path === '300') throw new Error('gone');
    return { size: Number(path) } as Awaited<ReturnType<typeof nodeFiles.lstat>>;
  };
  const results = await lstatAll(
    { ...nodeFiles, lstat },
    Array.from({ length: 600 }, (_, i) => `${i}`),
  );
  expect(most).toBe(256);
  expect(results.map((r) => (r.status === 'fulfilled' ? r.value.size : -1))).toEqual(
    Array.from({ length: 600 }, (_, i) => (i === 300 ? -1 : i)),
  );
});

test('the code of anything that was thrown', () => {
  expect(codeOf(Object.assign(new Error(), { code: 'EIO' }))).toBe('EIO');
  expect(codeOf(undefined)).toBeUndefined();
  expect(codeOf('EIO')).toBeUndefined();
});
