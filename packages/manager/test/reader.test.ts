import { settle, VirtualClock } from '@chunks/base/testing';
import { ChunkManager, type ChunkStore, type ManagerOptions, memoryChunkStore, Priority } from '@chunks/manager';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { ConductedOrigin, contentOf, EagerOrigin, flush, outcomeOf, readAll } from './support/origin.ts';

const content = contentOf(95);
const setUp = async (options: Partial<ManagerOptions> & Pick<ManagerOptions, 'fetchChunk'>) => {
  const clock = new VirtualClock();
  const manager = new ChunkManager({ store: memoryChunkStore(), chunkSizeBytes: 10, clock, ...options });
  const file = await manager.openFile({ id: 'film', totalBytes: 95 });
  return { clock, file, manager };
};

test('any ranges, read at once and in any order, are those bytes of the file', async () => {
  const range = fc
    .tuple(fc.nat(95), fc.nat(95))
    .filter(([a, b]) => a !== b)
    .map(([a, b]) => ({ startByte: Math.min(a, b), endByte: Math.max(a, b) }));
  await fc.assert(
    fc.asyncProperty(fc.array(range, { minLength: 1, maxLength: 12, size: 'max' }), async (ranges) => {
      const origin = new EagerOrigin(content, 'v1');
      const { file } = await setUp(origin);
      const reads = await Promise.all(ranges.map((each) => readAll(file.read(each))));
      for (const [i, { startByte, endByte }] of ranges.entries())
        expect(reads[i]).toEqual(content.slice(startByte, endByte));
      expect(Math.max(...origin.sent)).toBe(1);
    }),
    { numRuns: 30 },
  );
});

test('a reader times out only when nothing came for timeoutMs while it waited', async () => {
  const origin = new ConductedOrigin(content);
  const { clock, file } = await setUp(origin);
  const reader = file.read(undefined, { timeoutMs: 100 }).getReader();
  const first = reader.read();
  await settle();
  await clock.advance(99);
  await origin.call(0).give(1);
  await first;
  // Its own pauses do not count.
  await clock.advance(1_000);
  const second = outcomeOf(reader.read());
  await clock.advance(99);
  expect(second.state).toBe('pending');
  await clock.advance(1);
  expect(second.error).toMatchObject({ code: 'WAIT_TIMEOUT', waitedMs: 100 });
  expect(origin.calls.every((call) => call.aborted)).toBe(true);
  expect(clock.pending).toBe(0);
});

test('a signal errors the stream with its reason, pulled or not, and withdraws the demand', async () => {
  const origin = new ConductedOrigin(content);
  const { file, manager } = await setUp(origin);
  const leaving = new AbortController();
  const reader = file.read(undefined, { signal: leaving.signal }).getReader();
  const waiting = outcomeOf(reader.read());
  const idle = file.read(undefined, { signal: leaving.signal }).getReader();
  await settle();
  leaving.abort('gone');
  await settle();
  expect(waiting).toMatchObject({ state: 'failed', error: 'gone' });
  await expect(idle.read()).rejects.toBe('gone');
  await expect(file.read(undefined, { signal: leaving.signal }).getReader().read()).rejects.toBe('gone');
  expect(manager.stats()).toMatchObject({ active: 0, waiters: 0 });
});

test('a reader’s class counts for its chunk, and the chunk ahead is one class lower', async () => {
  const origin = new ConductedOrigin(content);
  const { file } = await setUp(origin);
  void file.read(undefined, { priority: Priority.LOW }).getReader().read();
  void file.read({ startByte: 30, endByte: 50 }, { priority: Priority.HIGH }).getReader().read();
  await settle();
  const started = origin.calls.map(({ job }) => [job.chunk, job.priority]);
  expect(started).toEqual([
    [3, Priority.HIGH],
    [4, Priority.MEDIUM],
    [0, Priority.LOW],
  ]);
});

