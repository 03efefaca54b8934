import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { openWakeFolder, touchWakeFile, wakeFileOf } from '../../../src/adapters/sqlite/wake-folder.ts';

const root = mkdtempSync(join(tmpdir(), 'locks-wake-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;

function open(folder = join(root, `${folders++}`)) {
  const heard: string[] = [];
  const lost: unknown[] = [];
  const line = openWakeFolder(folder, { wake: (file) => heard.push(file), lost: (reason) => lost.push(reason) });
  return { folder, heard, lost, line };
}

async function until(isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 2_000 && !isSo(); i++) await sleep(5);
  expect(isSo()).toBe(true);
}

test('a touch is told to all who listen for the file, and to nobody else', async () => {
  const here = open();
  const there = open(here.folder);
  for (const { line } of [here, there]) for (const file of ['00', '7f', 'ff']) await line.listen(file);
  // What the making of the files says is a wake too many; the file system keeps to the order, so after this one it is told.
  touchWakeFile(here.folder, 'ff', 1_600_000_000_000);
  await until(() => here.heard.includes('ff') && there.heard.includes('ff'));
  for (const { heard } of [here, there]) heard.length = 0;
  touchWakeFile(here.folder, '7f', 1_700_000_000_000);
  await until(() => here.heard.includes('7f') && there.heard.includes('7f'));
  expect(new Set([...here.heard, ...there.heard].filter((file) => file !== 'ff'))).toEqual(new Set(['7f']));
  here.line.close();
  there.line.close();
});

test('a touch where nobody listens leaves nothing behind, and does not fail', () => {
  const { folder, line } = open();
  touchWakeFile(folder, '7f', 1_700_000_000_000);
  touchWakeFile(join(folder, 'nowhere'), '7f', 1_700_000_000_000);
  expect(readdirSync(folder)).toEqual([]);
  line.close();
});

test('says that it is lost when the folder goes away', async () => {
  const { folder, lost, line } = open();
  await line.listen('7f');
  rmSync(folder, { recursive: true });
  await until(() => lost.length > 0);
  expect(lost[0]).toBeInstanceOf(Error);
  line.close();
});

test('rejects with the own error of the system where no folder can be', () => {
  const file = join(root, 'a file');
  writeFileSync(file, '');
  expect(() => open(file)).toThrow(/EEXIST/);
  expect(() => open(join(file, 'below'))).toThrow(/ENOTDIR/);
});

test('however many keys there are, there are 256 files, in even use', () => {
  const counts = new Map<string, number>();
  for (let i = 0; i < 25_600; i++) {
    const file = wakeFileOf(`video ${i}`);
    expect(file).toMatch(/^[0-9a-f]{2}$/);
    counts.set(file, (counts.get(file) ?? 0) + 1);
  }
  expect(counts.size).toBe(256);
  expect(Math.max(...counts.values())).toBeLessThan(200);
  // Other processes, of other versions too, must come to the same.
  expect(['', 'key', 'é\0\ud800'].map(wakeFileOf)).toEqual(['c5', '6c', 'e4']);
});
