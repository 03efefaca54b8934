import { type ChunkMismatch, type Manifest, type ReadRangeOptions, readRange } from '@chunks/assemble/range';
import { collectBytes } from '@chunks/base';
import { countListeners, seededRandom, settle } from '@chunks/base/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { crc32 } from '../src/portable-digest.ts';

const crcOf = (bytes: Uint8Array) => ({ algorithm: 'crc32', hex: crc32(bytes).toString(16).padStart(8, '0') }) as const;

const bytesOf = (size: number, seed: number): Uint8Array<ArrayBuffer> => {
  const random = seededRandom(seed);
  return Uint8Array.from({ length: size }, () => Math.floor(random() * 256));
};

const join = (parts: readonly Uint8Array[]): number[] => parts.flatMap((part) => [...part]);

/** A manifest that tells the truth about these parts. */
const manifestOf = (parts: readonly Uint8Array[], digests = false): Manifest => ({
  version: 1,
  id: 'm',
  totalBytes: parts.reduce((sum, part) => sum + part.length, 0),
  chunks: parts.map((part, index) => ({ index, size: part.length, ...(digests ? { digest: crcOf(part) } : {}) })),
});

async function* inPieces(bytes: Uint8Array, piece: number): AsyncGenerator<Uint8Array> {
  const reused = new Uint8Array(piece);
  for (let at = 0; at < bytes.length; at += piece) {
    const part = bytes.subarray(at, at + piece);
    reused.set(part);
    yield reused.subarray(0, part.length);
  }
}

const read = async (o: ReadRangeOptions) => {
  const result = await readRange(o);
  return { ...result, bytes: [...(await collectBytes(result.body))] };
};

/** What arrived before the body failed, and how it failed. */
async function drain(body: ReadableStream<Uint8Array>): Promise<{ bytes: number[]; error: unknown }> {
  const bytes: number[] = [];
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return { bytes, error: undefined };
      bytes.push(...value);
    }
  } catch (error) {
    return { bytes, error };
  }
}

const parts10 = [bytesOf(10, 1), bytesOf(10, 2), bytesOf(10, 3), bytesOf(5, 4)];

