import { settle, VirtualClock } from '@chunks/base/testing';
import {
  BadOriginError,
  ChunkFailedError,
  ChunkManager,
  type ManagerOptions,
  memoryChunkStore,
  Priority,
} from '@chunks/manager';
import { expect, test } from 'vitest';
import { ConductedOrigin, contentOf, EagerOrigin, flush, outcomeOf, readAll } from './support/origin.ts';

const content = contentOf(40);
const setUp = async (options: Partial<ManagerOptions> & Pick<ManagerOptions, 'fetchChunk'>) => {
  const clock = new VirtualClock();
  const manager = new ChunkManager({
    store: memoryChunkStore(),
    chunkSizeBytes: 10,
    clock,
    random: () => 0.5,
    ...options,
  });
  await manager.openFile({ id: 'film', totalBytes: 40 });
  return { clock, manager };
};

test('the last one who leaves stops the fetch, and the next one goes on from the bytes so far', async () => {
  const origin = new ConductedOrigin(content);
  const { manager } = await setUp(origin);
  const reader = manager.read('film').getReader();
  const piece = reader.read();
  await settle();
  await origin.call(0).give(4);
  await piece;
  await reader.cancel();
  expect(origin.call(0).aborted).toBe(true);
  await settle();
  expect(manager.stats()).toMatchObject({ active: 0, bytesFetched: 4, bytesWasted: 0 });
  const whole = readAll(manager.read('film', { startByte: 0, endByte: 10 }));
  await settle();
  expect(origin.call(0).job).toMatchObject({ resumeFromByte: 4, attempt: 1, range: { startByte: 0, endByte: 10 } });
  await origin.call(0).finish();
  expect(await whole).toEqual(content.slice(0, 10));
  expect(manager.stats()).toMatchObject({ bytesFetched: 10, bytesWasted: 0 });
});

test('who has read the last byte leaves, and the chunk is stored all the same', async () => {
  const origin = new ConductedOrigin(content);
  const { clock, manager } = await setUp(origin);
  const whole = readAll(manager.read('film', { startByte: 0, endByte: 10 }));
  await settle();
  await origin.call(0).give();
  expect(await whole).toEqual(content.slice(0, 10));
  expect(origin.call(0).aborted).toBe(false);
  origin.call(0).end.resolve();
  await settle();
  expect([manager.hasChunk('film', 0), clock.pending, manager.stats().active]).toEqual([true, 0, 0]);
});

test('a fetch that is complete, unwanted and comes to no end is stopped after abandonAfterMs', async () => {
  const origin = new ConductedOrigin(content);
  const { clock, manager } = await setUp(origin);
  const whole = readAll(manager.read('film', { startByte: 0, endByte: 10 }));
  await settle();
  await origin.call(0).give();
  await whole;
  await clock.advance(4_999);
  expect([origin.call(0).aborted, manager.stats().active]).toEqual([false, 1]);
  await clock.advance(1);
  expect([origin.call(0).aborted, manager.stats().active]).toEqual([true, 0]);
  const wait = manager.waitForChunk('film', 0);
  await settle();
  await wait;
  // All bytes were here: nothing was asked again.
  expect([origin.calls.length, manager.hasChunk('film', 0)]).toEqual([1, true]);
});

test('who leaves does not stop what another still wants', async () => {
  const origin = new ConductedOrigin(content);
  const { manager } = await setUp(origin);
  const leaving = new AbortController();
  const left = outcomeOf(manager.waitForChunk('film', 0, { signal: leaving.signal }));
  const ticket = manager.requestChunk('film', 0, { priority: Priority.LOW });
  const reader = manager.read('film').getReader();
  const piece = reader.read();
  await settle();
  expect(origin.asked.filter((chunk) => chunk === 0)).toEqual([0]);
  expect(manager.stats().shared).toBe(2);
  const reason = new Error('closed the page');
  leaving.abort(reason);
  await settle();
  expect(left.error).toBe(reason);
  expect(ticket.cancel()).toBe(true);
  expect(origin.call(0).aborted).toBe(false);
  await origin.call(0).finish();
  await piece;
  await settle();
  expect(manager.hasChunk('film', 0)).toBe(true);
  await expect(ticket.done).rejects.toMatchObject({ name: 'AbortError' });
  expect(ticket.cancel()).toBe(false);
});

