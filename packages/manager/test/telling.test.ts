import {
  BadOriginError,
  ChunkFailedError,
  ChunkGeometry,
  ChunkManager,
  DiskBudgetError,
  memoryChunkStore,
} from '@chunks/manager';
import { expect, test } from 'vitest';
import { FileEntry } from '../src/file-entry.ts';
import { isRetryable, waitersError } from '../src/telling.ts';

const geometry = new ChunkGeometry({ totalBytes: 25, chunkSizeBytes: 10 });
const slot = Object.assign(new FileEntry({ id: 'film', generation: 'v1', geometry, certainty: 'certain' }).slot(2), {
  attempts: 3,
});

test('each waiter’s error is a fresh one, with the attempts and the cause', () => {
  const cause = new Error('cut');
  const [first, second] = [waitersError(slot, 3, cause), waitersError(slot, 3, cause)];
  expect(first).toBeInstanceOf(ChunkFailedError);
  expect(first).toMatchObject({ fileId: 'film', chunk: 2, attempts: 3, cause });
  expect(second).not.toBe(first);
});

test('that there is no room is said as it is', () => {
  const cause = new DiskBudgetError({ fileId: 'film', neededBytes: 5, maxBytes: 4, cause: 'why' });
  const error = waitersError(slot, 1, cause);
  expect(error).toBeInstanceOf(DiskBudgetError);
  expect(error).toMatchObject({ fileId: 'film', neededBytes: 5, maxBytes: 4, cause: 'why' });
  expect(error).not.toBe(cause);
});

test('only an error that says so is not worth another try', () => {
  const bad = (retryable: boolean) => new BadOriginError({ fileId: 'film', problem: 'x', retryable });
  expect([bad(true), bad(false), new Error('x'), 'x', undefined, null].map(isRetryable)).toEqual([
    true,
    false,
    true,
    true,
    true,
    true,
  ]);
});

test('an event of a file that nobody knows yet names no generation', async () => {
  const manager = new ChunkManager({
    fetchChunk: async (_, { setFile, write }) => {
      setFile({ totalBytes: 3, generation: 'v1' });
      await write(new Uint8Array(3));
    },
    store: memoryChunkStore(),
  });
  const told: unknown[] = [];
  for (const event of ['started', 'chunk'] as const) {
    manager.on(event, ({ generation, chunk, range }) => told.push([event, generation, chunk, range.endByte]));
  }
  await manager.openFile({ id: 'film' });
  await manager.waitForChunk('film', 0);
  expect(told).toEqual([
    ['started', '', 0, 10 * 1024 * 1024],
    ['chunk', 'v1', 0, 3],
  ]);
});
