import { settle, VirtualClock } from '@chunks/base/testing';
import {
  ChunkManager,
  ManagerClosedError,
  type ManagerOptions,
  memoryChunkStore,
  Priority,
  RangeUnsatisfiableError,
  UnknownFileError,
} from '@chunks/manager';
import { expect, test } from 'vitest';
import { ConductedOrigin, contentOf, EagerOrigin, outcomeOf, readAll } from './support/origin.ts';

const CHUNK = 10;
const setUp = (options: Partial<ManagerOptions> & Pick<ManagerOptions, 'fetchChunk'>) => {
  const clock = new VirtualClock();
  const manager = new ChunkManager({
    store: memoryChunkStore(),
    chunkSizeBytes: CHUNK,
    clock,
    random: () => 0.5,
    ...options,
  });
  return { clock, manager };
};

test('200 readers of one cold file: the origin sends each byte once, and everybody gets the whole', async () => {
  const content = contentOf(95);
  const origin = new EagerOrigin(content, 'v1');
  const { manager } = setUp(origin);
  const readers = Array.from({ length: 200 }, async () => {
    const file = await manager.openFile({ id: 'film' });
    return readAll(file.read());
  });
  for (const bytes of await Promise.all(readers)) expect(bytes).toEqual(content);
  expect(origin.jobs.length).toBe(10);
  expect(new Set(origin.jobs.map((job) => job.chunk)).size).toBe(10);
  expect([...origin.sent].every((count) => count === 1)).toBe(true);
  expect(manager.stats()).toMatchObject({ bytesFetched: 95, bytesWasted: 0, waiters: 0, active: 0 });
});

test('who joins a chunk in flight gets the bytes so far at once, then the others as they come', async () => {
  const content = contentOf(10);
  const origin = new ConductedOrigin(content);
  const { manager } = setUp(origin);
  await manager.openFile({ id: 'film', totalBytes: 10 });
  const first = manager.read('film').getReader();
  const firstPiece = first.read();
  await settle();
  await origin.call(0).give(4);
  expect((await firstPiece).value).toEqual(content.slice(0, 4));
  const joiner = manager.read('film').getReader();
  expect((await joiner.read()).value).toEqual(content.slice(0, 4));
  const next = outcomeOf(joiner.read());
  await settle();
  expect(next.state).toBe('pending');
  await origin.call(0).give(3);
  await settle();
  expect(next.value?.value).toEqual(content.slice(4, 7));
  expect(origin.calls.length).toBe(1);
});

test('each reader gets bytes of its own', async () => {
  const content = contentOf(10);
  const { manager } = setUp(new EagerOrigin(content, 'v1'));
  const file = await manager.openFile({ id: 'film' });
  const first = await readAll(file.read());
  for await (const piece of file.read()) piece.fill(0);
  expect(first).toEqual(content);
  expect(await readAll(file.read())).toEqual(content);
});

test('a slow reader does not hold the fetch back', async () => {
  const origin = new EagerOrigin(contentOf(10), 'v1');
  const { manager } = setUp(origin);
  await manager.openFile({ id: 'film', totalBytes: 10, generation: 'v1' });
  origin.pieceBytes = 1;
  const slow = manager.read('film').getReader();
  await slow.read();
  await settle();
  await settle();
  expect(manager.hasChunk('film', 0)).toBe(true);
});

test('a read asks for the chunk it stands in and one class lower the one after it, not more', async () => {
  const origin = new ConductedOrigin(contentOf(50));
  const { manager } = setUp({ ...origin, concurrency: 5 });
  await manager.openFile({ id: 'film', totalBytes: 50 });
  const reader = manager.read('film', { startByte: 12, endByte: 50 }).getReader();
  await settle();
  expect(origin.calls.length).toBe(0);
  const piece = reader.read();
  await settle();
  expect(origin.calls.map(({ job }) => [job.chunk, job.priority])).toEqual([
    [1, Priority.CRITICAL],
    [2, Priority.HIGH],
  ]);
  await origin.call(1).finish();
  await piece;
  await settle();
  expect(origin.asked).toEqual([1, 2]);
});