test('a fetch that ignores its abort gives up its slot at once, and its late bytes are refused', async () => {
  const origin = new ConductedOrigin(content);
  origin.ignoresAbort = true;
  const { clock, manager } = await setUp({ ...origin, concurrency: 1 });
  const ticket = manager.requestChunk('film', 0);
  await settle();
  const deaf = origin.call(0);
  await deaf.give(3);
  ticket.cancel();
  const other = outcomeOf(manager.waitForChunk('film', 1));
  await settle();
  expect(origin.asked).toEqual([0, 1]);
  await origin.call(1).finish();
  await settle();
  expect(other.state).toBe('done');
  const late = outcomeOf(deaf.give(2));
  await settle();
  expect(late.state).toBe('failed');
  expect(manager.stats()).toMatchObject({ bytesFetched: 13, bytesWasted: 2 });
  const again = outcomeOf(manager.waitForChunk('film', 0));
  await clock.advance(4_999);
  expect(origin.asked).toEqual([0, 1]);
  await clock.advance(1);
  expect(origin.asked).toEqual([0, 1, 0]);
  expect(origin.call(0).job.resumeFromByte).toBe(3);
  expect(manager.stats().abandoned).toBe(1);
  await expect(deaf.give(2)).rejects.toThrow();
  deaf.end.resolve();
  await settle();
  expect(again.state).toBe('pending');
  expect(manager.stats()).toMatchObject({ active: 1, retries: 0 });
  await origin.call(0).finish();
  await settle();
  expect(again.state).toBe('done');
  expect(await readAll(manager.read('film', { startByte: 0, endByte: 20 }))).toEqual(content.slice(0, 20));
});

test('a fetch whose abort is heard late serves those who came meanwhile', async () => {
  const origin = new ConductedOrigin(content);
  origin.ignoresAbort = true;
  const { clock, manager } = await setUp(origin);
  manager.requestChunk('film', 0).cancel();
  await settle();
  expect(origin.calls.length).toBe(0);
  const ticket = manager.requestChunk('film', 0);
  await settle();
  ticket.cancel();
  const wait = outcomeOf(manager.waitForChunk('film', 0));
  await settle();
  expect(origin.calls.length).toBe(1);
  origin.call(0).end.reject(new Error('late'));
  await settle();
  expect(origin.calls.length).toBe(2);
  await origin.call(0).finish();
  await settle();
  expect(wait.state).toBe('done');
  expect(clock.pending).toBe(0);
});

test('retries with exponential backoff and full jitter, from where the bytes ended', async () => {
  const origin = new ConductedOrigin(content);
  const { clock, manager } = await setUp({ ...origin, retry: { attempts: 4, baseMs: 100, maxMs: 250 } });
  const retries: unknown[] = [];
  manager.on('retry', ({ attempts, delayMs }) => retries.push([attempts, delayMs]));
  const wait = outcomeOf(manager.waitForChunk('film', 0));
  await settle();
  for (const [given, delayMs] of [
    [2, 50],
    [3, 100],
    [0, 125],
  ] as const) {
    await origin.call(0).give(given);
    origin.call(0).end.reject(new Error('cut'));
    const before = origin.calls.length;
    await clock.advance(delayMs - 1);
    expect(origin.calls.length).toBe(before);
    await clock.advance(1);
    expect(origin.calls.length).toBe(before + 1);
  }
  expect(retries).toEqual([
    [1, 50],
    [2, 100],
    [3, 125],
  ]);
  expect(origin.calls.map(({ job }) => [job.attempt, job.resumeFromByte])).toEqual([
    [1, 0],
    [2, 2],
    [3, 5],
    [4, 5],
  ]);
  await origin.call(0).finish();
  await settle();
  expect(wait.state).toBe('done');
  expect(manager.stats()).toMatchObject({ retries: 3, bytesFetched: 10 });
});