describe('readRange, against joining the chunks', () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 10 });

  test('gives exactly the bytes of the range, for any manifest, source, read-ahead and order of listing', async () => {
    await fc.assert(
      fc.asyncProperty(
        sizes,
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 0, max: 4 }),
        fc.constantFrom('buffer', 'pieces', 'stream'),
        fc.boolean(),
        fc.boolean(),
        async (lengths, a, b, readAheadChunks, kind, digests, backwards) => {
          const parts = lengths.map((size, i) => bytesOf(size, i));
          const manifest = manifestOf(parts, digests);
          const chunks = backwards ? [...manifest.chunks].reverse() : manifest.chunks;
          const [startByte, endByte] = [a % (manifest.totalBytes + 1), b % (manifest.totalBytes + 1)].sort(
            (x, y) => x - y,
          ) as [number, number];
          const fetched: number[] = [];
          const result = await read({
            manifest: { ...manifest, chunks },
            range: { startByte, endByte },
            readAheadChunks,
            fetchChunk: (index) => {
              fetched.push(index);
              const bytes = parts[index] as Uint8Array;
              return kind === 'buffer'
                ? bytes
                : kind === 'pieces'
                  ? inPieces(bytes, 7)
                  : new Blob([bytes.slice()]).stream();
            },
          });
          expect(result.bytes).toEqual(join(parts).slice(startByte, endByte));
          expect(result.range).toEqual({ startByte, endByte });
          expect(result.totalBytes).toBe(manifest.totalBytes);
          // Only what the range touches, each once, in order, and nothing empty.
          expect(fetched).toEqual([...new Set(fetched)].sort((x, y) => x - y));
          let at = 0;
          const touched = lengths.flatMap((size, i) => {
            const [from, to] = [at, (at += size)];
            return Math.max(from, startByte) < Math.min(to, endByte) ? [i] : [];
          });
          expect(fetched).toEqual(touched);
        },
      ),
      { numRuns: 150 },
    );
  });

  test('with sizeOf, speaks of the layout of actual sizes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            size: fc.integer({ min: 0, max: 40 }),
            off: fc.integer({ min: -3, max: 3 }),
            digest: fc.boolean(),
          }),
          { minLength: 1, maxLength: 8 },
        ),
        fc.nat(),
        fc.nat(),
        async (chunks, a, b) => {
          const parts = chunks.map(({ size, off }, i) => bytesOf(size === 0 ? 0 : Math.max(0, size + off), i));
          const manifest: Manifest = {
            version: 1,
            id: 'm',
            totalBytes: chunks.reduce((sum, { size }) => sum + size, 0),
            chunks: chunks.map(({ size, digest }, index) => ({
              index,
              size,
              ...(digest ? { digest: crcOf(parts[index] as Uint8Array) } : {}),
            })),
          };
          const actual = join(parts);
          const [startByte, endByte] = [a % (actual.length + 1), b % (actual.length + 5)].sort((x, y) => x - y) as [
            number,
            number,
          ];
          if (startByte > actual.length) return;
          const seen: ChunkMismatch[] = [];
          const result = await read({
            manifest,
            range: { startByte, endByte },
            size: { policy: 'tolerance', bytes: 4 },
            sizeOf: async (index) => parts[index]?.length,
            fetchChunk: (index) => parts[index],
            onMismatch: (mismatch) => seen.push(mismatch),
          });
          expect(result.bytes).toEqual(actual.slice(startByte, endByte));
          expect(result.range).toEqual({ startByte, endByte: Math.min(endByte, actual.length) });
          expect(result.totalBytes).toBe(actual.length);
          const wrong = chunks.flatMap(({ size }, index) => (parts[index]?.length === size ? [] : [index]));
          expect(seen.map(({ index, outcome }) => [index, outcome])).toEqual(wrong.map((index) => [index, 'adjusted']));
        },
      ),
      { numRuns: 150 },
    );
  });

  test('a wrong chunk anywhere: what goes out is a true beginning, and then an error', async () => {
    const fault = fc.constantFrom('short', 'long', 'missing', 'flipped', 'throws', 'broken stream', 'endless');
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 3 }),
        fault,
        fc.integer({ min: 0, max: 3 }),
        async (wrong, kind, readAheadChunks) => {
          const spoilt = (bytes: Uint8Array) => {
            if (kind === 'short') return bytes.subarray(1);
            if (kind === 'long') return Uint8Array.of(...bytes, 1);
            if (kind === 'missing') return undefined;
            if (kind === 'flipped') return bytes.map((byte, i) => (i === 2 ? byte ^ 1 : byte));
            if (kind === 'throws') throw new Error('store down');
            if (kind === 'endless') return endless();
            return broken();
          };
          async function* broken() {
            yield new Uint8Array(3);
            throw new Error('store down');
          }
          async function* endless() {
            for (;;) yield new Uint8Array(10_000);
          }
          const o: ReadRangeOptions = {
            manifest: manifestOf(parts10, kind === 'flipped'),
            readAheadChunks,
            fetchChunk: (index) => (index === wrong ? spoilt(parts10[index] as Uint8Array) : parts10[index]),
          };
          const codes = ['SIZE_MISMATCH', 'DIGEST_MISMATCH', 'CHUNK_UNAVAILABLE'];
          if (wrong === 0) {
            const error = await readRange(o).catch((reason) => reason);
            expect(codes).toContain(error.code);
            return;
          }
          const { bytes, error } = await drain((await readRange(o)).body);
          expect(codes).toContain((error as { code: string }).code);
          expect((error as { index: number }).index).toBe(wrong);
          expect(bytes).toEqual(join(parts10).slice(0, wrong * 10));
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('readRange, a wrong chunk', () => {
  const manifest = manifestOf(parts10, true);

  test('before the first byte it is fetched once more, past caches', async () => {
    const calls: [number, boolean][] = [];
    const seen: ChunkMismatch[] = [];
    const result = await read({
      manifest,
      fetchChunk: (index, { fresh }) => {
        calls.push([index, fresh]);
        return index === 0 && !fresh ? new Uint8Array(10) : parts10[index];
      },
      onMismatch: (mismatch) => seen.push(mismatch),
    });
    expect(result.bytes).toEqual(join(parts10));
    expect(calls.filter(([index]) => index === 0)).toEqual([
      [0, false],
      [0, true],
    ]);
    expect(calls).toHaveLength(5);
    expect(seen).toEqual([{ index: 0, expected: 10, actual: 10, outcome: 'refetched' }]);
  });

  test('also when the first chunk is not there at first', async () => {
    const result = await read({
      manifest,
      fetchChunk: (index, { fresh }) => (index === 0 && !fresh ? undefined : parts10[index]),
    });
    expect(result.bytes).toEqual(join(parts10));
  });

  test('twice wrong is a rejection that says what was expected', async () => {
    const seen: ChunkMismatch[] = [];
    const o = { manifest, onMismatch: (mismatch: ChunkMismatch) => seen.push(mismatch) };
    await expect(readRange({ ...o, fetchChunk: () => new Uint8Array(9) })).rejects.toMatchObject({
      code: 'SIZE_MISMATCH',
      index: 0,
      expected: 10,
      actual: 9,
      difference: -1,
    });
    expect(seen.filter(({ index }) => index === 0).map(({ outcome }) => outcome)).toEqual(['refetched', 'failed']);
  });

  test('after bytes were sent it is not fetched again: the body fails', async () => {
    const calls: number[] = [];
    const { body } = await readRange({
      manifest,
      fetchChunk: (index) => {
        calls.push(index);
        return index === 2 ? new Uint8Array(10) : parts10[index];
      },
    });
    const { bytes, error } = await drain(body);
    expect(bytes).toEqual(join(parts10.slice(0, 2)));
    expect(error).toMatchObject({ code: 'DIGEST_MISMATCH', index: 2 });
    expect(calls.filter((index) => index === 2)).toHaveLength(1);
  });

  test('verify: false lets a wrong digest pass, not a wrong size', async () => {
    const zeros = {
      manifest,
      verify: false,
      fetchChunk: (index: number) => new Uint8Array(parts10[index]?.length ?? 0),
    };
    expect((await read(zeros)).bytes).toEqual(new Array(35).fill(0));
    await expect(readRange({ ...zeros, fetchChunk: () => new Uint8Array(9) })).rejects.toMatchObject({
      code: 'SIZE_MISMATCH',
    });
  });

  test('sha256 and sha1 are checked, too', async () => {
    for (const [algorithm, name] of [
      ['sha256', 'SHA-256'],
      ['sha1', 'SHA-1'],
    ] as const) {
      const hash = new Uint8Array(await crypto.subtle.digest(name, parts10[0] as Uint8Array<ArrayBuffer>));
      const hex = Array.from(hash, (byte) => byte.toString(16).padStart(2, '0'))
        .join('')
        .toUpperCase();
      const one: Manifest = {
        version: 1,
        id: 'm',
        totalBytes: 10,
        chunks: [{ index: 0, size: 10, digest: { algorithm, hex } }],
      };
      expect((await read({ manifest: one, fetchChunk: () => parts10[0] })).bytes).toEqual([...(parts10[0] ?? [])]);
      await expect(readRange({ manifest: one, fetchChunk: () => parts10[1] })).rejects.toMatchObject({
        code: 'DIGEST_MISMATCH',
        algorithm,
      });
    }
  });
});

describe('readRange, sizes under tolerance', () => {
  const policy = { policy: 'tolerance', bytes: 3 } as const;
  const manifest = manifestOf(parts10);
  const longer = (bytes: Uint8Array | undefined, by: number) =>
    Uint8Array.of(...(bytes ?? []), ...new Array(by).fill(9));

  test('without sizeOf a long chunk is cut to its size, and reported', async () => {
    const seen: ChunkMismatch[] = [];
    const result = await read({
      manifest,
      size: policy,
      fetchChunk: (index) => (index === 1 ? longer(parts10[1], 2) : parts10[index]),
      onMismatch: (m) => seen.push(m),
    });
    expect(result.bytes).toEqual(join(parts10));
    expect(seen).toEqual([{ index: 1, expected: 10, actual: 12, outcome: 'cut' }]);
  });

  test('without sizeOf a short chunk is an error, however little is missing', async () => {
    const { body } = await readRange({
      manifest,
      size: policy,
      fetchChunk: (index) => (index === 1 ? parts10[1]?.subarray(1) : parts10[index]),
    });
    expect((await drain(body)).error).toMatchObject({ code: 'SIZE_MISMATCH', index: 1 });
  });

  test('beyond tolerance a long chunk is an error', async () => {
    const { body } = await readRange({
      manifest,
      size: policy,
      fetchChunk: (index) => (index === 1 ? longer(parts10[1], 3) : parts10[index]),
    });
    expect((await drain(body)).error).toMatchObject({ code: 'SIZE_MISMATCH', index: 1, difference: 3 });
  });

  test('the digest decides: a tolerable size with the wrong digest fails, a right beginning passes under exact', async () => {
    const withDigests = manifestOf(parts10, true);
    const wrong = { manifest: withDigests, size: policy, fetchChunk: () => longer(parts10[1], 1) };
    await expect(readRange(wrong)).rejects.toMatchObject({ code: 'SIZE_MISMATCH', index: 0 });
    const right = await read({ manifest: withDigests, fetchChunk: (index) => longer(parts10[index], 5) });
    expect(right.bytes).toEqual(join(parts10));
  });

  test('with sizeOf: beyond tolerance is refused before anything is fetched, unless a digest will decide', async () => {
    const actual = [parts10[0]?.subarray(5) as Uint8Array, ...parts10.slice(1)];
    let fetched = 0;
    const o = {
      size: policy,
      sizeOf: async (index: number) => actual[index]?.length,
      fetchChunk: (index: number) => {
        fetched++;
        return actual[index];
      },
    };
    await expect(readRange({ ...o, manifest })).rejects.toMatchObject({
      code: 'SIZE_MISMATCH',
      index: 0,
      expected: 10,
      actual: 5,
    });
    expect(fetched).toBe(0);
    // What the digest was made of is the shorter chunk: then the manifest's size is what is wrong.
    const chunks = manifest.chunks.map((chunk) =>
      chunk.index === 0 ? { ...chunk, digest: crcOf(actual[0] as Uint8Array) } : chunk,
    );
    const result = await read({ ...o, manifest: { ...manifest, chunks } });
    expect(result.bytes).toEqual(join(actual));
    // A chunk that is not going to be read cannot be vouched for by its digest: it would shift all that is.
    await expect(
      readRange({ ...o, manifest: { ...manifest, chunks }, range: { startByte: 20, endByte: 21 } }),
    ).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
  });

  test('with sizeOf: a chunk that is then another size is wrong, and one without a size is not there', async () => {
    const o = { manifest, size: policy, fetchChunk: (index: number) => parts10[index] };
    const { body } = await readRange({ ...o, sizeOf: async (index) => (index === 3 ? 6 : 10) });
    expect((await drain(body)).error).toMatchObject({ code: 'SIZE_MISMATCH', index: 3 });
    await expect(readRange({ ...o, sizeOf: async () => undefined })).rejects.toMatchObject({
      code: 'CHUNK_UNAVAILABLE',
      index: 0,
    });
  });

  test('exact does not ask for sizes', async () => {
    let asked = 0;
    await read({ manifest, sizeOf: async () => ++asked, fetchChunk: (index) => parts10[index] });
    expect(asked).toBe(0);
  });
});

describe('readRange, flow', () => {
  const many = Array.from({ length: 20 }, (_, i) => bytesOf(10, i));
  const manifest = manifestOf(many);

  test.each([0, 1, 3])('holds no more than %i chunks beyond the one wanted next', async (readAheadChunks) => {
    let fetched = 0;
    const { body } = await readRange({
      manifest,
      readAheadChunks,
      fetchChunk: (index) => {
        fetched++;
        return many[index];
      },
    });
    const reader = body.getReader();
    await settle();
    expect(fetched).toBe(1 + readAheadChunks);
    for (let taken = 1; taken <= 5; taken++) {
      await reader.read();
      await settle();
      // One more is started when one is asked for; a reader that stands still starts none.
      expect(fetched).toBe(Math.max(1, taken) + readAheadChunks);
    }
    await reader.cancel();
  });

  test('cancelling the body aborts the fetches under way, and starts no more', async () => {
    const signals: AbortSignal[] = [];
    const reason = new Error('left');
    const { body } = await readRange({
      manifest,
      readAheadChunks: 2,
      fetchChunk: (index, { signal }) => {
        signals.push(signal);
        return index === 0 ? many[0] : new Promise<Uint8Array>(() => undefined);
      },
    });
    const reader = body.getReader();
    await reader.read();
    await reader.cancel(reason);
    await settle();
    expect(signals).toHaveLength(3);
    for (const signal of signals) expect(signal.reason).toBe(reason);
  });

  test('an abort fails promise or body at once with its own reason, whatever the fetch does', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    const o: ReadRangeOptions = {
      manifest,
      signal: controller.signal,
      fetchChunk: (index) => (index === 0 ? many[0] : new Promise<Uint8Array>(() => undefined)),
    };
    const { body } = await readRange(o);
    const end = drain(body);
    await settle();
    controller.abort(reason);
    expect(await end).toEqual({ bytes: [...(many[0] ?? [])], error: reason });
    await expect(readRange(o)).rejects.toBe(reason);
    const waiting = new AbortController();
    const never = readRange({ ...o, signal: waiting.signal, fetchChunk: () => new Promise(() => undefined) });
    waiting.abort(reason);
    await expect(never).rejects.toBe(reason);
  });

  test('leaves no listener on a long-lived signal, read to the end, cancelled or failed', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const listeners = countListeners(signal);
    const o: ReadRangeOptions = { manifest, signal, fetchChunk: (index) => many[index] };
    await read(o);
    await (await readRange(o)).body.cancel();
    await readRange({ ...o, fetchChunk: () => undefined }).catch(() => undefined);
    await drain((await readRange({ ...o, fetchChunk: (index) => (index === 1 ? undefined : many[index]) })).body);
    // A reader that stops with the last byte it asked for, and does not ask for the end.
    const reader = (await readRange({ ...o, range: { startByte: 0, endByte: 5 } })).body.getReader();
    await reader.read();
    expect(listeners()).toBe(0);
  });

  test('gives every reader bytes of its own', async () => {
    const cached = bytesOf(10, 1);
    const one = manifestOf([cached]);
    const { body } = await readRange({ manifest: one, fetchChunk: () => cached });
    const { value } = await body.getReader().read();
    value?.fill(0);
    expect(value?.buffer.byteLength).toBe(10);
    expect(cached).toEqual(bytesOf(10, 1));
  });

  test('a failure of onMismatch is not swallowed', async () => {
    const failure = new Error('metrics down');
    const onMismatch = () => {
      throw failure;
    };
    await expect(readRange({ manifest, fetchChunk: () => new Uint8Array(1), onMismatch })).rejects.toBe(failure);
  });
});