test('the chunks of a read end with its range', async () => {
  const origin = new EagerOrigin(contentOf(50), 'v1');
  const { manager } = setUp(origin);
  await manager.openFile({ id: 'film', totalBytes: 50, generation: 'v1' });
  expect(await readAll(manager.read('film', { startByte: 15, endByte: 20 }))).toEqual(contentOf(50).slice(15, 20));
  expect(origin.jobs.map((job) => job.chunk)).toEqual([1]);
});

test('of all that is asked for in one go the most urgent starts first, and files take turns', async () => {
  const origin = new ConductedOrigin(contentOf(50));
  const { manager } = setUp({ ...origin, concurrency: 1 });
  await manager.openFile({ id: 'a', totalBytes: 50 });
  await manager.openFile({ id: 'b', totalBytes: 50 });
  manager.requestRange('a', { startByte: 0, endByte: 30 }, { priority: Priority.LOW });
  manager.requestChunk('b', 4, { priority: Priority.LOW });
  manager.requestChunk('a', 3, { priority: Priority.CRITICAL });
  for (let i = 0; i < 5; i++) {
    await settle();
    await origin.calls[i]?.finish();
  }
  await settle();
  const order = origin.calls.map(({ job }) => `${job.fileId}${job.chunk}`);
  expect(order).toEqual(['a3', 'a0', 'b4', 'a1', 'a2']);
});

test('asking again raises the class and never lowers it', async () => {
  const origin = new ConductedOrigin(contentOf(50));
  const { manager } = setUp({ ...origin, concurrency: 1 });
  await manager.openFile({ id: 'a', totalBytes: 50 });
  manager.requestChunk('a', 0);
  await settle();
  manager.requestChunk('a', 1, { priority: Priority.LOW });
  manager.requestChunk('a', 2, { priority: Priority.HIGH });
  manager.requestChunk('a', 1, { priority: Priority.CRITICAL });
  manager.requestChunk('a', 1, { priority: Priority.LOW });
  expect(manager.stats().queued).toEqual({ CRITICAL: 1, HIGH: 1, MEDIUM: 0, LOW: 0 });
  await origin.calls[0]?.finish();
  await settle();
  expect(origin.calls[1]?.job).toMatchObject({ chunk: 1, priority: Priority.CRITICAL });
});

test('no more fetches at once than concurrency, and perFile of one file', async () => {
  const origin = new ConductedOrigin(contentOf(50));
  const { manager } = setUp({ ...origin, concurrency: 3, perFile: 2 });
  for (const id of ['a', 'b']) {
    await manager.openFile({ id, totalBytes: 50 });
    manager.requestRange(id, { startByte: 0, endByte: 50 });
  }
  await settle();
  expect(manager.stats().active).toBe(3);
  expect(origin.calls.map(({ job }) => job.fileId).sort()).toEqual(['a', 'a', 'b']);
});

test('availability is answered from memory, in chunks, ranges, runs and contiguous bytes', async () => {
  const { manager } = setUp(new EagerOrigin(contentOf(45), 'v1'));
  await manager.openFile({ id: 'film', totalBytes: 45, generation: 'v1' });
  await Promise.all([1, 2, 4].map((chunk) => manager.waitForChunk('film', chunk)));
  expect([0, 1, 2, 3, 4].map((chunk) => manager.hasChunk('film', chunk))).toEqual([false, true, true, false, true]);
  expect(manager.hasByteRange('film', { startByte: 10, endByte: 30 })).toBe(true);
  expect(manager.hasByteRange('film', { startByte: 9, endByte: 30 })).toBe(false);
  expect(manager.hasByteRange('film', { startByte: 10, endByte: 31 })).toBe(false);
  expect(manager.availableChunks('film')).toEqual([
    { firstChunk: 1, endChunk: 3 },
    { firstChunk: 4, endChunk: 5 },
  ]);
  expect(manager.missing('film')).toEqual([
    { firstChunk: 0, endChunk: 1 },
    { firstChunk: 3, endChunk: 4 },
  ]);
  expect(manager.missing('film', { startByte: 12, endByte: 35 })).toEqual([{ firstChunk: 3, endChunk: 4 }]);
  expect([0, 12, 29, 44, 45].map((byte) => manager.contiguousBytesFrom('film', byte))).toEqual([0, 18, 1, 1, 0]);
});