test('the last failure reaches every waiter as an error of its own; other chunks go on', async () => {
  const origin = new ConductedOrigin(content);
  const { clock, manager } = await setUp({ ...origin, concurrency: 4, retry: { attempts: 2, baseMs: 100 } });
  const waits = [0, 1, 2].map(() => outcomeOf(manager.waitForChunk('film', 0)));
  const read = outcomeOf(readAll(manager.read('film')));
  const range = manager.requestRange('film', { startByte: 0, endByte: 40 });
  await settle();
  const cause = new Error('cut');
  origin.call(0).end.reject(cause);
  await clock.advance(50);
  origin.call(0).end.reject(cause);
  await settle();
  const errors = [...waits, read].map(({ error }) => error);
  for (const error of errors) {
    expect(error).toBeInstanceOf(ChunkFailedError);
    expect(error).toMatchObject({ code: 'CHUNK_FAILED', fileId: 'film', chunk: 0, attempts: 2, cause });
  }
  expect(new Set(errors).size).toBe(4);
  await expect(range.done).rejects.toMatchObject({ chunk: 0 });
  for (const chunk of [1, 2, 3]) {
    await origin.call(chunk).finish();
    await settle();
  }
  expect(manager.missing('film')).toEqual([{ firstChunk: 0, endChunk: 1 }]);
  expect(manager.snapshot('film').runs[0]).toEqual({
    chunks: { firstChunk: 0, endChunk: 1 },
    state: 'failed',
    attempts: 2,
  });
  const again = outcomeOf(manager.waitForChunk('film', 0));
  await settle();
  expect(origin.call(0).job.attempt).toBe(1);
  await origin.call(0).finish();
  await settle();
  expect(again.state).toBe('done');
});

test('an error that says it is not retryable is final at once', async () => {
  const origin = new ConductedOrigin(content);
  const { manager } = await setUp(origin);
  const wait = outcomeOf(manager.waitForChunk('film', 0));
  await settle();
  origin
    .call(0)
    .end.reject(new BadOriginError({ fileId: 'film', problem: 'answered 404', status: 404, retryable: false }));
  await settle();
  expect(wait.error).toMatchObject({ attempts: 1, cause: { status: 404 } });
});

test('leaving during the wait for a retry ends it', async () => {
  const origin = new ConductedOrigin(content);
  const { clock, manager } = await setUp(origin);
  const ticket = manager.requestChunk('film', 0);
  await settle();
  origin.call(0).end.reject(new Error('cut'));
  await settle();
  ticket.cancel();
  expect(clock.pending).toBe(0);
  await clock.advance(60_000);
  expect(origin.calls.length).toBe(1);
});

test.each([
  ['answers 503', 'throw'],
  ['cuts its bodies', 'cut'],
])('an origin that %s on every fifth request: 200 reads, all whole', async (_, how) => {
  const long = contentOf(400);
  const origin = new EagerOrigin(long, 'v1');
  origin.fault = (request) => {
    if (request % 5 !== 0) return undefined;
    if (how === 'cut') return 3;
    throw new BadOriginError({ fileId: 'film', problem: 'answered 503', status: 503 });
  };
  const clock = new VirtualClock();
  const manager = new ChunkManager({
    ...origin,
    store: memoryChunkStore(),
    chunkSizeBytes: 10,
    clock,
    random: () => 0.5,
  });
  let whole = 0;
  for (let round = 0; round < 20; round++) {
    const reads = Array.from({ length: 10 }, async () => {
      const file = await manager.openFile({ id: `film-${round}` });
      expect(await readAll(file.read())).toEqual(long);
      whole++;
    });
    const all = outcomeOf(Promise.all(reads));
    for (let i = 0; i < 60 && all.state === 'pending'; i++) await clock.advance(500);
    expect(all.error).toBe(undefined);
  }
  expect(whole).toBe(200);
  // What was cut is not asked for again: every byte of 20 files came once.
  expect(manager.stats()).toMatchObject({ bytesFetched: 20 * 400, bytesWasted: 0 });
  expect(manager.stats().retries).toBeGreaterThan(100);
});

