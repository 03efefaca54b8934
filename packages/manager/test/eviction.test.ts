import { settle, VirtualClock } from '@chunks/base/testing';
import {
  ChunkManager,
  DiskBudgetError,
  type ManagerOptions,
  memoryChunkStore,
  memoryRepository,
} from '@chunks/manager';
import { expect, test } from 'vitest';
import { ConductedOrigin, contentOf, EagerOrigin, flush, outcomeOf, readAll } from './support/origin.ts';

const content = contentOf(100);
const setUp = (options: Partial<ManagerOptions> = {}) => {
  const clock = new VirtualClock();
  const store = memoryChunkStore();
  const repository = memoryRepository();
  const start = () =>
    new ChunkManager({
      fetchChunk: async ({ range }, { write }) => write(content.slice(range.startByte, range.endByte)),
      store,
      repository,
      chunkSizeBytes: 10,
      diskBudget: { maxBytes: 30 },
      retry: { attempts: 2, baseMs: 100 },
      clock,
      ...options,
    });
  return { clock, repository, start, store };
};
const has = (manager: ChunkManager, id = 'film'): number[] =>
  manager
    .availableChunks(id)
    .flatMap(({ firstChunk, endChunk }) => Array.from({ length: endChunk - firstChunk }, (_, i) => firstChunk + i));
const chunkRange = (chunk: number) => ({ startByte: chunk * 10, endByte: chunk * 10 + 10 });

test('the least recently used chunk goes first, and reading is use', async () => {
  const { start, store } = setUp();
  const manager = start();
  await manager.openFile({ id: 'film', totalBytes: 100, generation: 'v1' });
  for (const chunk of [0, 1, 2]) await manager.waitForChunk('film', chunk);
  await readAll(manager.read('film', chunkRange(0)));
  const evicted: number[] = [];
  manager.on('evicted', ({ chunk }) => evicted.push(chunk));
  await manager.waitForChunk('film', 3);
  await manager.waitForChunk('film', 4);
  expect([evicted, has(manager)]).toEqual([
    [1, 2],
    [0, 3, 4],
  ]);
  expect([await store.usage(), manager.stats().evictions]).toEqual([30, 2]);
});

test('a whole file larger than the budget is read whole, and never stored beyond it', async () => {
  const { clock, start, store } = setUp();
  const manager = start();
  let most = 0;
  manager.on('progress', async () => {
    most = Math.max(most, await store.usage());
  });
  const file = await manager.openFile({ id: 'film', totalBytes: 100, generation: 'v1' });
  const read = outcomeOf(readAll(file.read()));
  await flush();
  await clock.advance(1_000);
  expect(read.value).toEqual(content);
  expect(most).toBeGreaterThan(10);
  expect(most).toBeLessThanOrEqual(30);
});

test('pinned chunks stay, and go again once unpinned', async () => {
  const { start } = setUp();
  const manager = start();
  await manager.openFile({ id: 'film', totalBytes: 100, generation: 'v1' });
  manager.pin('film', { firstChunk: 0, endChunk: 2 });
  for (const chunk of [0, 1, 2, 3, 4]) await manager.waitForChunk('film', chunk);
  expect(has(manager)).toEqual([0, 1, 4]);
  manager.unpin('film', { firstChunk: 0, endChunk: 1 });
  await manager.waitForChunk('film', 5);
  expect(has(manager)).toEqual([1, 4, 5]);
});

test('when all that is stored must stay, the next chunk is DISK_BUDGET', async () => {
  const { clock, start } = setUp();
  const manager = start();
  await manager.openFile({ id: 'film', totalBytes: 100, generation: 'v1' });
  manager.pin('film');
  for (const chunk of [0, 1, 2]) await manager.waitForChunk('film', chunk);
  const wait = outcomeOf(manager.waitForChunk('film', 3));
  await clock.advance(1_000);
  expect(wait.error).toBeInstanceOf(DiskBudgetError);
  expect(wait.error).toMatchObject({ code: 'DISK_BUDGET', fileId: 'film', neededBytes: 10, maxBytes: 30 });
  expect(has(manager)).toEqual([0, 1, 2]);
});

