import { VirtualClock } from '@chunks/base/testing';
import { BadOriginError, ChunkManager, GenerationChangedError, memoryChunkStore } from '@chunks/manager';
import { httpFetcher } from '@chunks/manager/http';
import { expect, test } from 'vitest';
import { answerLike, HttpOrigin } from '../support/http-origin.ts';
import { contentOf, flush, outcomeOf, readAll } from '../support/origin.ts';

const CHUNK = 100;
const setUp = (origin: HttpOrigin, o: { attempts?: number; describe?: boolean } = {}) => {
  const clock = new VirtualClock();
  const fetcher = httpFetcher({ url: (id) => `http://origin.test/${id}`, fetch: origin.fetch, clock });
  const store = memoryChunkStore();
  const manager = new ChunkManager({
    fetchChunk: fetcher.fetchChunk,
    describeFile: o.describe === false ? undefined : fetcher.describeFile,
    store,
    chunkSizeBytes: CHUNK,
    retry: { attempts: o.attempts ?? 1, baseMs: 0 },
    clock,
    random: () => 0.5,
  });
  return { clock, fetcher, manager, store };
};

test('gets a file in ranges, with If-Range, each byte once', async () => {
  const origin = new HttpOrigin(contentOf(350));
  const { manager } = setUp(origin);
  const file = await manager.openFile({ id: 'film' });
  expect(file).toMatchObject({ generation: '"v1"', totalBytes: 350 });
  expect(await readAll(file.read())).toEqual(origin.content);
  expect(origin.ranges).toEqual(['bytes=0-99', 'bytes=100-199', 'bytes=200-299', 'bytes=300-349']);
  expect(origin.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET', 'GET', 'GET', 'GET']);
  expect(origin.requests[1]?.headers.get('if-range')).toBe('"v1"');
  expect(origin.requests[1]?.headers.get('accept-encoding')).toBe('identity');
});

test('without describeFile the first chunk tells what the file is, and is asked for once', async () => {
  const origin = new HttpOrigin(contentOf(350));
  const { manager } = setUp(origin, { describe: false });
  const file = await manager.openFile({ id: 'film' });
  expect(file).toMatchObject({ generation: '"v1"', totalBytes: 350 });
  expect(await readAll(file.read())).toEqual(origin.content);
  expect(origin.ranges).toEqual(['bytes=0-99', 'bytes=100-199', 'bytes=200-299', 'bytes=300-349']);
});

test.each([0, 1, 99, 100, 101])('a file of %i bytes, with and without describeFile', async (size) => {
  for (const describe of [true, false]) {
    const origin = new HttpOrigin(contentOf(size));
    const { manager } = setUp(origin, { describe });
    const file = await manager.openFile({ id: 'film' });
    expect(file.totalBytes).toBe(size);
    expect(await readAll(file.read())).toEqual(origin.content);
  }
});

const brokenAnswers: [string, (response: Response) => Response][] = [
  ['a range that starts elsewhere', (r) => answerLike(r, { headers: { 'content-range': 'bytes 101-199/350' } })],
  ['a range that ends elsewhere', (r) => answerLike(r, { headers: { 'content-range': 'bytes 100-198/350' } })],
  ['no Content-Range', (r) => answerLike(r, { headers: { 'content-range': null } })],
  ['a Content-Range that is none', (r) => answerLike(r, { headers: { 'content-range': 'bytes 199-100/350' } })],
  [
    'another length of the same generation',
    (r) => answerLike(r, { headers: { 'content-range': 'bytes 100-199/351' } }),
  ],
  [
    '200 instead of 206',
    (r) => answerLike(r, { status: 200, headers: { 'content-length': '350', 'content-range': null } }),
  ],
  ['a short body', (r) => answerLike(r, { headers: { 'content-length': null }, body: contentOf(350).slice(100, 199) })],
  ['a long body', (r) => answerLike(r, { headers: { 'content-length': null }, body: contentOf(350).slice(100, 201) })],
  ['a compressed body', (r) => answerLike(r, { headers: { 'content-encoding': 'gzip' } })],
  ['status 503', (r) => answerLike(r, { status: 503 })],
  ['status 404', (r) => answerLike(r, { status: 404 })],
  ['status 416', (r) => answerLike(r, { status: 416, headers: { 'content-range': 'bytes */350' } })],
  ['a redirect that is none', (r) => answerLike(r, { status: 304, body: null })],
];

test.each(brokenAnswers)('%s is BAD_ORIGIN, and nothing of it is stored', async (_, breakIt) => {
  const origin = new HttpOrigin(contentOf(350));
  const { manager } = setUp(origin);
  await manager.openFile({ id: 'film' });
  origin.change = breakIt;
  const wait = manager.waitForChunk('film', 1);
  await expect(wait).rejects.toMatchObject({ code: 'CHUNK_FAILED', attempts: 1 });
  const { cause } = (await wait.catch((error) => error)) as { cause: unknown };
  expect(cause).toBeInstanceOf(BadOriginError);
  expect(manager.hasChunk('film', 1)).toBe(false);
  origin.change = (response) => response;
  expect(await readAll(manager.read('film'))).toEqual(origin.content);
});

test('a status that another try will not change is not tried again', async () => {
  const origin = new HttpOrigin(contentOf(350));
  const { clock, manager } = setUp(origin, { attempts: 3 });
  await manager.openFile({ id: 'film' });
  for (const [status, requests] of [
    [404, 1],
    [403, 1],
    [503, 3],
    [429, 3],
  ] as const) {
    const before = origin.requests.length;
    origin.change = (response) => answerLike(response, { status });
    const wait = outcomeOf(manager.waitForChunk('film', 0));
    await clock.advance(10);
    expect(wait.error).toMatchObject({ code: 'CHUNK_FAILED', attempts: requests, cause: { status } });
    expect(origin.requests.length - before).toBe(requests);
  }
});

test('a body that breaks off is resumed where it ended', async () => {
  const origin = new HttpOrigin(contentOf(350));
  const { clock, manager } = setUp(origin, { attempts: 3 });
  await manager.openFile({ id: 'film' });
  let cuts = 0;
  origin.change = (response) => {
    if (cuts++ > 0) return response;
    const half = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(contentOf(350).slice(100, 140));
      },
      pull(controller) {
        controller.error(new TypeError('terminated'));
      },
    });
    return answerLike(response, { body: half });
  };
  const wait = outcomeOf(manager.waitForChunk('film', 1));
  await flush();
  await clock.advance(10);
  await flush();
  expect(wait.state).toBe('done');
  expect(origin.ranges).toEqual(['bytes=100-199', 'bytes=140-199']);
  expect(manager.stats()).toMatchObject({ bytesFetched: 100, bytesWasted: 0, retries: 1 });
});

