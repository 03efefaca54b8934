import { deferred } from '@chunks/base';
import { settle } from '@chunks/base/testing';
import { ChunkGeometry, Coverage, RangeUnsatisfiableError } from '@chunks/manager';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FileEntry } from '../src/file-entry.ts';
import { outcomeOf } from './support/origin.ts';

const entry = (certainty: FileEntry['certainty'] = 'certain', totalBytes = 95) =>
  new FileEntry({
    id: 'film',
    generation: 'v1',
    geometry: new ChunkGeometry({ totalBytes, chunkSizeBytes: 10 }),
    certainty,
  });

test('a row gives back what was stored, and counts its bytes exactly', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.array(fc.nat(19)), (totalBytes, chunks) => {
      const before = entry('certain', totalBytes);
      const { count } = before.geometry;
      for (const chunk of chunks) if (chunk < count) before.coverage.mark(chunk);
      const after = FileEntry.fromRow(before.toRow());
      expect(after.coverage.toBytes()).toEqual(before.coverage.toBytes());
      let bytes = 0;
      for (let chunk = 0; chunk < count; chunk++) {
        const { startByte, endByte } = before.geometry.rangeOf(chunk);
        if (before.coverage.has(chunk)) bytes += endByte - startByte;
      }
      expect(after.heldBytes).toBe(bytes);
    }),
  );
});

test('a generation made from the length stays assumed over a restart as long as nothing is stored', () => {
  const row = {
    id: 'film',
    generation: 'length=20',
    totalBytes: 20,
    chunkSizeBytes: 10,
    coverage: new Uint8Array([0]),
  };
  expect(FileEntry.fromRow(row).certainty).toBe('assumed');
  expect(FileEntry.fromRow({ ...row, coverage: new Uint8Array([1]) }).certainty).toBe('certain');
  expect(FileEntry.fromRow({ ...row, generation: 'v1' }).certainty).toBe('certain');
});

test('is touched by the first byte, marked or not', () => {
  const file = entry('assumed');
  expect(file.untouched).toBe(true);
  file.slot(3).received = 1;
  expect(file.untouched).toBe(false);
  file.slot(3).received = 0;
  file.coverage.mark(4);
  expect(file.untouched).toBe(false);
});

test('the truth takes the placeholder’s place, with a geometry of its own', () => {
  const file = entry('unknown', 10);
  file.become({ generation: 'v2', totalBytes: 35, certainty: 'certain' });
  expect([file.generation, file.geometry.count, file.coverage]).toEqual(['v2', 4, new Coverage(4)]);
});

test('forgets slots that hold nothing, and keeps those that do', () => {
  const file = entry();
  for (const [chunk, change] of [
    [0, {}],
    [1, { received: 1 }],
    [2, { failed: true }],
    [3, { holds: 1 }],
    [4, { phase: 'queued' as const }],
  ] as const) {
    file.tidy(Object.assign(file.slot(chunk), change));
  }
  expect([...file.slots.keys()]).toEqual([1, 2, 3, 4]);
});

test('is quiet once all work has settled, also work begun meanwhile', async () => {
  const file = entry();
  const first = deferred<void>();
  const second = deferred<void>();
  file.track(first.promise).catch(() => undefined);
  const quiet = outcomeOf(file.quiesce());
  file.track(second.promise).catch(() => undefined);
  first.reject(new Error('failed'));
  await settle();
  expect(quiet.state).toBe('pending');
  second.resolve();
  await settle();
  expect(quiet.state).toBe('done');
});

test('ranges, chunks and spans outside the file are refused by what was asked for', () => {
  const file = entry();
  const error = (act: () => unknown): RangeUnsatisfiableError => {
    try {
      act();
    } catch (caught) {
      if (caught instanceof RangeUnsatisfiableError) return caught;
    }
    throw new Error('was not refused');
  };
  expect(error(() => file.checkRange({ startByte: 90, endByte: 96 }))).toMatchObject({
    range: { startByte: 90, endByte: 96 },
    totalBytes: 95,
    message: '"film" has 95 bytes and no bytes 90–96',
  });
  expect(error(() => file.checkChunk(10)).message).toBe('"film" has 95 bytes and no chunk 10');
  expect(error(() => file.checkSpan({ firstChunk: 3, endChunk: 11 })).message).toMatch('chunks 3–11');
  expect(file.checkSpan(undefined)).toEqual({ firstChunk: 0, endChunk: 10 });
  expect(() => file.checkRange('x' as never)).toThrow(TypeError);
});
