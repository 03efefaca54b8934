import { ChunkManager, memoryChunkStore, Priority } from '@chunks/manager';
import { expect, test } from 'vitest';
import { PRIORITIES, PRIORITY_NAMES, perPriority } from '../src/priority.ts';

test('smaller is more urgent, and every class has its name', () => {
  expect(PRIORITIES.map((priority) => PRIORITY_NAMES[priority])).toEqual(Object.keys(Priority));
  expect(PRIORITY_NAMES.map((name) => Priority[name])).toEqual([...PRIORITIES]);
  expect(perPriority((priority) => priority)).toEqual(Priority);
});

test('a new manager has waited for nothing in any class', () => {
  const { queued, wait } = new ChunkManager({ fetchChunk: async () => undefined, store: memoryChunkStore() }).stats();
  expect(queued).toEqual({ CRITICAL: 0, HIGH: 0, MEDIUM: 0, LOW: 0 });
  expect(Object.values(wait).map(({ count }) => count)).toEqual([0, 0, 0, 0]);
});
