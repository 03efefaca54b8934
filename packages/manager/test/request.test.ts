import { settle, VirtualClock } from '@chunks/base/testing';
import { ChunkManager, memoryChunkStore, Priority, WaitTimeoutError } from '@chunks/manager';
import { expect, test } from 'vitest';
import { ConductedOrigin, contentOf, outcomeOf } from './support/origin.ts';

const setUp = async () => {
  const origin = new ConductedOrigin(contentOf(40));
  const clock = new VirtualClock();
  const manager = new ChunkManager({ ...origin, store: memoryChunkStore(), chunkSizeBytes: 10, clock });
  await manager.openFile({ id: 'film', totalBytes: 40 });
  return { clock, manager, origin };
};

test('a wait times out only when nothing came for timeoutMs; each byte starts it anew', async () => {
  const { clock, manager, origin } = await setUp();
  const wait = outcomeOf(manager.waitForChunk('film', 0, { timeoutMs: 100 }));
  await settle();
  for (let i = 0; i < 9; i++) {
    await clock.advance(99);
    await origin.call(0).give(1);
    await settle();
  }
  await clock.advance(99);
  expect(wait.state).toBe('pending');
  await clock.advance(1);
  expect(wait.error).toBeInstanceOf(WaitTimeoutError);
  expect(wait.error).toMatchObject({ code: 'WAIT_TIMEOUT', retryable: true, fileId: 'film', waitedMs: 100 });
  expect(origin.call(0).aborted).toBe(true);
  expect(clock.pending).toBe(0);
});

test('a range waits for all its chunks, and any of them is progress', async () => {
  const { clock, manager, origin } = await setUp();
  const wait = outcomeOf(manager.waitForRange('film', { startByte: 5, endByte: 25 }, { timeoutMs: 100 }));
  await settle();
  for (const chunk of [1, 0, 2]) {
    expect(wait.state).toBe('pending');
    await clock.advance(99);
    await origin.call(chunk).finish();
    await settle();
  }
  expect(wait.state).toBe('done');
  expect(manager.stats().wait.CRITICAL.toJSON()).toMatchObject({ count: 1, sum: 297 });
});

test('a timeout of 30 s is the default, and of one waiter only', async () => {
  const { clock, manager, origin } = await setUp();
  const patient = outcomeOf(manager.waitForChunk('film', 0, { timeoutMs: Number.POSITIVE_INFINITY }));
  const usual = outcomeOf(manager.waitForChunk('film', 0));
  await clock.advance(29_999);
  expect(usual.state).toBe('pending');
  await clock.advance(1);
  expect([usual.state, patient.state]).toEqual(['failed', 'pending']);
  expect(origin.call(0).aborted).toBe(false);
});

test('what is here already resolves without asking anybody', async () => {
  const { manager, origin } = await setUp();
  const first = manager.waitForChunk('film', 0);
  await settle();
  await origin.call(0).finish();
  await first;
  await manager.waitForChunk('film', 0);
  const ticket = manager.requestChunk('film', 0);
  expect(ticket).toMatchObject({ missing: [] });
  await ticket.done;
  expect(ticket.cancel()).toBe(false);
  expect(origin.calls.length).toBe(1);
});

test('a ticket says what was missing, and its disposal cancels it', async () => {
  const { manager, origin } = await setUp();
  const wait = manager.waitForChunk('film', 1);
  await settle();
  await origin.call(1).finish();
  await wait;
  const ticket = manager.requestRange('film', { startByte: 0, endByte: 40 }, { priority: Priority.LOW });
  expect(ticket.missing).toEqual([
    { firstChunk: 0, endChunk: 1 },
    { firstChunk: 2, endChunk: 4 },
  ]);
  await settle();
  ticket[Symbol.dispose]();
  await expect(ticket.done).rejects.toMatchObject({ name: 'AbortError' });
  expect(origin.calls.filter((call) => call.job.chunk !== 1).every((call) => call.aborted)).toBe(true);
});

test('a signal that has aborted, or aborts later, is the reason itself and leaves no listener', async () => {
  const { manager, origin } = await setUp();
  const reason = { why: 'mine' };
  await expect(manager.waitForChunk('film', 0, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  await expect(manager.requestChunk('film', 0, { signal: AbortSignal.abort(reason) }).done).rejects.toBe(reason);
  expect(manager.stats().queued.MEDIUM).toBe(0);
  const leaving = new AbortController();
  const ticket = manager.requestChunk('film', 0, { signal: leaving.signal });
  await settle();
  leaving.abort(reason);
  await expect(ticket.done).rejects.toBe(reason);
  expect(origin.call(0).aborted).toBe(true);

  const listeners = new Set<unknown>();
  const { signal } = new AbortController();
  signal.addEventListener = (_: string, listener: unknown) => void listeners.add(listener);
  signal.removeEventListener = (_: string, listener: unknown) => void listeners.delete(listener);
  const { done } = manager.requestChunk('film', 2, { signal });
  expect(listeners.size).toBe(1);
  await settle();
  await origin.call(2).finish();
  await done;
  expect(listeners.size).toBe(0);
});

test('a range of which one chunk failed can still be cancelled', async () => {
  const { manager, origin } = await setUp();
  const ticket = manager.requestRange('film', { startByte: 0, endByte: 20 });
  await settle();
  origin.call(0).end.reject(Object.assign(new Error('no'), { retryable: false }));
  await expect(ticket.done).rejects.toMatchObject({ code: 'CHUNK_FAILED' });
  expect(origin.call(1).aborted).toBe(false);
  expect(ticket.cancel()).toBe(false);
  expect(origin.call(1).aborted).toBe(true);
});

test('a wait for a range that fails by one chunk wants the others no longer', async () => {
  const { manager, origin } = await setUp();
  const wait = manager.waitForRange('film', { startByte: 0, endByte: 20 });
  await settle();
  origin.call(0).end.reject(Object.assign(new Error('no'), { retryable: false }));
  await expect(wait).rejects.toMatchObject({ code: 'CHUNK_FAILED', chunk: 0 });
  expect(origin.call(1).aborted).toBe(true);
});

test('a signal that aborts while the request is still being made withdraws all of it', async () => {
  const { manager, origin } = await setUp();
  const leaving = new AbortController();
  manager.on('queued', () => leaving.abort(new Error('gone')));
  const { done } = manager.requestRange('film', { startByte: 0, endByte: 40 }, { signal: leaving.signal });
  await expect(done).rejects.toThrow('gone');
  await settle();
  expect([origin.calls.length, manager.stats().active]).toEqual([0, 0]);
});

test('a file that is removed while a request for it is still being made fails the request, and is not fetched', async () => {
  const { manager, origin } = await setUp();
  manager.on('queued', () => void manager.removeFile('film'));
  const { done } = manager.requestRange('film', { startByte: 0, endByte: 40 });
  await expect(done).rejects.toMatchObject({ code: 'UNKNOWN_FILE' });
  await settle();
  expect([origin.calls.length, manager.stats().queued.MEDIUM]).toEqual([0, 0]);
});
