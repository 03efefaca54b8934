import { settle, VirtualClock } from '@chunks/base/testing';
import { ChunkManager, memoryChunkStore, Priority } from '@chunks/manager';
import { expect, test } from 'vitest';
import { ConductedOrigin, contentOf } from './support/origin.ts';

test('says of every chunk what it is, in runs that cover the file', async () => {
  const origin = new ConductedOrigin(contentOf(95));
  const clock = new VirtualClock();
  const manager = new ChunkManager({
    ...origin,
    store: memoryChunkStore(),
    chunkSizeBytes: 10,
    concurrency: 2,
    retry: { attempts: 1 },
    clock,
  });
  await manager.openFile({ id: 'film', totalBytes: 95, generation: 'v1' });
  const whole = { firstChunk: 0, endChunk: 10 };
  expect(manager.snapshot('film')).toEqual({ runs: [{ chunks: whole, state: 'missing' }], cursors: [] });

  const stored = manager.waitForRange('film', { startByte: 20, endByte: 40 });
  await settle();
  for (const chunk of [2, 3]) await origin.call(chunk).finish();
  await stored;
  manager.requestChunk('film', 5, { priority: Priority.HIGH });
  manager.requestChunk('film', 5, { priority: Priority.LOW });
  const failing = manager.requestChunk('film', 0, { priority: Priority.HIGH });
  await settle();
  origin.call(0).end.reject(new Error('cut'));
  await expect(failing.done).rejects.toThrow();
  const left = manager.requestChunk('film', 9, { priority: Priority.HIGH });
  await settle();
  await origin.call(9).give(3);
  left.cancel();
  const busy = manager.requestChunk('film', 4, { priority: Priority.HIGH });
  await settle();
  await origin.call(5).give(4);
  manager.requestRange('film', { startByte: 60, endByte: 80 });

  const span = (firstChunk: number, endChunk: number) => ({ firstChunk, endChunk });
  expect(manager.snapshot('film').runs).toEqual([
    { chunks: span(0, 1), state: 'failed', attempts: 1 },
    { chunks: span(1, 2), state: 'missing' },
    { chunks: span(2, 4), state: 'present' },
    { chunks: span(4, 5), state: 'fetching', priority: Priority.HIGH, waiters: 1, bytesSoFar: 0 },
    { chunks: span(5, 6), state: 'fetching', priority: Priority.HIGH, waiters: 2, bytesSoFar: 4 },
    { chunks: span(6, 8), state: 'queued', priority: Priority.MEDIUM, waiters: 1 },
    { chunks: span(8, 9), state: 'missing' },
    { chunks: span(9, 10), state: 'missing', bytesSoFar: 3 },
  ]);
  busy.cancel();
  await manager.close();
});

test('a chunk that waits for its next attempt is queued, and one that nobody wants any more is missing', async () => {
  const origin = new ConductedOrigin(contentOf(10));
  origin.ignoresAbort = true;
  const manager = new ChunkManager({
    ...origin,
    store: memoryChunkStore(),
    chunkSizeBytes: 10,
    clock: new VirtualClock(),
  });
  await manager.openFile({ id: 'film', totalBytes: 10, generation: 'v1' });
  const ticket = manager.requestChunk('film', 0);
  await settle();
  const stateOf = (): string | undefined => manager.snapshot('film').runs[0]?.state;
  expect(stateOf()).toBe('fetching');
  origin.call(0).end.reject(new Error('cut'));
  await settle();
  expect(manager.snapshot('film').runs[0]).toMatchObject({ state: 'queued', attempts: 1 });
  ticket.cancel();
  expect(stateOf()).toBe('missing');
  const again = manager.requestChunk('film', 0);
  await settle();
  again.cancel();
  expect(stateOf()).toBe('missing');
});

test('a complete file is one run, also when its last chunk is the only one', async () => {
  for (const size of [95, 7]) {
    const origin = new ConductedOrigin(contentOf(size));
    const manager = new ChunkManager({ ...origin, store: memoryChunkStore(), chunkSizeBytes: 10, concurrency: 10 });
    await manager.openFile({ id: 'film', totalBytes: size, generation: 'v1' });
    const wait = manager.waitForRange('film', { startByte: 0, endByte: size });
    await settle();
    for (const call of origin.calls) await call.finish();
    await wait;
    const chunks = { firstChunk: 0, endChunk: Math.ceil(size / 10) };
    expect(manager.snapshot('film').runs).toEqual([{ chunks, state: 'present' }]);
  }
});
