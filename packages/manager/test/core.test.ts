import { ChunkManager, type ManagerOptions, memoryChunkStore } from '@chunks/manager';
import { expect, test } from 'vitest';
import { settingsOf } from '../src/core.ts';

const needed = { fetchChunk: async () => undefined, store: memoryChunkStore() };

test('defaults are those that the documentation names', () => {
  expect(settingsOf(needed)).toMatchObject({
    chunkSizeBytes: 10 * 1024 * 1024,
    concurrency: 3,
    perFile: 3,
    attempts: 3,
    initialBufferBytes: 20 * 1024 * 1024,
    abandonAfterMs: 5_000,
    maxDiskBytes: undefined,
    describeFile: undefined,
  });
  expect(settingsOf({ ...needed, concurrency: 7 }).perFile).toBe(7);
  const { backoff } = settingsOf(needed);
  expect([1, 2, 9].map((attempt) => backoff.delayMs(attempt, () => 1))).toEqual([500, 1_000, 10_000]);
});

test.each<[string, Partial<Record<keyof ManagerOptions, unknown>>, typeof TypeError | typeof RangeError]>([
  ['fetchChunk', { fetchChunk: undefined }, TypeError],
  ['store', { store: undefined }, TypeError],
  ['describeFile', { describeFile: 'x' }, TypeError],
  ['chunkSizeBytes', { chunkSizeBytes: 0 }, RangeError],
  ['concurrency', { concurrency: 0 }, RangeError],
  ['concurrency', { concurrency: '3' }, TypeError],
  ['perFile', { perFile: 1.5 }, RangeError],
  ['retry.attempts', { retry: { attempts: 0 } }, RangeError],
  ['retry.baseMs', { retry: { baseMs: -1 } }, RangeError],
  ['retry.maxMs', { retry: { maxMs: Number.NaN } }, RangeError],
  ['initialBufferBytes', { initialBufferBytes: -1 }, RangeError],
  ['diskBudget.maxBytes', { diskBudget: { maxBytes: 0 } }, RangeError],
  ['abandonAfterMs', { abandonAfterMs: -1 }, RangeError],
])('a bad %s is refused by name', (name, options, kind) => {
  const build = (): unknown => new ChunkManager({ ...needed, ...options } as ManagerOptions);
  expect(build).toThrow(kind);
  expect(build).toThrow(name);
});
