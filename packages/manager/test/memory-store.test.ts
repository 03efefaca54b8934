import { memoryChunkStore } from '@chunks/manager';
import { expect, test } from 'vitest';
import { storeContract } from './support/contracts.ts';

storeContract({ open: async () => memoryChunkStore(), removesParts: true, numRuns: 80 });

test('counts exactly the bytes that are stored, and lets go of pages of which nothing is left', async () => {
  const store = memoryChunkStore();
  await store.write('a', 'v1', 0, 0, new Uint8Array(100));
  await store.write('a', 'v1', 1, 100, new Uint8Array(50));
  await store.write('a', 'v1', 1, 120, new Uint8Array(50));
  expect(await store.usage()).toBe(170);
  await store.remove('a', 'v1', { firstChunk: 0, endChunk: 1 }, { startByte: 0, endByte: 100 });
  expect(await store.usage()).toBe(70);
  await expect(store.read('a', 'v1', { startByte: 50, endByte: 110 })[Symbol.asyncIterator]().next()).rejects.toThrow(
    RangeError,
  );
});