test('the chunk in which a reader stands stays, however long it pauses', async () => {
  const { start } = setUp();
  const manager = start();
  await manager.openFile({ id: 'film', totalBytes: 100, generation: 'v1' });
  await manager.waitForChunk('film', 0);
  await manager.waitForChunk('film', 1);
  const paused = manager.read('film', { startByte: 0, endByte: 15 }).getReader();
  await paused.read();
  await readAll(manager.read('film', chunkRange(1)));
  await manager.waitForChunk('film', 2);
  await manager.waitForChunk('film', 3);
  expect(has(manager)).toEqual([0, 2, 3]);
  await paused.cancel();
  await manager.waitForChunk('film', 4);
  expect(has(manager)).toEqual([2, 3, 4]);
});

test('of files that were stored before the start those go first that nobody has opened, the oldest first', async () => {
  const { start } = setUp();
  const before = start();
  for (const id of ['oldest', 'older', 'mine']) {
    await before.openFile({ id, totalBytes: 10, generation: 'v1' });
    await before.waitForChunk(id, 0);
  }
  await before.close();
  const manager = start();
  await manager.openFile({ id: 'mine', totalBytes: 10, generation: 'v1' });
  const evicted: string[] = [];
  manager.on('evicted', ({ fileId }) => evicted.push(fileId));
  await manager.openFile({ id: 'film', totalBytes: 100, generation: 'v1' });
  for (const chunk of [0, 1, 2]) await manager.waitForChunk('film', chunk);
  expect(evicted).toEqual(['oldest', 'older', 'mine']);
  await manager.openFile({ id: 'oldest', totalBytes: 10, generation: 'v1' });
  expect(manager.hasChunk('oldest', 0)).toBe(false);
});

test('bytes of a fetch that was stopped count, and can go', async () => {
  const origin = new ConductedOrigin(content);
  const { store, start } = setUp({ ...origin });
  const manager = start();
  await manager.openFile({ id: 'film', totalBytes: 100, generation: 'v1' });
  const ticket = manager.requestChunk('film', 0);
  await settle();
  await origin.call(0).give(6);
  ticket.cancel();
  await settle();
  expect(await store.usage()).toBe(6);
  for (const chunk of [1, 2, 3]) {
    const wait = manager.waitForChunk('film', chunk);
    await flush();
    await origin.call(chunk).finish();
    await wait;
  }
  expect([await store.usage(), has(manager)]).toEqual([30, [1, 2, 3]]);
});

test('a removed file gives its room back', async () => {
  const { start } = setUp();
  const manager = start();
  await manager.openFile({ id: 'a', totalBytes: 30, generation: 'v1' });
  await manager.openFile({ id: 'film', totalBytes: 30, generation: 'v1' });
  await manager.waitForRange('a', { startByte: 0, endByte: 30 });
  await manager.removeFile('a');
  await manager.waitForRange('film', { startByte: 0, endByte: 30 });
  expect(manager.stats().evictions).toBe(0);
});

test('a store that cannot free a chunk is DISK_BUDGET with its reason, and the chunk is not claimed any more', async () => {
  const inner = memoryChunkStore();
  const store = { ...inner, remove: () => Promise.reject(new Error('no fallocate')) };
  const { clock, repository, start } = setUp({ store });
  const manager = start();
  await manager.openFile({ id: 'film', totalBytes: 100, generation: 'v1' });
  for (const chunk of [0, 1, 2]) await manager.waitForChunk('film', chunk);
  const wait = outcomeOf(manager.waitForChunk('film', 3));
  await clock.advance(1_000);
  expect(wait.error).toMatchObject({ code: 'DISK_BUDGET', cause: new Error('no fallocate') });
  expect(has(manager)).toEqual([1, 2]);
  expect((await repository.loadFile('film'))?.coverage[0]).toBe(0b110);
});

test('a reader that goes on in the moment in which its file is removed leaves no victim that never goes', async () => {
  const manager = new ChunkManager({
    ...new EagerOrigin(contentOf(40), 'v1'),
    store: memoryChunkStore(),
    chunkSizeBytes: 10,
    diskBudget: { maxBytes: 30 },
  });
  const file = await manager.openFile({ id: 'old', totalBytes: 40 });
  await manager.waitForRange('old', { startByte: 0, endByte: 20 });
  const reader = file.read().getReader();
  await reader.read();
  await settle();
  const next = reader.read();
  const removed = manager.removeFile('old');
  await expect(next).rejects.toMatchObject({ code: 'UNKNOWN_FILE' });
  await removed;
  await manager.openFile({ id: 'new', totalBytes: 40 });
  await manager.waitForRange('new', { startByte: 0, endByte: 40 });
  expect(manager.stats().evictions).toBe(1);
});