test('another ETag errors the readers of the old version, and the next one gets the new version whole', async () => {
  const origin = new HttpOrigin(contentOf(350, 1));
  const { manager } = setUp(origin);
  const old = await manager.openFile({ id: 'film' });
  await manager.waitForChunk('film', 0);
  origin.content = contentOf(420, 2);
  origin.etag = '"v2"';
  await expect(readAll(old.read())).rejects.toBeInstanceOf(GenerationChangedError);
  await expect(readAll(old.read())).rejects.toMatchObject({ from: '"v1"', to: '"v2"' });
  const now = await manager.openFile({ id: 'film' });
  expect(now).toMatchObject({ generation: '"v2"', totalBytes: 420 });
  expect(await readAll(now.read())).toEqual(origin.content);
});

test.each([
  ['a weak ETag', 'W/"a"', 'W/"b"', undefined, undefined],
  ['Last-Modified', undefined, undefined, new Date(1_000_000), new Date(2_000_000)],
])('without a strong ETag %s tells versions apart, and If-Range is not sent', async (_, tag1, tag2, time1, time2) => {
  const origin = new HttpOrigin(contentOf(350, 1));
  origin.etag = tag1;
  origin.lastModified = time1;
  const { manager } = setUp(origin);
  const old = await manager.openFile({ id: 'film' });
  expect(await readAll(old.read({ startByte: 0, endByte: 100 }))).toEqual(origin.content.slice(0, 100));
  origin.content = contentOf(350, 2);
  origin.etag = tag2;
  origin.lastModified = time2;
  await expect(readAll(old.read())).rejects.toBeInstanceOf(GenerationChangedError);
  expect(await readAll((await manager.openFile({ id: 'film' })).read())).toEqual(origin.content);
  expect(origin.requests.every(({ headers }) => !headers.has('if-range'))).toBe(true);
});

