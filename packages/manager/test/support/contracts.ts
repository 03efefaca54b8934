import { type ByteRange, collectBytes, RangeSet } from '@chunks/base';
import { type ChunkRepository, type ChunkStore, Coverage } from '@chunks/manager';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { contentOf } from './origin.ts';

const COUNT = 37;
const row = (id: string, generation: string, marked: readonly number[] = []) => {
  const coverage = new Coverage(COUNT);
  for (const chunk of marked) coverage.mark(chunk);
  return { id, generation, totalBytes: COUNT * 10 - 3, chunkSizeBytes: 10, coverage: coverage.toBytes() };
};
const mark = (chunk: number) => ({ chunk, size: 10 });
// Names that a table or a path might take badly.
const IDS = ['a', '../b', "c'; --", 'd\u0000\ud800'];

interface Kept {
  generation: string;
  chunks: Set<number>;
}

const repositoryStep = fc.record({
  kind: fc.constantFrom('upsert', 'mark', 'mark', 'mark', 'unmark', 'remove', 'load', 'reopen'),
  id: fc.constantFrom(...IDS),
  generation: fc.constantFrom('"1"', '"2"'),
  chunks: fc.array(fc.nat(COUNT - 1), { maxLength: 5, size: 'max' }),
});

/** What every repository does; `reopen` gives one over the same data, as after a crash. */
export function repositoryContract(o: {
  open: () => Promise<ChunkRepository>;
  reopen?: (repository: ChunkRepository) => Promise<ChunkRepository>;
  numRuns: number;
}): void {
  test('remembers what a plain map remembers, in order of use, over random programs', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(repositoryStep, { maxLength: 40, size: 'max' }), async (steps) => {
        let repository = await o.open();
        const files = new Map<string, Kept>();
        const use = (id: string, kept: Kept): void => {
          files.delete(id);
          files.set(id, kept);
        };
        for (const { kind, id, generation, chunks } of steps) {
          const kept = files.get(id);
          const current = kept?.generation === generation ? kept : undefined;
          if (kind === 'upsert') {
            await repository.upsertFile(row(id, generation, chunks));
            use(id, { generation, chunks: new Set(chunks) });
          } else if (kind === 'mark') {
            await repository.markChunks(id, generation, chunks.map(mark));
            for (const chunk of chunks) current?.chunks.add(chunk);
          } else if (kind === 'unmark') {
            const firstChunk = Math.min(COUNT, ...chunks);
            const endChunk = Math.min(firstChunk + 3, COUNT);
            await repository.unmarkChunks(id, generation, { firstChunk, endChunk });
            for (let chunk = firstChunk; chunk < endChunk; chunk++) current?.chunks.delete(chunk);
          } else if (kind === 'remove') {
            expect(await repository.removeFile(id)).toBe(files.delete(id));
          } else if (kind === 'reopen') {
            repository = (await o.reopen?.(repository)) ?? repository;
          } else {
            const loaded = await repository.loadFile(id);
            const expected = kept && row(id, kept.generation, [...kept.chunks]);
            expect(loaded && { ...loaded, coverage: [...loaded.coverage] }).toEqual(
              expected && { ...expected, coverage: [...expected.coverage] },
            );
            if (kept !== undefined) use(id, kept);
          }
        }
        expect(await repository.listFiles()).toEqual([...files.keys()]);
        await repository.close?.();
      }),
      { numRuns: o.numRuns },
    );
  });

  test('what is written anew has only the marks that it brings', async () => {
    const repository = await o.open();
    await repository.upsertFile(row('a', 'v1', [1]));
    await repository.markChunks('a', 'v1', [mark(3)]);
    await repository.upsertFile(row('a', 'v1', [2]));
    expect((await repository.loadFile('a'))?.coverage).toEqual(row('a', 'v1', [2]).coverage);
    await repository.markChunks('a', 'v1', [mark(3)]);
    await repository.removeFile('a');
    await repository.upsertFile(row('a', 'v1'));
    expect((await repository.loadFile('a'))?.coverage).toEqual(row('a', 'v1').coverage);
    await repository.close?.();
  });

  test('calls made without waiting take effect in their order', async () => {
    const repository = await o.open();
    void repository.upsertFile(row('a', 'v1'));
    void repository.markChunks('a', 'v1', [mark(3)]);
    void repository.unmarkChunks('a', 'v1', { firstChunk: 3, endChunk: 4 });
    void repository.markChunks('a', 'v1', [mark(4)]);
    const loaded = await repository.loadFile('a');
    expect(Coverage.from(loaded?.coverage as Uint8Array, COUNT).nextPresent(0)).toBe(4);
    await repository.close?.();
  });
}

