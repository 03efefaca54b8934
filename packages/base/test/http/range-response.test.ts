import { type RangeResource, rangeResponse } from '@chunks/base';
import { VirtualClock } from '@chunks/base/testing';
import { expect, test } from 'vitest';

// Statuses, headers and bytes from outside: assemble/test/http.test.ts. Here: what the resource notices of it.

const URL = 'http://files.test/clip';
const CONTENT = new TextEncoder().encode('0123456789');

function resourceOf(more: Partial<RangeResource> = {}): { resource: RangeResource; reads: string[] } {
  const reads: string[] = [];
  const resource: RangeResource = {
    totalBytes: CONTENT.byteLength,
    etag: '"v1"',
    read: ({ startByte, endByte }) => {
      reads.push(`${startByte}–${endByte}`);
      return CONTENT.subarray(startByte, endByte);
    },
    ...more,
  };
  return { resource, reads };
}
const ask = (headers: Record<string, string>, method = 'GET'): Request => new Request(URL, { method, headers });

test.each([
  ['HEAD', ask({}, 'HEAD'), 200],
  ['a method that is refused', ask({}, 'DELETE'), 405],
  ['304', ask({ 'if-none-match': '"v1"' }), 304],
  ['412', ask({ 'if-match': '"v2"' }), 412],
  ['416', ask({ range: 'bytes=10-' }), 416],
])('%s reads nothing', async (_, request, status) => {
  const { resource, reads } = resourceOf();
  expect((await rangeResponse(request, resource)).status).toBe(status);
  expect(reads).toEqual([]);
});

test('nothing is read of an empty resource', async () => {
  const { resource, reads } = resourceOf({ totalBytes: 0 });
  expect(await (await rangeResponse(ask({}), resource)).text()).toBe('');
  expect(reads).toEqual([]);
});

test.each([
  [{}, ['0–10']],
  [{ range: 'bytes=2-4' }, ['2–5']],
  [{ range: 'bytes=-3' }, ['7–10']],
  [{ range: 'bytes=8-8,0-1,9-9' }, ['8–10', '0–2']],
])('%o reads %o', async (headers, wanted) => {
  const { resource, reads } = resourceOf();
  await (await rangeResponse(ask(headers), resource)).arrayBuffer();
  expect(reads).toEqual(wanted);
});

test('with the length unknown, everything is read to the end, whatever that is', async () => {
  const { resource, reads } = resourceOf({ totalBytes: undefined });
  expect(await (await rangeResponse(ask({ range: 'bytes=2-4' }), resource)).text()).toBe('0123456789');
  expect(reads).toEqual([`0–${Number.MAX_SAFE_INTEGER}`]);
});

test('what the first read throws is thrown: nothing was sent yet', async () => {
  const busy = new Error('busy');
  const { resource } = resourceOf({ read: () => Promise.reject(busy) });
  await expect(rangeResponse(ask({}), resource)).rejects.toBe(busy);
});

test('read may be a method of an object with state', async () => {
  const file = {
    totalBytes: 3,
    bytes: Uint8Array.of(65, 66, 67),
    read(): Uint8Array {
      return this.bytes;
    },
  };
  expect(await (await rangeResponse(ask({}), file)).text()).toBe('ABC');
});

test.each<[Partial<Record<keyof RangeResource, unknown>>, typeof Error, string]>([
  [{ etag: 'v1' }, TypeError, 'resource.etag must be an entity tag in double quotes, W/ in front if weak, but is "v1"'],
  [{ etag: '"v"1"' }, TypeError, 'resource.etag must be'],
  [{ etag: 7 }, TypeError, 'resource.etag must be'],
  [{ totalBytes: -1 }, RangeError, 'resource.totalBytes must be an integer ≥ 0, but is -1'],
  [{ totalBytes: Number.NaN }, RangeError, 'resource.totalBytes must be an integer ≥ 0, but is NaN'],
  [{ totalBytes: '10' }, TypeError, 'resource.totalBytes must be a number, but is "10"'],
  [{ lastModified: new Date('x') }, TypeError, 'resource.lastModified must be a valid Date, but is'],
  [{ lastModified: 5 }, TypeError, 'resource.lastModified must be a valid Date, but is 5'],
  [{ read: undefined }, TypeError, 'resource.read must be a function, but is undefined'],
  [{ contentType: 'a/b\r\nset-cookie: c' }, TypeError, ''],
])('%o is refused', async (wrong, kind, message) => {
  const { resource, reads } = resourceOf(wrong as Partial<RangeResource>);
  const failure = await rangeResponse(ask({}), resource).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(kind);
  expect((failure as Error).message).toContain(message);
  expect(reads).toEqual([]);
});

test('a modification that lies in the future is told as now, and believed by nobody', async () => {
  const clock = new VirtualClock(Date.UTC(2026, 0, 1));
  const { resource } = resourceOf({ etag: undefined, lastModified: new Date(Date.UTC(2026, 0, 2)) });
  const answer = (headers: Record<string, string>): Promise<Response> =>
    rangeResponse(ask(headers), resource, { clock });
  const now = 'Thu, 01 Jan 2026 00:00:00 GMT';
  expect((await answer({})).headers.get('last-modified')).toBe(now);
  expect((await answer({ 'if-modified-since': now })).status).toBe(200);
  expect((await answer({ range: 'bytes=0-0', 'if-range': now })).status).toBe(200);
  expect((await answer({ 'if-unmodified-since': now })).status).toBe(412);
});

test('a request whose signal is missing, as some runtimes have it, is served all the same', async () => {
  const { resource } = resourceOf();
  const request = Object.defineProperty(ask({ range: 'bytes=1-2' }), 'signal', { value: null });
  expect(await (await rangeResponse(request, resource)).text()).toBe('12');
});

test("the request's abort rejects with its own reason", async () => {
  const { resource, reads } = resourceOf();
  const reason = { left: true };
  const request = new Request(URL, { signal: AbortSignal.abort(reason) });
  await expect(rangeResponse(request, resource)).rejects.toBe(reason);
  expect(reads).toEqual([]);
});