test('the chunk ahead becomes urgent when the reader arrives in it', async () => {
  const origin = new ConductedOrigin(content);
  const { file, manager } = await setUp({ ...origin, concurrency: 1 });
  const reader = file.read({ startByte: 0, endByte: 20 }).getReader();
  void reader.read();
  await settle();
  manager.requestChunk('film', 5, { priority: Priority.HIGH });
  expect(manager.stats().queued).toMatchObject({ CRITICAL: 0, HIGH: 2 });
  await origin.call(0).finish();
  void reader.read();
  await flush();
  expect(origin.asked).toEqual([0, 1]);
});

test('bytes that the store has lost are fetched anew, once', async () => {
  const origin = new EagerOrigin(content, 'v1');
  const inner = memoryChunkStore();
  let broken = 0;
  const store: ChunkStore = {
    ...inner,
    read: (fileId, generation, range) => {
      if (broken-- <= 0) return inner.read(fileId, generation, range);
      return inner.read('lost', generation, range);
    },
  };
  const { file, manager } = await setUp({ ...origin, store });
  expect(await readAll(file.read())).toEqual(content);
  broken = 1;
  expect(await readAll(file.read({ startByte: 0, endByte: 10 }))).toEqual(content.slice(0, 10));
  expect(origin.jobs.filter((job) => job.chunk === 0).length).toBe(2);
  broken = 3;
  await expect(readAll(file.read({ startByte: 0, endByte: 10 }))).rejects.toMatchObject({
    code: 'CHUNK_FAILED',
    chunk: 0,
    cause: new RangeError('nothing is stored of lost'),
  });
  await settle();
  expect(manager.stats()).toMatchObject({ waiters: 0, active: 0 });
});

test('a store that gives fewer bytes than asked for errors the read: nothing is padded', async () => {
  const inner = memoryChunkStore();
  const store: ChunkStore = {
    ...inner,
    read: (fileId, generation, { startByte, endByte }) =>
      inner.read(fileId, generation, { startByte, endByte: endByte - 1 }),
  };
  const { file } = await setUp({ ...new EagerOrigin(content, 'v1'), store });
  await expect(readAll(file.read({ startByte: 0, endByte: 10 }))).rejects.toMatchObject({ code: 'CHUNK_FAILED' });
});

test('a removal while the store is being read ends the reader, and asks for nothing more', async () => {
  const { file, manager } = await setUp(new EagerOrigin(content, 'v1'));
  await manager.waitForRange('film', { startByte: 0, endByte: 20 });
  const queued = vi.fn();
  const reader = file.read().getReader();
  await reader.read();
  await settle();
  manager.on('queued', queued);
  // Chunk 0's last piece was given: the store is asked for what follows, and chunk 2 is not here to be read ahead.
  const next = outcomeOf(reader.read());
  await manager.removeFile('film');
  await flush();
  expect(next.error).toMatchObject({ code: 'UNKNOWN_FILE' });
  expect([queued.mock.calls.length, manager.stats().queued.CRITICAL, manager.stats().active]).toEqual([0, 0, 0]);
});

test('bytes that the store has lost are fetched anew once, however many readers meet the loss at once', async () => {
  const origin = new EagerOrigin(content, 'v1');
  const store = memoryChunkStore();
  const { file, manager } = await setUp({ fetchChunk: origin.fetchChunk, store });
  await manager.waitForRange('film', { startByte: 0, endByte: 95 });
  await store.remove('film', file.generation, { firstChunk: 1, endChunk: 2 }, { startByte: 10, endByte: 20 });
  const reads = await Promise.all([readAll(file.read()), readAll(file.read())]);
  expect(reads).toEqual([content, content]);
  expect(origin.sent[10]).toBe(2);
});

test('a reader whose signal a listener aborts as it asks for its chunk waits for nothing and wants nothing', async () => {
  const { clock, file, manager } = await setUp(new ConductedOrigin(content));
  const leaving = new AbortController();
  manager.on('queued', () => leaving.abort('gone'));
  const piece = outcomeOf(file.read(undefined, { signal: leaving.signal }).getReader().read());
  await flush();
  expect(piece.error).toBe('gone');
  expect(manager.stats()).toMatchObject({ waiters: 0, active: 0, queued: { CRITICAL: 0, HIGH: 0 } });
  expect(clock.pending).toBe(0);
});