const FILE_BYTES = 60;
const storeStep = fc.record({
  kind: fc.constantFrom('write', 'write', 'write', 'remove', 'removeAll', 'read', 'commit'),
  generation: fc.constantFrom('"1"', '"2"'),
  chunk: fc.nat(5),
  from: fc.nat(9),
  length: fc.integer({ min: 1, max: 10 }),
  seed: fc.nat(50),
});

/** What every store does. */
export function storeContract(o: { open: () => Promise<ChunkStore>; removesParts: boolean; numRuns: number }): void {
  const bytesOf = (store: ChunkStore, generation: string, range: ByteRange): Promise<Uint8Array> =>
    collectBytes(store.read('film', generation, range));

  test('gives back the bytes that a plain array holds, over random programs', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(storeStep, { maxLength: 30, size: 'max' }), async (steps) => {
        const store = await o.open();
        const model = new Map<string, { bytes: Uint8Array; written: RangeSet }>();
        for (const { kind, generation, chunk, from, length, seed } of steps) {
          const startByte = chunk * 10 + from;
          const range = { startByte, endByte: Math.min(startByte + length, (chunk + 1) * 10) };
          const kept = model.get(generation) ?? { bytes: new Uint8Array(FILE_BYTES), written: new RangeSet() };
          if (kind === 'write') {
            const bytes = contentOf(range.endByte - range.startByte, seed);
            model.set(generation, kept);
            kept.bytes.set(bytes, range.startByte);
            kept.written.add(range);
            await store.write('film', generation, chunk, range.startByte, bytes);
            bytes.fill(0);
          } else if (kind === 'remove' && o.removesParts) {
            const whole = { startByte: chunk * 10, endByte: chunk * 10 + 10 };
            kept.written.delete(whole);
            await store.remove('film', generation, { firstChunk: chunk, endChunk: chunk + 1 }, whole);
          } else if (kind === 'removeAll') {
            model.delete(generation);
            await store.remove('film', generation);
          } else if (kind === 'commit' && kept.written.bytes > 0) await store.commit('film', generation, chunk);
          else if (kind === 'read' && kept.written.has(range)) {
            const got = await bytesOf(store, generation, range);
            expect([...got]).toEqual([...kept.bytes.slice(range.startByte, range.endByte)]);
          }
        }
        await store.close?.();
      }),
      { numRuns: o.numRuns },
    );
  });

  test('large ranges come in pieces that are the reader’s own', async () => {
    const store = await o.open();
    const content = contentOf(700_000);
    await store.write('film', 'v1', 0, 100, content);
    for await (const piece of store.read('film', 'v1', { startByte: 100, endByte: 700_100 })) {
      expect(piece.byteLength).toBeLessThan(700_000);
      expect(piece.buffer.byteLength).toBe(piece.byteLength);
      piece.fill(0);
    }
    expect(await bytesOf(store, 'v1', { startByte: 100, endByte: 700_100 })).toEqual(content);
    expect(await store.usage()).toBeGreaterThanOrEqual(700_000);
    await store.remove('film', 'v1');
    expect(await store.usage()).toBe(0);
    await store.close?.();
  });

  test('bytes that are not there are an error, never zeros past the end', async () => {
    const store = await o.open();
    await expect(bytesOf(store, 'v1', { startByte: 0, endByte: 1 })).rejects.toThrow();
    await store.write('film', 'v1', 0, 0, contentOf(10));
    await expect(bytesOf(store, 'v1', { startByte: 0, endByte: 11 })).rejects.toThrow();
    await store.remove('film', 'v1');
    await expect(bytesOf(store, 'v1', { startByte: 0, endByte: 1 })).rejects.toThrow();
    await store.close?.();
  });

  test('a removal takes what was written before it, and nothing that is written after it', async () => {
    const store = await o.open();
    const calls = [
      store.write('film', 'v1', 0, 0, contentOf(10, 1)),
      store.write('film', 'v1', 1, 10, contentOf(10, 1)),
      store.remove('film', 'v1'),
      store.write('film', 'v1', 0, 0, contentOf(10, 2)),
    ];
    await Promise.all(calls);
    expect(await bytesOf(store, 'v1', { startByte: 0, endByte: 10 })).toEqual(contentOf(10, 2));
    await expect(bytesOf(store, 'v1', { startByte: 10, endByte: 20 })).rejects.toThrow();
    await store.close?.();
  });

  test('calls for one chunk made without waiting take effect in their order', async () => {
    const store = await o.open();
    for (let round = 0; round < 5; round++) {
      const writes = Array.from({ length: 64 }, (_, i) => store.write('film', 'v1', 0, 0, contentOf(5_000 - i, i)));
      await Promise.all(writes);
      expect(await bytesOf(store, 'v1', { startByte: 0, endByte: 4_937 })).toEqual(contentOf(4_937, 63));
    }
    await store.close?.();
  });
}