describe('readRange refuses', () => {
  const fetchChunk = (index: number) => parts10[index];
  const manifest = manifestOf(parts10);
  const md5 = { algorithm: 'md5', hex: 'a'.repeat(32) } as const;

  test.each<[string, Partial<ReadRangeOptions>, RegExp]>([
    ['a range that starts behind the end', { range: { startByte: 36, endByte: 37 } }, /range.startByte/],
    ['a reversed range', { range: { startByte: 5, endByte: 4 } }, /range/],
    ['a negative range', { range: { startByte: -1, endByte: 4 } }, /range.startByte/],
    ['huge numbers', { range: { startByte: 0, endByte: 2 ** 60 } }, /range.endByte/],
    [
      'md5',
      { manifest: { ...manifest, chunks: manifest.chunks.map((chunk) => ({ ...chunk, digest: md5 })) } },
      /chunks\[0\].digest.algorithm/,
    ],
    ['no fetchChunk', { fetchChunk: undefined as unknown as () => undefined }, /fetchChunk/],
    ['a strange policy', { size: { policy: 'lax' } as unknown as { policy: 'exact' } }, /size.policy/],
    ['a negative read-ahead', { readAheadChunks: -1 }, /readAheadChunks/],
    ['no manifest', { manifest: undefined as unknown as Manifest }, /manifest/],
    ['a manifest of another version', { manifest: { ...manifest, version: 2 as 1 } }, /manifest.version/],
    [
      'unknown sizes',
      { manifest: { ...manifest, chunks: manifest.chunks.map(({ index }) => ({ index })) } },
      /chunkSizeBytes/,
    ],
  ])('%s', async (_, o, message) => {
    await expect(readRange({ manifest, fetchChunk, ...o })).rejects.toThrow(message);
  });

  test('md5 is let be where nothing is verified', async () => {
    const chunks = manifest.chunks.map((chunk) => ({ ...chunk, digest: md5 }));
    expect((await read({ manifest: { ...manifest, chunks }, fetchChunk, verify: false })).bytes).toHaveLength(35);
  });
});
