import { settle, VirtualClock } from '@chunks/base/testing';
import {
  ChunkManager,
  type DescribeFile,
  type FetchChunk,
  type ManagerOptions,
  memoryChunkStore,
} from '@chunks/manager';
import { expect, test } from 'vitest';
import { ConductedOrigin, contentOf, EagerOrigin, flush, outcomeOf, readAll } from './support/origin.ts';

const setUp = (fetchChunk: FetchChunk, options: Partial<ManagerOptions> = {}) => {
  const clock = new VirtualClock();
  const manager = new ChunkManager({
    fetchChunk,
    store: memoryChunkStore(),
    chunkSizeBytes: 10,
    retry: { attempts: 2, baseMs: 100 },
    clock,
    random: () => 0.5,
    ...options,
  });
  return { clock, manager };
};
const never: FetchChunk = () => Promise.reject(new Error('must not be asked'));

test('what the caller knows is asked of nobody', async () => {
  const { manager } = setUp(never, { describeFile: () => Promise.reject(new Error('must not be asked')) });
  const file = await manager.openFile({ id: 'film', totalBytes: 7, generation: 'v1', chunkSizeBytes: 3 });
  expect(file).toMatchObject({ id: 'film', totalBytes: 7, generation: 'v1', chunkSizeBytes: 3 });
  expect(await manager.openFile({ id: 'film', generation: 'v1' })).toMatchObject({ totalBytes: 7 });
});

test.each<[string, Awaited<ReturnType<DescribeFile>>, string]>([
  ['a generation', { totalBytes: 7, generation: 'v1' }, 'v1'],
  ['no validator', { totalBytes: 7, generation: null }, 'length=7'],
  ['nothing of it', { totalBytes: 7 }, 'length=7'],
])('describeFile that says %s', async (_, facts, generation) => {
  const { manager } = setUp(never, { describeFile: async () => facts });
  expect(await manager.openFile({ id: 'film' })).toMatchObject({ totalBytes: 7, generation });
});

test('a describeFile that does not say how long the file is, is BAD_ORIGIN', async () => {
  for (const answer of ['unchanged', {}, { generation: 'v1' }] as const) {
    const { manager } = setUp(never, { describeFile: async () => answer });
    await expect(manager.openFile({ id: 'film' })).rejects.toMatchObject({ code: 'BAD_ORIGIN', fileId: 'film' });
  }
});

test('a describeFile that ignores its signal holds nobody', async () => {
  const { manager } = setUp(never, { describeFile: () => new Promise(() => undefined) });
  const leaving = new AbortController();
  const open = outcomeOf(manager.openFile({ id: 'film', signal: leaving.signal }));
  await settle();
  leaving.abort('left');
  await settle();
  expect(open.error).toBe('left');
});

test('the first fetch of an unknown file is retried like any other, and its failure is told', async () => {
  const origin = new EagerOrigin(contentOf(25), 'v1');
  origin.fault = (request) => {
    if (request === 1) throw new Error('503');
    return undefined;
  };
  const { clock, manager } = setUp(origin.fetchChunk);
  const open = outcomeOf(manager.openFile({ id: 'film' }));
  await clock.advance(50);
  expect(open.value).toMatchObject({ totalBytes: 25, generation: 'v1' });
  expect(await readAll(manager.read('film'))).toEqual(contentOf(25));

  const failing = setUp(never);
  const failed = outcomeOf(failing.manager.openFile({ id: 'film' }));
  await failing.clock.advance(50);
  expect(failed.error).toMatchObject({ code: 'CHUNK_FAILED', attempts: 2, cause: new Error('must not be asked') });
  expect(() => failing.manager.hasChunk('film', 0)).toThrow('not open');
});

test('the last who leaves before the length is known stops the fetch; one who stays keeps it', async () => {
  const origin = new ConductedOrigin(contentOf(25));
  const { clock, manager } = setUp(origin.fetchChunk);
  const leaving = [new AbortController(), new AbortController()];
  const opens = leaving.map(({ signal }) => outcomeOf(manager.openFile({ id: 'film', signal })));
  await settle();
  expect(origin.calls.length).toBe(1);
  leaving[0]?.abort('left');
  await settle();
  expect(origin.call(0).aborted).toBe(false);
  leaving[1]?.abort('left');
  await flush();
  expect(origin.call(0).aborted).toBe(true);
  expect(opens.map(({ error }) => error)).toEqual(['left', 'left']);
  expect(manager.stats().active).toBe(0);
  const again = outcomeOf(manager.openFile({ id: 'film' }));
  await flush();
  origin.call(0).context.setFile({ totalBytes: 25, generation: 'v1' });
  await flush();
  expect(again.state).toBe('done');
  await origin.call(0).finish();
  await flush();
  expect(manager.hasChunk('film', 0)).toBe(true);
  expect(clock.pending).toBe(0);
});
