import { ChunkManager, GenerationChangedError, memoryChunkStore } from '@chunks/manager';
import { expect, test } from 'vitest';
import { contentOf, EagerOrigin, readAll } from './support/origin.ts';

test('stays one generation when another becomes current', async () => {
  const origin = new EagerOrigin(contentOf(40, 1), 'v1');
  const manager = new ChunkManager({ ...origin, store: memoryChunkStore(), chunkSizeBytes: 10 });
  const old = await manager.openFile({ id: 'film' });
  expect(await readAll(old.read({ startByte: 5, endByte: 15 }, { owner: 'me' }))).toEqual(
    contentOf(40, 1).slice(5, 15),
  );
  origin.replace(contentOf(50, 2), 'v2');
  const now = await manager.openFile({ id: 'film', generation: 'v2', totalBytes: 50 });
  expect(old).toMatchObject({ id: 'film', generation: 'v1', totalBytes: 40, chunkSizeBytes: 10 });
  expect(now).toMatchObject({ id: 'film', generation: 'v2', totalBytes: 50 });
  await expect(readAll(old.read())).rejects.toBeInstanceOf(GenerationChangedError);
  expect(await readAll(now.read())).toEqual(contentOf(50, 2));
});
