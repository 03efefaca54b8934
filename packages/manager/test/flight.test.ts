import { deferred } from '@chunks/base';
import { settle, VirtualClock } from '@chunks/base/testing';
import {
  BadOriginError,
  ChunkManager,
  type FetchChunk,
  type FetchContext,
  type ManagerOptions,
  memoryChunkStore,
  memoryRepository,
} from '@chunks/manager';
import { expect, test } from 'vitest';
import type { Core } from '../src/core.ts';
import { Flight, type FlightPort } from '../src/flight.ts';
import type { Slot } from '../src/slot.ts';
import { contentOf, outcomeOf, readAll } from './support/origin.ts';

const setUp = (fetchChunk: FetchChunk, options: Partial<ManagerOptions> = {}) =>
  new ChunkManager({
    fetchChunk,
    store: memoryChunkStore(),
    chunkSizeBytes: 10,
    retry: { attempts: 1 },
    clock: new VirtualClock(),
    ...options,
  });
const bytes = (count: number): Uint8Array => contentOf(count);

const badFetches: [string, FetchChunk, RegExp][] = [
  ['ends early', async (_, { write }) => write(bytes(9)), /ended after 9 of 10/],
  ['gives nothing', async () => undefined, /ended after 0 of 10/],
  ['gives too much', async (_, { write }) => write(bytes(11)), /longer than the 10 bytes/],
  [
    'gives too much and hides the error',
    async (_, { write }) => {
      await write(bytes(10));
      await write(bytes(1)).catch(() => undefined);
    },
    /longer than the 10 bytes/,
  ],
];

test.each(badFetches)('a fetch that %s is BAD_ORIGIN, and the chunk is not marked', async (_, fetchChunk, message) => {
  const manager = setUp(fetchChunk);
  await manager.openFile({ id: 'film', totalBytes: 30, generation: 'v1' });
  const error = await manager.waitForChunk('film', 0).catch((caught) => caught);
  expect(error).toMatchObject({ code: 'CHUNK_FAILED', attempts: 1 });
  expect(error.cause).toBeInstanceOf(BadOriginError);
  expect(error.cause.message).toMatch(message);
  expect(manager.hasChunk('film', 0)).toBe(false);
});

test('of an answer that is too long nothing is kept, of one that is too short all', async () => {
  const resumes: number[] = [];
  const counts = [11, 6, 4];
  const clock = new VirtualClock();
  const fetchChunk: FetchChunk = async (job, { write }) => {
    resumes.push(job.resumeFromByte);
    await write(contentOf(30).slice(job.resumeFromByte, job.resumeFromByte + (counts.shift() as number)));
  };
  const manager = setUp(fetchChunk, { retry: { attempts: 3, baseMs: 1 }, clock });
  await manager.openFile({ id: 'film', totalBytes: 30, generation: 'v1' });
  const wait = outcomeOf(manager.waitForChunk('film', 1));
  await clock.advance(10);
  expect(wait.state).toBe('done');
  expect(resumes).toEqual([10, 10, 16]);
  expect(await readAll(manager.read('film', { startByte: 10, endByte: 20 }))).toEqual(contentOf(30).slice(10, 20));
  expect(manager.stats()).toMatchObject({ bytesWasted: 11, bytesFetched: 10 });
});

test('writes that are not waited for are stored in order and complete', async () => {
  const manager = setUp(async (job, { write }) => {
    for (let at = job.range.startByte; at < job.range.endByte; at++) void write(contentOf(30).slice(at, at + 1));
  });
  await manager.openFile({ id: 'film', totalBytes: 30, generation: 'v1' });
  expect(await readAll(manager.read('film'))).toEqual(contentOf(30));
});

test('after it has settled, a fetch can neither write nor tell facts', async () => {
  let context: FetchContext | undefined;
  const manager = setUp(async (_, own) => {
    context = own;
    await own.write(bytes(10));
  });
  await manager.openFile({ id: 'film', totalBytes: 30, generation: 'v1' });
  await manager.waitForChunk('film', 0);
  await expect(context?.write(bytes(1))).rejects.toMatchObject({ code: 'BAD_ORIGIN' });
  expect(() => context?.setFile({ generation: 'v2', totalBytes: 5 })).toThrow(BadOriginError);
  expect(manager.hasChunk('film', 0)).toBe(true);
  expect(manager.stats().bytesWasted).toBe(1);
});

test('bytes before the length is known are refused', async () => {
  const manager = setUp(async (_, { write }) => write(bytes(1)));
  await expect(manager.openFile({ id: 'film' })).rejects.toMatchObject({ cause: { code: 'BAD_ORIGIN' } });
});

test('the length is known from setFile on; the rest of the first chunk is no second request', async () => {
  const going = deferred<void>();
  let requests = 0;
  const manager = setUp(async (job, { setFile, write }) => {
    requests++;
    expect(job).toMatchObject({
      generation: undefined,
      chunk: 0,
      range: { startByte: 0, endByte: 10 },
      resumeFromByte: 0,
    });
    setFile({ totalBytes: 4, generation: 'v1' });
    await write(contentOf(4).slice(0, 2));
    await going.promise;
    await write(contentOf(4).slice(2));
  });
  const file = await manager.openFile({ id: 'film' });
  expect(file).toMatchObject({ totalBytes: 4, generation: 'v1', chunkSizeBytes: 10 });
  const whole = readAll(file.read());
  await settle();
  going.resolve();
  expect(await whole).toEqual(contentOf(4));
  expect(requests).toBe(1);
});

