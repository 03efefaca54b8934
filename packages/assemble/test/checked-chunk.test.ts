import { describe, expect, test } from 'vitest';
import {
  type ChunkMismatch,
  checkedChunk,
  type FetchChunk,
  settledOrAborted,
  type WantedChunk,
} from '../src/checked-chunk.ts';

const signal = new AbortController().signal;
const wanted: WantedChunk = { index: 3, key: 'a/3', size: 4, digest: undefined, policy: { policy: 'exact' } };
const run = (fetchChunk: FetchChunk, o: Partial<WantedChunk> = {}, seen: ChunkMismatch[] = []) =>
  checkedChunk({ fetchChunk, signal, onMismatch: (mismatch) => seen.push(mismatch) }, { ...wanted, ...o }, false);

describe('checkedChunk', () => {
  test('names chunk and key of what is not there or cannot be fetched, and keeps the cause', async () => {
    const cause = new Error('store down');
    await expect(run(() => undefined)).rejects.toMatchObject({
      code: 'CHUNK_UNAVAILABLE',
      index: 3,
      key: 'a/3',
    });
    await expect(run(() => Promise.reject(cause))).rejects.toMatchObject({ code: 'CHUNK_UNAVAILABLE', cause });
    await expect(run(() => 'text' as unknown as Uint8Array)).rejects.toMatchObject({
      code: 'CHUNK_UNAVAILABLE',
      cause: expect.any(TypeError),
    });
  });

  test('a fetch that fails is not tried again: retrying is the fetcher’s own affair', async () => {
    let calls = 0;
    const source = { signal, onMismatch: undefined, fetchChunk: () => Promise.reject(new Error(`${++calls}`)) };
    await expect(checkedChunk(source, wanted, true)).rejects.toMatchObject({ code: 'CHUNK_UNAVAILABLE' });
    expect(calls).toBe(1);
  });

  test('follows a source that is too long only so far, and tells it to stop', async () => {
    let given = 0;
    let stopped = false;
    async function* endless() {
      try {
        for (;;) {
          given += 1000;
          yield new Uint8Array(1000);
        }
      } finally {
        stopped = true;
      }
    }
    await expect(run(endless)).rejects.toMatchObject({ code: 'SIZE_MISMATCH', index: 3, expected: 4 });
    expect(given).toBeLessThanOrEqual(70_000);
    expect(stopped).toBe(true);
  });

  test('the digest is of the bytes that are delivered', async () => {
    const digest = { algorithm: 'crc32', hex: 'ed82cd11' } as const;
    const abcd = new TextEncoder().encode('abcd');
    const seen: ChunkMismatch[] = [];
    expect(await run(() => new TextEncoder().encode('abcdef'), { digest }, seen)).toEqual(abcd);
    expect(seen).toEqual([{ index: 3, expected: 4, actual: 6, outcome: 'cut' }]);
    await expect(run(() => new TextEncoder().encode('abc'), { digest })).rejects.toMatchObject({
      code: 'SIZE_MISMATCH',
    });
    await expect(run(() => new TextEncoder().encode('abce'), { digest })).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    });
  });

  test('an empty chunk is a chunk', async () => {
    expect(await run(() => new Uint8Array(0), { size: 0 })).toEqual(new Uint8Array(0));
  });
});

test('settledOrAborted settles once, with whichever comes first, and starts nothing after an abort', async () => {
  const controller = new AbortController();
  const reason = new Error('enough');
  expect(await settledOrAborted(controller.signal, async () => 7)).toBe(7);
  const waiting = settledOrAborted(controller.signal, () => new Promise(() => undefined));
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  let started = false;
  const late = settledOrAborted(controller.signal, async () => {
    started = true;
  });
  await expect(late).rejects.toBe(reason);
  expect(started).toBe(false);
});
