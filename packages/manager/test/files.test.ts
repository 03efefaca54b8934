import { deferred } from '@chunks/base';
import { settle, VirtualClock } from '@chunks/base/testing';
import {
  ChunkManager,
  Coverage,
  GenerationChangedError,
  type ManagerOptions,
  memoryChunkStore,
  memoryRepository,
  UnknownFileError,
} from '@chunks/manager';
import { expect, test } from 'vitest';
import { ConductedOrigin, contentOf, EagerOrigin, flush, outcomeOf, readAll } from './support/origin.ts';

const setUp = (options: Partial<ManagerOptions> & Pick<ManagerOptions, 'fetchChunk'>) => {
  const clock = new VirtualClock();
  const store = memoryChunkStore();
  const repository = memoryRepository();
  const again = () => new ChunkManager({ store, repository, chunkSizeBytes: 10, clock, random: () => 0.5, ...options });
  return { again, clock, manager: again(), repository, store };
};

test('a change errors every reader, wait and ticket of the old generation, and the next gets the new one whole', async () => {
  const origin = new EagerOrigin(contentOf(40, 1), 'v1');
  const { manager, store } = setUp(origin);
  const told: unknown[] = [];
  manager.on('generation', ({ from, to }) => told.push([from, to]));
  const old = await manager.openFile({ id: 'film' });
  await manager.waitForRange('film', { startByte: 0, endByte: 20 });
  const reader = old.read().getReader();
  expect((await reader.read()).value).toEqual(contentOf(40, 1).slice(0, 10));
  origin.replace(contentOf(55, 2), 'v2');
  const ticket = manager.requestChunk('film', 3);
  const wait = outcomeOf(manager.waitForChunk('film', 2));
  await flush();
  // Chunk 1 of the old generation is gone with the others: no answer mixes two.
  for (const outcome of [reader.read(), ticket.done, readAll(old.read())]) {
    await expect(outcome).rejects.toMatchObject({ code: 'GENERATION_CHANGED', from: 'v1', to: 'v2' });
  }
  expect(wait.error).toBeInstanceOf(GenerationChangedError);
  expect(await readAll(manager.read('film'))).toEqual(contentOf(55, 2));
  const now = await manager.openFile({ id: 'film' });
  expect(now).toMatchObject({ generation: 'v2', totalBytes: 55 });
  expect(told).toEqual([
    [undefined, 'v1'],
    ['v1', 'v2'],
  ]);
  expect(await store.usage()).toBe(55);
});

test('over 30 changes under readers no body mixes two versions', async () => {
  const bodies = new Map(Array.from({ length: 31 }, (_, i) => [`v${i}`, contentOf(60 + i, i)]));
  const origin = new EagerOrigin(bodies.get('v0') as Uint8Array, 'v0');
  const { clock, manager } = setUp({
    ...origin,
    describeFile: async () => ({ totalBytes: origin.content.byteLength, generation: origin.generation }),
  });
  let whole = 0;
  let changed = 0;
  for (let version = 0; version < 30; version++) {
    clock.jump(1);
    const reads = Array.from({ length: 6 }, async (_, i) => {
      const file = await manager.openFile({ id: 'film', maxAgeMs: 0 });
      for (let wait = 0; wait < i * 3; wait++) await Promise.resolve();
      try {
        expect(await readAll(file.read())).toEqual(bodies.get(file.generation));
        whole++;
      } catch (error) {
        expect(error).toBeInstanceOf(GenerationChangedError);
        changed++;
      }
    });
    for (let wait = 0; wait < version * 40; wait++) await Promise.resolve();
    origin.replace(bodies.get(`v${version + 1}`) as Uint8Array, `v${version + 1}`);
    await Promise.all(reads);
  }
  expect(whole + changed).toBe(180);
  expect(whole).toBeGreaterThan(0);
  expect(changed).toBeGreaterThan(0);
});

