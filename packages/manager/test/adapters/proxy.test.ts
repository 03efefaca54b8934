import { VirtualClock } from '@chunks/base/testing';
import { ChunkManager, type ManagerOptions, memoryChunkStore } from '@chunks/manager';
import { httpFetcher } from '@chunks/manager/http';
import { createProxy } from '@chunks/manager/proxy';
import { expect, test } from 'vitest';
import { answerLike, HttpOrigin } from '../support/http-origin.ts';
import { contentOf, flush, outcomeOf } from '../support/origin.ts';

const setUp = (origin: HttpOrigin, options: Partial<ManagerOptions> & { maxAgeMs?: number } = {}) => {
  const clock = new VirtualClock();
  const manager = new ChunkManager({
    ...httpFetcher({ url: (id) => `http://origin.test/${id}`, fetch: origin.fetch, clock }),
    store: memoryChunkStore(),
    chunkSizeBytes: 100,
    retry: { attempts: 1 },
    clock,
    ...options,
  });
  const proxy = createProxy({
    manager,
    fileIdOf: (request) => new URL(request.url).pathname.slice(1) || undefined,
    contentTypeOf: (id) => (id.endsWith('.mp4') ? 'video/mp4' : undefined),
    maxAgeMs: options.maxAgeMs,
    timeoutMs: 2_000,
  });
  const ask = (headers: Record<string, string> = {}, init: RequestInit = {}, path = 'film.mp4') =>
    proxy(new Request(`http://proxy.test/${path}`, { headers, ...init }));
  return { ask, clock, manager };
};
const bodyOf = async (response: Response): Promise<Uint8Array> => new Uint8Array(await response.arrayBuffer());

test('serves the whole, ranges and HEAD, with the origin’s own validator', async () => {
  const origin = new HttpOrigin(contentOf(350));
  const { ask } = setUp(origin);
  const whole = await ask();
  expect([whole.status, whole.headers.get('content-length'), whole.headers.get('etag')]).toEqual([200, '350', '"v1"']);
  expect(whole.headers.get('content-type')).toBe('video/mp4');
  expect(await bodyOf(whole)).toEqual(origin.content);
  const part = await ask({ range: 'bytes=95-204' });
  expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 95-204/350']);
  expect(await bodyOf(part)).toEqual(origin.content.slice(95, 205));
  expect(await bodyOf(await ask({ range: 'bytes=-5' }))).toEqual(origin.content.slice(345));
  expect((await ask({ range: 'bytes=350-' })).status).toBe(416);
  expect((await ask({ 'if-none-match': '"v1"' })).status).toBe(304);
  expect((await ask({ range: 'bytes=0-0', 'if-range': '"v0"' })).status).toBe(200);
  const head = await ask({}, { method: 'HEAD' });
  expect([head.status, head.headers.get('content-length'), head.body]).toEqual([200, '350', null]);
  expect(origin.ranges).toEqual(['bytes=0-99', 'bytes=100-199', 'bytes=200-299', 'bytes=300-349']);
});

test('200 clients of one cold file: one request a chunk', async () => {
  const origin = new HttpOrigin(contentOf(350));
  const { ask } = setUp(origin);
  const bodies = await Promise.all(Array.from({ length: 200 }, async () => bodyOf(await ask())));
  for (const body of bodies) expect(body).toEqual(origin.content);
  expect(origin.ranges.length).toBe(4);
  expect(origin.requests.filter(({ method }) => method === 'HEAD').length).toBe(1);
});

test('nothing for timeoutMs is a 503 with Retry-After, and the fetch stops with the last who waited', async () => {
  const origin = new HttpOrigin(contentOf(350));
  const { ask, clock, manager } = setUp(origin);
  await manager.openFile({ id: 'film.mp4' });
  origin.change = (response) => answerLike(response, { body: new ReadableStream() });
  const answer = outcomeOf(ask({ range: 'bytes=120-130' }));
  await clock.advance(1_999);
  expect(answer.state).toBe('pending');
  await clock.advance(1);
  expect(answer.value?.status).toBe(503);
  expect(answer.value?.headers.get('retry-after')).toBe('1');
  expect(answer.value?.headers.get('content-type')).toBe('application/problem+json');
  expect(await answer.value?.json()).toMatchObject({ status: 503, title: 'WAIT_TIMEOUT' });
  expect(origin.requests.at(-1)?.signal.aborted).toBe(true);
});

