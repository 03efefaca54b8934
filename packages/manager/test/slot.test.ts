import { ChunkGeometry, Priority } from '@chunks/manager';
import { expect, test } from 'vitest';
import { FileEntry } from '../src/file-entry.ts';
import { Demand } from '../src/slot.ts';

const file = (totalBytes: number) =>
  new FileEntry({
    id: 'film',
    generation: 'v1',
    geometry: new ChunkGeometry({ totalBytes, chunkSizeBytes: 10 }),
    certainty: 'certain',
  });

test('knows its bytes, the shorter last ones too, and none for a chunk that an empty file does not have', () => {
  expect([file(25).slot(0).size, file(25).slot(2).range]).toEqual([10, { startByte: 20, endByte: 25 }]);
  expect(file(0).slot(0).size).toBe(0);
});

test('is unused only while nobody wants it, stands in it or works on it', () => {
  const film = file(25);
  const slot = film.slot(0);
  expect(slot.unused).toBe(true);
  const listener = { onProgress: () => undefined, onDone: () => undefined, onFailed: () => undefined };
  const demand = new Demand(film, 0, { priority: Priority.LOW, owner: undefined, listener });
  slot.join(demand);
  expect(slot.unused).toBe(false);
  slot.leave(demand);
  slot.holds = 1;
  expect(slot.unused).toBe(false);
  slot.holds = 0;
  slot.phase = 'stopping';
  expect(slot.unused).toBe(false);
});