test('a version that comes back is fetched anew: what was of it is gone', async () => {
  const origin = new EagerOrigin(contentOf(40, 1), 'v1');
  const { manager, repository } = setUp(origin);
  await manager.openFile({ id: 'film' });
  expect(await readAll(manager.read('film'))).toEqual(contentOf(40, 1));
  origin.replace(contentOf(40, 3), 'v2');
  await manager.openFile({ id: 'film', generation: 'v2' });
  expect(await readAll(manager.read('film'))).toEqual(contentOf(40, 3));
  await manager.openFile({ id: 'film', generation: 'v1', totalBytes: 40 });
  expect(manager.availableChunks('film')).toEqual([]);
  origin.replace(contentOf(40, 1), 'v1');
  expect(await readAll(manager.read('film'))).toEqual(contentOf(40, 1));
  await settle();
  expect(Coverage.from((await repository.loadFile('film'))?.coverage as Uint8Array, 4).complete).toBe(true);
});

test('what is stored is there after a restart, and needs no origin', async () => {
  const origin = new EagerOrigin(contentOf(40), 'v1');
  const { again, manager } = setUp(origin);
  await manager.openFile({ id: 'film' });
  await manager.waitForRange('film', { startByte: 5, endByte: 25 });
  await manager.close();
  const restarted = again();
  await expect(async () => restarted.hasChunk('film', 0)).rejects.toThrow(UnknownFileError);
  const file = await restarted.openFile({ id: 'film', chunkSizeBytes: 7 });
  expect(file).toMatchObject({ generation: 'v1', totalBytes: 40, chunkSizeBytes: 10 });
  const asked = origin.jobs.length;
  expect(await readAll(file.read({ startByte: 0, endByte: 30 }))).toEqual(contentOf(40).slice(0, 30));
  expect(origin.jobs.length).toBe(asked);
  expect(restarted.missing('film')).toEqual([{ firstChunk: 3, endChunk: 4 }]);
});

test('a restart looks at the origin first where it can, and once', async () => {
  const origin = new EagerOrigin(contentOf(40, 1), 'v1');
  const asked: (string | undefined)[] = [];
  const { again, manager } = setUp({
    ...origin,
    describeFile: async ({ generation }) => {
      asked.push(generation);
      return generation === origin.generation
        ? 'unchanged'
        : { totalBytes: origin.content.byteLength, generation: origin.generation };
    },
  });
  await readAll((await manager.openFile({ id: 'film' })).read());
  origin.replace(contentOf(50, 2), 'v2');
  const files = await Promise.all([1, 2, 3].map(() => again().openFile({ id: 'film' })));
  expect(files.map(({ generation }) => generation)).toEqual(['v2', 'v2', 'v2']);
  expect(asked.slice(0, 2)).toEqual([undefined, 'v1']);
  const last = again();
  await Promise.all([last.openFile({ id: 'film' }), last.openFile({ id: 'film' })]);
  await last.openFile({ id: 'film' });
  expect(asked.slice(4)).toEqual(['v2']);
});

test('who opens an unknown file at once shares one look at it; the last who leaves ends it', async () => {
  const looks: { signal: AbortSignal; answer: ReturnType<typeof deferred<{ totalBytes: number }>> }[] = [];
  const { manager } = setUp({
    fetchChunk: async () => undefined,
    describeFile: (_, { signal }) => {
      const answer = deferred<{ totalBytes: number }>();
      looks.push({ signal, answer });
      return answer.promise;
    },
  });
  const leaving = [new AbortController(), new AbortController()];
  const opens = leaving.map(({ signal }) => outcomeOf(manager.openFile({ id: 'film', signal })));
  await settle();
  leaving[0]?.abort('left');
  await settle();
  expect(opens.map(({ state }) => state)).toEqual(['failed', 'pending']);
  expect(looks[0]?.signal.aborted).toBe(false);
  leaving[1]?.abort('left too');
  await settle();
  expect(opens[1]?.error).toBe('left too');
  expect(looks[0]?.signal.aborted).toBe(true);
  const later = outcomeOf(manager.openFile({ id: 'film' }));
  await settle();
  expect(looks.length).toBe(2);
  looks[1]?.answer.resolve({ totalBytes: 7 });
  await settle();
  expect(later.value).toMatchObject({ totalBytes: 7, generation: 'length=7' });
});

