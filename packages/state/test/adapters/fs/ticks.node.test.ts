import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ticks } from '../../../src/adapters/fs/ticks.ts';

let keys = '';
beforeEach(() => {
  keys = join(mkdtempSync(join(tmpdir(), 'chunks-state-')), 'keys');
  mkdirSync(keys);
});
afterEach(() => rmSync(join(keys, '..'), { recursive: true, force: true }));

/** How often it has ticked, and how it ended. */
function listening(name: string) {
  const stop = new AbortController();
  const heard = { ticks: 0, stop, end: Promise.resolve() as Promise<unknown> };
  heard.end = (async () => {
    for await (const _ of ticks(keys, name, stop.signal)) heard.ticks++;
  })().catch((error) => error);
  return heard;
}

const watchers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'FSEventWrap').length;

test('a folder that comes, changes, goes and comes again', async () => {
  const heard = listening('key');
  const other = listening('other');
  await vi.waitFor(() => expect(heard.ticks).toBeGreaterThan(0));
  await vi.waitFor(() => expect(other.ticks).toBe(1));
  const change = async (work: () => void): Promise<void> => {
    const before = heard.ticks;
    work();
    await vi.waitFor(() => expect(heard.ticks).toBeGreaterThan(before));
  };
  for (let round = 0; round < 3; round++) {
    mkdirSync(join(keys, '..', 'draft', '1'), { recursive: true });
    await change(() => renameSync(join(keys, '..', 'draft'), join(keys, 'key')));
    for (let n = 1; n < 5; n++)
      await change(() => renameSync(join(keys, 'key', `${n}`), join(keys, 'key', `${n + 1}`)));
    await change(() => rmSync(join(keys, 'key', '5'), { recursive: true }));
    await change(() => rmSync(join(keys, 'key'), { recursive: true }));
  }
  // Nobody else's business.
  expect(other.ticks).toBe(1);
  for (const { stop, end } of [heard, other]) {
    stop.abort(new Error('enough'));
    expect(await end).toMatchObject({ message: 'enough' });
  }
});

test('leaves no watcher behind, however it ends', async () => {
  mkdirSync(join(keys, 'key'));
  // Those of the test before close a little later.
  await vi.waitFor(() => expect(watchers()).toBe(0));
  const many = Array.from({ length: 10 }, () => listening('key'));
  await vi.waitFor(() => expect(many.every((one) => one.ticks > 0)).toBe(true));
  expect(watchers()).toBe(20);
  for (const { stop } of many) stop.abort();
  await Promise.all(many.map(({ end }) => end));
  for await (const _ of ticks(keys, 'key', new AbortController().signal)) break;
  await vi.waitFor(() => expect(watchers()).toBe(0));
});

test('says so when it can no longer tell', async () => {
  const heard = listening('key');
  await vi.waitFor(() => expect(heard.ticks).toBe(1));
  rmSync(keys, { recursive: true });
  expect(await heard.end).toMatchObject({ message: `${keys} was removed or replaced` });
  expect(await listening('key').end).toMatchObject({ code: 'ENOENT' });
});
