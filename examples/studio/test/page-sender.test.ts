import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chunkRange, retryDelayMs, type SendProgress, sendMissing, type UploadPort } from '../page/upload/sender.ts';
import type { UploadStatus } from '../src/protocol.ts';

/** What happens to one PUT: stored; cut before it arrived; stored, but the answer got lost. */
type Fate = 'stored' | 'cut' | 'answer lost';

class Gone extends Error {
  readonly retryable = true;
}
class Refused extends Error {
  readonly retryable = false;
}

class FakeServer implements UploadPort {
  readonly sent: number[] = [];
  readonly stored = new Map<number, string>();
  readonly fates: Fate[];
  readonly status: UploadStatus;
  mostAtOnce = 0;
  #atOnce = 0;

  constructor(file: Blob, chunkSizeBytes: number, fates: readonly Fate[]) {
    const chunkCount = Math.ceil(file.size / chunkSizeBytes);
    const facts = { id: 'u', name: 'f', contentType: 'video/webm', stage: 'uploading' as const };
    const missing = Array.from({ length: chunkCount }, (_, index) => index);
    this.status = { ...facts, sizeBytes: file.size, chunkSizeBytes, chunkCount, missing };
    this.fates = [...fates];
  }

  async describe(): Promise<UploadStatus> {
    return { ...this.status, missing: this.status.missing.filter((index) => !this.stored.has(index)) };
  }

  async send(_id: string, index: number, body: Blob): Promise<void> {
    this.#atOnce += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#atOnce);
    const text = await body.text();
    this.sent.push(index);
    this.#atOnce -= 1;
    const fate = this.fates.shift() ?? 'stored';
    if (fate !== 'cut') this.stored.set(index, text);
    if (fate !== 'stored') throw new Gone(fate);
  }
}

const file = new Blob(['The quick brown fox jumps over the lazy dog, again and again and again.']);
const never: AbortSignal = new AbortController().signal;

async function upload(server: FakeServer, signal: AbortSignal = never, progress: SendProgress[] = []): Promise<void> {
  await sendMissing({
    port: server,
    file,
    status: await server.describe(),
    wait: async (_ms, waitSignal) => waitSignal.throwIfAborted(),
    random: () => 0.5,
    signal,
    onProgress: (one) => progress.push(one),
  });
}

describe('sendMissing', () => {
  test('whatever breaks, every chunk arrives whole, and what arrived is not sent twice', async () => {
    const fates = fc.array(fc.constantFrom<Fate>('stored', 'cut', 'answer lost'), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(fates, fc.integer({ min: 1, max: 80 }), async (drawn, chunkSizeBytes) => {
        const server = new FakeServer(file, chunkSizeBytes, drawn);
        await upload(server);
        const indices = [...server.stored.keys()].sort((a, b) => a - b);
        expect(indices.map((index) => server.stored.get(index)).join('')).toBe(await file.text());
        const lost = drawn.slice(0, server.sent.length).filter((fate) => fate === 'cut').length;
        expect(server.sent.length).toBe(server.status.chunkCount + lost);
        expect(server.mostAtOnce).toBeLessThanOrEqual(4);
      }),
    );
  });

  test('four are on their way at once', async () => {
    const server = new FakeServer(file, 5, []);
    await upload(server);
    expect(server.mostAtOnce).toBe(4);
  });

  test('only what the server does not have is sent', async () => {
    const server = new FakeServer(file, 10, []);
    for (const index of [0, 2, 3]) server.stored.set(index, '');
    await upload(server);
    expect(server.sent).toEqual([1, 4, 5, 6, 7]);
  });

  test('the pauses grow while the server is away, and start again after a chunk that got through', async () => {
    const cuts = Array.from({ length: 8 }, (): Fate => 'cut');
    const server = new FakeServer(file, 80, [...cuts]);
    const progress: SendProgress[] = [];
    await upload(server, never, progress);
    const pauses = progress.flatMap(({ waiting }) => (waiting === undefined ? [] : [waiting.forMs]));
    expect(pauses).toEqual([300, 500, 900, 1700, 3300, 4100, 4100, 4100]);

    const better = new FakeServer(file, 10, ['cut', 'stored', 'stored', 'stored', 'cut']);
    const told: SendProgress[] = [];
    await upload(better, never, told);
    expect(told.flatMap(({ waiting }) => (waiting === undefined ? [] : [waiting.forMs]))).toEqual([300, 300]);
  });

  test('a refusal ends it at once', async () => {
    const server = new FakeServer(file, 10, []);
    let asked = 0;
    const send = async (): Promise<void> => {
      asked += 1;
      throw new Refused('too large');
    };
    const port: UploadPort = { describe: () => server.describe(), send };
    const options = { port, file, status: server.status, wait: async () => {}, random: () => 0, signal: never };
    await expect(sendMissing({ ...options, onProgress: () => {} })).rejects.toThrow('too large');
    expect(asked).toBe(4);
  });

  test('an abort rejects with its own reason and sends nothing more', async () => {
    const server = new FakeServer(file, 10, []);
    const controller = new AbortController();
    const reason = new Error('paused');
    const send = server.send.bind(server);
    server.send = async (id, index, body) => {
      if (server.sent.length > 0) controller.abort(reason);
      await send(id, index, body);
    };
    await expect(upload(server, controller.signal)).rejects.toBe(reason);
    expect(server.sent.length).toBeLessThan(server.status.chunkCount);
  });

  test('progress counts stored chunks and never falls', async () => {
    const server = new FakeServer(file, 5, ['stored', 'cut', 'stored', 'answer lost']);
    const progress: SendProgress[] = [];
    await upload(server, never, progress);
    const counts = progress.map((one) => one.storedChunks);
    expect(counts).toEqual([...counts].sort((a, b) => a - b));
    expect(counts.at(-1)).toBe(server.status.chunkCount);
  });
});

test('chunks lie side by side, the last one ends with the file', () => {
  const status = new FakeServer(file, 10, []).status;
  expect(chunkRange(status, 0)).toEqual({ startByte: 0, endByte: 10 });
  expect(chunkRange(status, status.chunkCount - 1)).toEqual({ startByte: 70, endByte: file.size });
});

test('a retry is never a busy loop, nor ever minutes away', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1000 }), fc.double({ min: 0, max: 1, noNaN: true }), (failures, random) => {
      expect(retryDelayMs(failures, random)).toBeGreaterThanOrEqual(100);
      expect(retryDelayMs(failures, random)).toBeLessThanOrEqual(8100);
    }),
  );
});