test('without any validator the length tells versions apart', async () => {
  const origin = new HttpOrigin(contentOf(350, 1));
  origin.etag = undefined;
  const { manager } = setUp(origin);
  const old = await manager.openFile({ id: 'film' });
  await manager.waitForChunk('film', 0);
  origin.content = contentOf(351, 2);
  await expect(readAll(old.read())).rejects.toBeInstanceOf(GenerationChangedError);
  expect(await readAll((await manager.openFile({ id: 'film' })).read())).toEqual(origin.content);
});

test('looking again is a HEAD with If-None-Match, never a GET', async () => {
  const origin = new HttpOrigin(contentOf(350));
  const { clock, manager } = setUp(origin);
  await manager.openFile({ id: 'film' });
  await manager.openFile({ id: 'film', maxAgeMs: 1000 });
  expect(origin.requests.length).toBe(1);
  await clock.advance(1001);
  const same = await manager.openFile({ id: 'film', maxAgeMs: 1000 });
  expect(origin.requests.map(({ method, headers }) => [method, headers.get('if-none-match')])).toEqual([
    ['HEAD', null],
    ['HEAD', '"v1"'],
  ]);
  origin.etag = '"v2"';
  await clock.advance(1001);
  const changed = await manager.openFile({ id: 'film', maxAgeMs: 1000 });
  expect([same.generation, changed.generation]).toEqual(['"v1"', '"v2"']);
});

test('an origin of which nothing comes for stallTimeoutMs has failed; the reader’s time does not count', async () => {
  const origin = new HttpOrigin(contentOf(350));
  const { clock, manager } = setUp(origin, { attempts: 2 });
  await manager.openFile({ id: 'film' });
  let requests = 0;
  origin.change = (response, request) => {
    if (requests++ > 0) return response;
    const silent = new ReadableStream<Uint8Array>({
      start(controller) {
        request.signal.addEventListener('abort', () => controller.error(request.signal.reason));
      },
    });
    return answerLike(response, { body: silent });
  };
  manager.requestChunk('film', 0);
  await clock.advance(29_999);
  expect(requests).toBe(1);
  await clock.advance(2);
  expect(requests).toBe(2);
  expect(origin.requests.at(-2)?.signal.aborted).toBe(true);
  await flush();
  expect(manager.hasChunk('film', 0)).toBe(true);
  expect(clock.pending).toBe(0);
});

test('who leaves stops the request, with the reason that the manager gives', async () => {
  const origin = new HttpOrigin(contentOf(350));
  const { clock, manager } = setUp(origin);
  await manager.openFile({ id: 'film' });
  origin.change = (response) => answerLike(response, { body: new ReadableStream() });
  const ticket = manager.requestChunk('film', 2);
  await flush();
  ticket.cancel();
  expect(origin.requests.at(-1)?.signal.aborted).toBe(true);
  await flush();
  expect(clock.pending).toBe(0);
});

test('an origin that cannot be described fails the opening by its status', async () => {
  const origin = new HttpOrigin(contentOf(350));
  const { manager } = setUp(origin);
  origin.change = (response) => answerLike(response, { status: 404, body: null });
  await expect(manager.openFile({ id: 'film' })).rejects.toMatchObject({
    code: 'BAD_ORIGIN',
    status: 404,
    retryable: false,
  });
  origin.change = (response) => answerLike(response, { headers: { 'content-length': null } });
  await expect(manager.openFile({ id: 'film' })).rejects.toMatchObject({ code: 'BAD_ORIGIN' });
  origin.change = () => Promise.reject(new TypeError('fetch failed'));
  await expect(manager.openFile({ id: 'film' })).rejects.toMatchObject({
    code: 'BAD_ORIGIN',
    cause: new TypeError('fetch failed'),
  });
});

test('refuses bad options by name', () => {
  expect(() => httpFetcher({ url: 'x' as never })).toThrow(/url/);
  expect(() => httpFetcher({ url: String, fetch: 3 as never })).toThrow(/fetch/);
  expect(() => httpFetcher({ url: String, stallTimeoutMs: Number.NaN })).toThrow(/stallTimeoutMs/);
});