test('everything that happens to a chunk is told, in order', async () => {
  const origin = new ConductedOrigin(content);
  const { clock, manager } = await setUp({ ...origin, retry: { attempts: 2, baseMs: 100 } });
  const told: string[] = [];
  for (const event of ['queued', 'started', 'progress', 'retry', 'chunk', 'failed', 'cancelled', 'idle'] as const) {
    manager.on(event, (data) => told.push('chunk' in data ? `${event} ${data.chunk}` : event));
  }
  manager.requestChunk('film', 0);
  await settle();
  await origin.call(0).give(4);
  origin.call(0).end.reject(new Error('cut'));
  await clock.advance(50);
  await origin.call(0).finish();
  await settle();
  expect(told.splice(0)).toEqual([
    'queued 0',
    'started 0',
    'progress 0',
    'retry 0',
    'queued 0',
    'started 0',
    'progress 0',
    'chunk 0',
    'idle',
  ]);
  const ticket = manager.requestChunk('film', 1);
  await settle();
  ticket.cancel();
  await flush();
  expect(told).toEqual(['queued 1', 'started 1', 'cancelled 1', 'idle']);
});

test('cancelRequests withdraws one owner’s demand, or everybody’s', async () => {
  const origin = new ConductedOrigin(content);
  const { manager } = await setUp(origin);
  const mine = outcomeOf(manager.waitForRange('film', { startByte: 0, endByte: 30 }, { owner: 'me' }));
  const yours = outcomeOf(manager.waitForChunk('film', 1, { owner: 'you' }));
  await settle();
  expect(manager.cancelRequests('film', { owner: 'me' })).toBe(3);
  await settle();
  expect(mine.error).toMatchObject({ name: 'AbortError' });
  expect([0, 1, 2].map((chunk) => origin.call(chunk).aborted)).toEqual([true, false, true]);
  expect(manager.cancelRequests('film', { chunks: { firstChunk: 2, endChunk: 4 } })).toBe(0);
  expect(manager.cancelRequests('film')).toBe(1);
  await settle();
  expect(yours.error).toMatchObject({ name: 'AbortError' });
  expect(manager.stats()).toMatchObject({ active: 0, waiters: 0 });
});

test('the waiters of a failed chunk are told its attempts, also when a listener asks for it again at once', async () => {
  const fetchChunk = async (): Promise<void> => {
    throw new BadOriginError({ fileId: 'film', problem: 'is broken', retryable: false });
  };
  const { manager } = await setUp({ fetchChunk });
  const off = manager.on('failed', () => {
    off();
    manager.requestChunk('film', 0);
  });
  await expect(manager.requestChunk('film', 0).done).rejects.toMatchObject({ code: 'CHUNK_FAILED', attempts: 1 });
});

test('a chunk that a listener asks for and drops while a range is being asked for is still fetched for the range', async () => {
  const origin = new ConductedOrigin(content);
  const { manager } = await setUp({ ...origin, concurrency: 1 });
  const off = manager.on('queued', () => {
    off();
    manager.requestChunk('film', 1).cancel();
  });
  const done = outcomeOf(manager.requestRange('film', { startByte: 0, endByte: 20 }).done);
  for (const chunk of [0, 1]) {
    await settle();
    await origin.call(chunk).finish();
  }
  await flush();
  expect([done.state, origin.asked, manager.stats().active]).toEqual(['done', [0, 1], 0]);
});