test('a length that the caller knows needs no origin; the first fetch names the generation', async () => {
  const origin = new EagerOrigin(contentOf(40), 'v1');
  const { manager, repository } = setUp(origin);
  const file = await manager.openFile({ id: 'film', totalBytes: 40 });
  expect([file.generation, origin.jobs.length]).toEqual(['length=40', 0]);
  expect(await readAll(file.read())).toEqual(contentOf(40));
  expect(file.generation).toBe('v1');
  expect((await repository.loadFile('film'))?.generation).toBe('v1');
});

test('a length other than the origin’s is a change', async () => {
  const origin = new EagerOrigin(contentOf(40), 'v1');
  const { manager } = setUp(origin);
  const file = await manager.openFile({ id: 'film', totalBytes: 41 });
  await expect(readAll(file.read())).rejects.toBeInstanceOf(GenerationChangedError);
  expect(await readAll(manager.read('film'))).toEqual(contentOf(40));
});

test('a removed file is gone from memory, store and repository, and so are its readers', async () => {
  const origin = new ConductedOrigin(contentOf(40));
  const { manager, repository, store } = setUp(origin);
  const file = await manager.openFile({ id: 'film', totalBytes: 40, generation: 'v1' });
  const wait = manager.waitForChunk('film', 0);
  await settle();
  await origin.call(0).finish();
  await wait;
  const read = outcomeOf(readAll(file.read()));
  await settle();
  await origin.call(1).give(3);
  expect(await manager.removeFile('film')).toBe(true);
  await settle();
  expect(read.error).toBeInstanceOf(UnknownFileError);
  expect(() => manager.hasChunk('film', 0)).toThrow(UnknownFileError);
  expect([await store.usage(), await repository.loadFile('film')]).toEqual([0, undefined]);
  expect(origin.calls.every((call) => call.job.chunk === 0 || call.aborted)).toBe(true);
  expect(await manager.removeFile('film')).toBe(false);
  await manager.openFile({ id: 'film', totalBytes: 40, generation: 'v1' });
  expect(manager.availableChunks('film')).toEqual([]);
});

test('a file that is only stored can be removed too', async () => {
  const origin = new EagerOrigin(contentOf(40), 'v1');
  const { again, manager, store } = setUp(origin);
  await readAll((await manager.openFile({ id: 'film' })).read());
  await manager.close();
  expect(await again().removeFile('film')).toBe(true);
  expect(await store.usage()).toBe(0);
});

test('a removal waits for what is being stored, so that nothing is marked after it', async () => {
  const inner = memoryChunkStore();
  const committing = deferred<void>();
  const store = { ...inner, commit: () => committing.promise };
  const origin = new EagerOrigin(contentOf(10), 'v1');
  const { manager, repository } = setUp({ ...origin, store });
  await manager.openFile({ id: 'film' });
  await settle();
  const removing = outcomeOf(manager.removeFile('film'));
  const opening = outcomeOf(manager.openFile({ id: 'film', totalBytes: 10, generation: 'v1' }));
  await flush();
  expect([removing.state, opening.state]).toEqual(['pending', 'pending']);
  committing.resolve();
  await flush();
  expect([removing.value, opening.state]).toEqual([true, 'done']);
  const row = await repository.loadFile('film');
  expect(Coverage.from(row?.coverage as Uint8Array, 1).marked).toBe(0);
});

test('a repository that fails shows: opening rejects, and the next one tries anew', async () => {
  const inner = memoryRepository();
  let fails = true;
  const repository = {
    ...inner,
    upsertFile: (row: Parameters<typeof inner.upsertFile>[0]) =>
      fails ? Promise.reject(new Error('disk full')) : inner.upsertFile(row),
  };
  const { manager } = setUp({ ...new EagerOrigin(contentOf(40), 'v1'), repository });
  await expect(manager.openFile({ id: 'film', totalBytes: 40 })).rejects.toThrow('disk full');
  fails = false;
  expect(await readAll((await manager.openFile({ id: 'film', totalBytes: 40 })).read())).toEqual(contentOf(40));
});