test('marked only after commit, and committed only when complete', async () => {
  const log: string[] = [];
  const inner = memoryChunkStore();
  const committing = deferred<void>();
  const store = {
    ...inner,
    commit: async () => {
      log.push('commit');
      await committing.promise;
    },
  };
  const rows = memoryRepository();
  const repository = {
    ...rows,
    markChunks: async (...args: Parameters<typeof rows.markChunks>) => {
      log.push('mark');
      await rows.markChunks(...args);
    },
  };
  const manager = setUp(async (_, { write }) => write(bytes(10)), { store, repository });
  await manager.openFile({ id: 'film', totalBytes: 10, generation: 'v1' });
  const wait = outcomeOf(manager.waitForChunk('film', 0));
  await settle();
  expect([log, wait.state, manager.hasChunk('film', 0)]).toEqual([['commit'], 'pending', false]);
  committing.resolve();
  await settle();
  expect([log, wait.state, manager.hasChunk('film', 0)]).toEqual([['commit', 'mark'], 'done', true]);
});

test('a commit that fails is tried again without the origin', async () => {
  const inner = memoryChunkStore();
  let commits = 0;
  let requests = 0;
  const store = {
    ...inner,
    commit: async () => {
      if (++commits < 3) throw new Error('no space');
    },
  };
  const clock = new VirtualClock();
  const fetchChunk: FetchChunk = async (_, { write }) => {
    requests++;
    await write(bytes(10));
  };
  const manager = setUp(fetchChunk, { store, clock, retry: { attempts: 3, baseMs: 1 } });
  await manager.openFile({ id: 'film', totalBytes: 10, generation: 'v1' });
  const wait = outcomeOf(manager.waitForChunk('film', 0));
  await clock.advance(10);
  expect([wait.state, commits, requests]).toEqual(['done', 3, 1]);
});

test('a store that fails is the cause that the waiter sees', async () => {
  const store = { ...memoryChunkStore(), write: () => Promise.reject(new Error('no space')) };
  const manager = setUp(async (_, { write }) => write(bytes(10)), { store });
  await manager.openFile({ id: 'film', totalBytes: 10, generation: 'v1' });
  await expect(manager.waitForChunk('film', 0)).rejects.toMatchObject({ cause: new Error('no space') });
});

test('a fetch that throws at once, or gives no bytes but text, is a failure like any other', async () => {
  for (const fetchChunk of [
    () => {
      throw new Error('at once');
    },
    async (_: unknown, { write }: FetchContext) => write('text' as unknown as Uint8Array),
  ]) {
    const manager = setUp(fetchChunk as FetchChunk);
    await manager.openFile({ id: 'film', totalBytes: 10, generation: 'v1' });
    await expect(manager.waitForChunk('film', 0)).rejects.toMatchObject({ code: 'CHUNK_FAILED' });
  }
});

/** One flight of ten bytes, four of which are here, without a manager around it. */
function lone(fetchChunk: FetchChunk, reserve: (slot: { received: number }) => void) {
  const wrote: [offset: number, count: number][] = [];
  const store = {
    write: async (_id: string, _generation: string, _chunk: number, offset: number, part: Uint8Array) =>
      void wrote.push([offset, part.byteLength]),
    commit: async () => undefined,
  };
  const settings = { fetchChunk, store, repository: { markChunks: async () => undefined } };
  const file = {
    ...{ id: 'film', generation: 'v1', certainty: 'certain', ended: undefined, ready: undefined },
    ...{ track: <T>(work: T): T => work, coverage: { mark: () => true } },
  };
  const slot = {
    file,
    chunk: 0,
    range: { startByte: 0, endByte: 10 },
    size: 10,
    received: 4,
    attempts: 0,
    priority: 0,
  };
  const port = { learn: () => undefined, reserve: async () => reserve(slot), arrived: () => undefined };
  const core = { settings, counters: { bytesWasted: 0, bytesFetched: 0 } } as unknown as Core;
  return { flight: new Flight(core, port as FlightPort, slot as unknown as Slot), slot, wrote };
}

test('bytes go where the fetch was told to begin, also when what was here has gone since the flight was made', async () => {
  const { flight, wrote } = lone(
    async (job, { write }) => write(bytes(job.range.endByte - job.resumeFromByte)),
    (slot) => {
      slot.received = 0;
    },
  );
  await flight.run();
  expect(wrote).toEqual([[0, 10]]);
});

test('bytes that do not continue what is here count for nothing', async () => {
  const made = lone(
    async (_, { write }) => {
      await write(bytes(3));
      made.slot.received = 0;
      await write(bytes(3));
    },
    () => undefined,
  );
  await expect(made.flight.run()).rejects.toMatchObject({ code: 'BAD_ORIGIN' });
  expect(made.slot.received).toBe(0);
});
