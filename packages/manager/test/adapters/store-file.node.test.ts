import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileChunkStore } from '@chunks/manager/store-file';
import { afterAll, expect, test } from 'vitest';
import { storeContract } from '../support/contracts.ts';
import { contentOf } from '../support/origin.ts';

const folder = mkdtempSync(join(tmpdir(), 'manager-store-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let stores = 0;
const newFolder = (): string => join(folder, `${stores++}`);

const canPunch = ((): boolean => {
  const path = join(folder, 'probe');
  try {
    execFileSync('fallocate', ['--length', '8192', path], { stdio: 'ignore' });
    execFileSync('fallocate', ['--punch-hole', '--offset', '0', '--length', '4096', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

// Punching holes starts a process each: the random programs leave it to the test below.
storeContract({
  open: async () => fileChunkStore(newFolder(), { durability: 'none' }),
  removesParts: false,
  numRuns: 30,
});

const MIB = 1024 * 1024;
const allFiles = (directory: string): string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

test('one sparse file a generation, inside the folder whatever the id, which is the original once complete', async () => {
  const directory = newFolder();
  const store = fileChunkStore(directory);
  const content = contentOf(3 * MIB);
  await store.write('../../etc/passwd', '"v1"', 2, 2 * MIB, content.subarray(2 * MIB));
  await store.commit('../../etc/passwd', '"v1"', 2);
  const [path] = allFiles(directory);
  expect(allFiles(directory).length).toBe(1);
  expect(statSync(path as string).size).toBe(3 * MIB);
  expect(await store.usage()).toBeLessThan(2 * MIB);
  await store.write('../../etc/passwd', '"v1"', 0, 0, content.subarray(0, 2 * MIB));
  await store.write('../../etc/passwd', '"v2"', 0, 0, content.subarray(0, 10));
  expect(readFileSync(path as string).equals(content)).toBe(true);
  expect(allFiles(directory).length).toBe(2);
  await store.remove('../../etc/passwd', '"v1"');
  await store.remove('../../etc/passwd', '"v2"');
  expect(readdirSync(directory)).toEqual([]);
  await store.close?.();
});

const freesItsBlocks = async (): Promise<void> => {
  const store = fileChunkStore(newFolder());
  const content = contentOf(3 * MIB);
  await store.write('film', 'v1', 0, 0, content);
  await store.commit('film', 'v1', 0);
  const before = await store.usage();
  await store.remove('film', 'v1', { firstChunk: 1, endChunk: 2 }, { startByte: MIB, endByte: 2 * MIB });
  expect(before - (await store.usage())).toBe(MIB);
  for (const startByte of [0, 2 * MIB]) {
    const parts: Uint8Array[] = [];
    for await (const piece of store.read('film', 'v1', { startByte, endByte: startByte + MIB })) parts.push(piece);
    expect(Buffer.concat(parts).equals(content.subarray(startByte, startByte + MIB))).toBe(true);
  }
  await store.remove('nothing', 'v1', { firstChunk: 0, endChunk: 1 }, { startByte: 0, endByte: 1 });
  await store.close?.();
};

const saysThatItCannot = async (): Promise<void> => {
  const store = fileChunkStore(newFolder());
  await store.write('film', 'v1', 0, 0, contentOf(10));
  const removing = store.remove('film', 'v1', { firstChunk: 0, endChunk: 1 }, { startByte: 0, endByte: 10 });
  await expect(removing).rejects.toThrow(/fallocate/);
  await store.close?.();
};

if (canPunch) test('removing a chunk gives its disk space back and leaves its neighbours', freesItsBlocks);
else test('removing a chunk where parts of files cannot be freed says so', saysThatItCannot);

test('more files than may be open at once', async () => {
  const store = fileChunkStore(newFolder(), { durability: 'none' });
  const ids = Array.from({ length: 200 }, (_, i) => `file-${i}`);
  await Promise.all(ids.map((id, i) => store.write(id, 'v1', 0, 0, contentOf(10, i))));
  for (const [i, id] of ids.entries()) {
    for await (const piece of store.read(id, 'v1', { startByte: 0, endByte: 10 }))
      expect(piece).toEqual(contentOf(10, i));
  }
  const open = readdirSync('/proc/self/fd').length;
  expect(open).toBeLessThan(150);
  await store.close?.();
});

test('refuses bad options by name', () => {
  expect(() => fileChunkStore('')).toThrow(/directory/);
  expect(() => fileChunkStore('x', { durability: 'much' as 'full' })).toThrow(/durability/);
});