test('a file of no bytes opens, is complete and reads as nothing', async () => {
  const { manager } = setUp(new EagerOrigin(new Uint8Array(0), 'v1'));
  const file = await manager.openFile({ id: 'empty' });
  expect(file.totalBytes).toBe(0);
  expect(await readAll(file.read())).toEqual(new Uint8Array(0));
  expect(manager.missing('empty')).toEqual([]);
  expect(() => manager.requestChunk('empty', 0)).toThrow(RangeUnsatisfiableError);
});

test('bad input is a typed error and queues nothing', async () => {
  const origin = new ConductedOrigin(contentOf(45));
  const { manager } = setUp(origin);
  await manager.openFile({ id: 'film', totalBytes: 45 });
  const range = (startByte: number, endByte: number) => ({ startByte, endByte });
  for (const act of [
    () => manager.requestChunk('film', 5),
    () => manager.requestChunk('film', -1),
    () => manager.requestChunk('film', 1.5),
    () => manager.requestRange('film', range(5, 5)),
    () => manager.requestRange('film', range(5, 4)),
    () => manager.requestRange('film', range(-1, 4)),
    () => manager.read('film', range(0, 46)),
    () => manager.hasChunk('film', 5),
    () => manager.hasByteRange('film', range(45, 45)),
    () => manager.missing('film', range(40, 50)),
    () => manager.pin('film', { firstChunk: 2, endChunk: 6 }),
    () => manager.cancelRequests('film', { chunks: { firstChunk: 3, endChunk: 2 } }),
  ]) {
    expect(act).toThrow(RangeUnsatisfiableError);
  }
  await expect(manager.waitForChunk('film', 5)).rejects.toThrow(RangeUnsatisfiableError);
  await expect(manager.waitForRange('film', range(3, 3))).rejects.toThrow(RangeUnsatisfiableError);
  expect(() => manager.requestChunk('other', 0)).toThrow(UnknownFileError);
  expect(() => manager.read('other')).toThrow(UnknownFileError);
  await expect(manager.waitForChunk('other', 0)).rejects.toThrow(UnknownFileError);
  expect(() => manager.requestChunk('film', 0, { priority: 9 as Priority })).toThrow(RangeError);
  expect(() => manager.requestChunk('film', '0' as unknown as number)).toThrow(TypeError);
  await expect(manager.waitForChunk('film', 0, { timeoutMs: -1 })).rejects.toThrow(RangeError);
  await expect(manager.openFile({ id: '' })).rejects.toThrow(RangeError);
  await expect(manager.openFile({ id: 'x', totalBytes: 1.5 })).rejects.toThrow(RangeError);
  await settle();
  expect(origin.calls.length).toBe(0);
  expect(Object.values(manager.stats().queued)).toEqual([0, 0, 0, 0]);
});

test('closing ends every wait and reader with MANAGER_CLOSED, stops the fetches, and stays closed', async () => {
  const origin = new ConductedOrigin(contentOf(45));
  const { clock, manager } = setUp(origin);
  const file = await manager.openFile({ id: 'film', totalBytes: 45 });
  const wait = outcomeOf(manager.waitForChunk('film', 0));
  const read = outcomeOf(readAll(file.read({ startByte: 20, endByte: 30 })));
  const ticket = manager.requestChunk('film', 4);
  const opening = outcomeOf(manager.openFile({ id: 'other' }));
  await settle();
  await manager.close();
  await settle();
  for (const outcome of [wait, read, opening]) expect(outcome.error).toBeInstanceOf(ManagerClosedError);
  await expect(ticket.done).rejects.toThrow(ManagerClosedError);
  expect(origin.calls.every((call) => call.aborted)).toBe(true);
  expect(() => manager.requestChunk('film', 0)).toThrow(ManagerClosedError);
  await expect(manager.openFile({ id: 'film' })).rejects.toThrow(ManagerClosedError);
  await expect(readAll(file.read())).rejects.toThrow(ManagerClosedError);
  await manager.close();
  expect(clock.pending).toBe(0);
});