test.each([
  ['a file that the origin does not have', 404, 404],
  ['one that is gone', 410, 404],
  ['an origin that fails', 500, 502],
  ['an origin that refuses', 403, 502],
])('%s (%i) is a %i, as problem JSON', async (_, status, expected) => {
  for (const method of ['HEAD', 'GET']) {
    const origin = new HttpOrigin(contentOf(350));
    const { ask } = setUp(origin);
    origin.change = (response, request) =>
      request.method === method ? answerLike(response, { status, body: null }) : response;
    const answer = await ask();
    expect(answer.status).toBe(expected);
    expect(await answer.json()).toMatchObject({ type: 'about:blank', status: expected });
  }
});

test('an unknown path is a 404, another method a 405, a closed manager a 503', async () => {
  const origin = new HttpOrigin(contentOf(350));
  const { ask, manager } = setUp(origin);
  expect((await ask({}, {}, '')).status).toBe(404);
  const post = await ask({}, { method: 'POST' });
  expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  expect(origin.requests.length).toBe(0);
  await manager.close();
  expect((await ask()).status).toBe(503);
});

test('a version that changes before the first byte is served as the new one, after it the body is cut', async () => {
  const origin = new HttpOrigin(contentOf(350, 1));
  const { ask, manager } = setUp(origin);
  await manager.openFile({ id: 'film.mp4' });
  await manager.waitForChunk('film.mp4', 0);
  const old = await ask();
  origin.content = contentOf(420, 2);
  origin.etag = '"v2"';
  const fresh = await ask({ range: 'bytes=300-' });
  expect(fresh.headers.get('content-range')).toBe('bytes 300-419/420');
  expect(await bodyOf(fresh)).toEqual(origin.content.slice(300));
  await expect(bodyOf(old)).rejects.toThrow();
  expect(await bodyOf(await ask())).toEqual(origin.content);
});

test('a client that disconnects, before or after the head, withdraws what it wanted', async () => {
  const origin = new HttpOrigin(contentOf(350));
  const { ask, manager } = setUp(origin);
  await manager.openFile({ id: 'film.mp4' });
  await manager.waitForChunk('film.mp4', 0);
  origin.change = (response) => answerLike(response, { body: new ReadableStream() });
  const early = new AbortController();
  const answer = outcomeOf(ask({ range: 'bytes=100-' }, { signal: early.signal }));
  await flush();
  expect(manager.stats().active).toBe(2);
  early.abort(new Error('gone'));
  await flush();
  expect(answer.error).toEqual(new Error('gone'));
  expect(manager.stats()).toMatchObject({ active: 0, waiters: 0 });
  const late = await ask();
  const reader = (late.body as ReadableStream<Uint8Array>).getReader();
  await reader.read();
  void reader.read();
  await flush();
  expect(manager.stats().active).toBeGreaterThan(0);
  await reader.cancel();
  await flush();
  expect(manager.stats()).toMatchObject({ active: 0, waiters: 0 });
  expect(origin.requests.slice(2).every(({ signal }) => signal.aborted)).toBe(true);
});

test('without a strong ETag at the origin it has none to give', async () => {
  const origin = new HttpOrigin(contentOf(350));
  origin.etag = undefined;
  origin.lastModified = new Date(1_000_000);
  const { ask } = setUp(origin);
  const etag = (await ask({}, { method: 'HEAD' })).headers.get('etag') as string;
  expect(etag).toMatch(/^W\/"[^"]+"$/);
  expect((await ask({ 'if-none-match': etag })).status).toBe(304);
  expect((await ask({ range: 'bytes=0-0', 'if-range': etag })).status).toBe(200);
});

test('looks again at the origin after maxAgeMs', async () => {
  const origin = new HttpOrigin(contentOf(350, 1));
  const { ask, clock } = setUp(origin, { maxAgeMs: 1_000 });
  expect(await bodyOf(await ask())).toEqual(origin.content);
  origin.content = contentOf(350, 2);
  origin.etag = '"v2"';
  expect((await ask()).headers.get('etag')).toBe('"v1"');
  await clock.advance(1_001);
  expect(await bodyOf(await ask())).toEqual(origin.content);
});

test('refuses bad options by name', () => {
  const manager = { openFile: () => Promise.reject(new Error()) };
  expect(() => createProxy({ manager, fileIdOf: 'x' as never })).toThrow(/fileIdOf/);
  expect(() => createProxy({ manager: {} as never, fileIdOf: () => 'x' })).toThrow(/manager/);
});
