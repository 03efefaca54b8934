import type { S3Fetch } from '@chunks/base';
import { VirtualClock } from '@chunks/base/testing';
import { conditionalPutFront } from '@chunks/locks/testing';
import { describe, expect, test } from 'vitest';
import { s3Bucket } from '../../../src/adapters/object-store/s3-bucket.ts';

const url = 'https://s3.test/bucket';
const absent = { onlyIf: { etagDoesNotMatch: '*' } } as const;
const date = new Date(1_700_000_000_000).toUTCString();
const answering =
  (status: number, body = '', headers: Record<string, string> = {}): S3Fetch =>
  async () =>
    new Response(body, { status, headers: { date, etag: '"e"', 'last-modified': date, ...headers } });

describe('s3Bucket', () => {
  test('creates, replaces and reads on condition', async () => {
    const clock = new VirtualClock(1_700_000_000_700);
    const bucket = s3Bucket({ url: `${url}/`, fetch: conditionalPutFront({ clock }) });
    expect(await bucket.get('a/b')).toBe(null);
    expect(bucket.now?.()).toBe(1_700_000_000_000);
    const first = await bucket.put('a/b', 'one', absent);
    expect(await bucket.put('a/b', 'two', absent)).toBe(null);
    expect(await bucket.put('a/b', 'two', { onlyIf: { etagMatches: 'other' } })).toBe(null);
    expect(await bucket.put('a/c', 'two', { onlyIf: { etagMatches: 'other' } })).toBe(null);
    await clock.advance(2_000);
    const second = await bucket.put('a/b', 'two', { onlyIf: { etagMatches: first?.etag ?? '' } });
    await clock.advance(500);
    const got = await bucket.get('a/b');
    expect(got?.etag).toBe(second?.etag);
    expect(await got?.text()).toBe('two');
    // The second it was written in began at …002; it may have been its last ms.
    expect(got?.uploaded.getTime()).toBe(1_700_000_002_999);
    expect(bucket.now?.()).toBe(1_700_000_003_000);
  });

  test('sends a plain URL and headers, which any signing client takes', async () => {
    const sent: unknown[] = [];
    const front = conditionalPutFront();
    const bucket = s3Bucket({
      url,
      async fetch(target, init) {
        sent.push([target, init]);
        return front(target, init);
      },
    });
    const first = await bucket.put('a/b~2f', 'one', absent);
    await bucket.put('a/b~2f', 'two', { onlyIf: { etagMatches: first?.etag ?? '' } });
    await bucket.get('a/b~2f');
    const headers = { 'content-type': 'application/json' };
    expect(sent).toEqual([
      [`${url}/a/b~2f`, { method: 'PUT', headers: { ...headers, 'if-none-match': '*' }, body: 'one' }],
      [`${url}/a/b~2f`, { method: 'PUT', headers: { ...headers, 'if-match': `"${first?.etag}"` }, body: 'two' }],
      [`${url}/a/b~2f`, { method: 'GET', headers: { 'cache-control': 'no-cache' } }],
    ]);
  });

  test.each<[status: number, body: string, get: string, create: string, replace: string]>([
    [412, '', 'S3 answered 412 to GET o', 'null', 'null'],
    [409, '', 'S3 answered 409 to GET o', 'null', 'null'],
    [404, '<Code>NoSuchKey</Code>', 'null', 'S3 answered 404 NoSuchKey to PUT o', 'null'],
    [
      404,
      '<Code>NoSuchBucket</Code>',
      'S3 answered 404 NoSuchBucket to GET o',
      'S3 answered 404 NoSuchBucket to PUT o',
      'S3 answered 404 NoSuchBucket to PUT o',
    ],
    [
      403,
      '<Code>AccessDenied</Code>',
      'S3 answered 403 AccessDenied to GET o; a missing object is 403 too unless s3:ListBucket is allowed',
      'S3 answered 403 AccessDenied to PUT o; a missing object is 403 too unless s3:ListBucket is allowed',
      'S3 answered 403 AccessDenied to PUT o; a missing object is 403 too unless s3:ListBucket is allowed',
    ],
    ...[301, 429, 500, 501, 503].map((status): [number, string, string, string, string] => [
      status,
      '',
      `S3 answered ${status} to GET o`,
      `S3 answered ${status} to PUT o`,
      `S3 answered ${status} to PUT o`,
    ]),
  ])('%i %s: somebody was first, nothing there, or out of reach', async (status, body, get, create, replace) => {
    const bucket = s3Bucket({ url, fetch: answering(status, body) });
    const told = (call: Promise<unknown>): Promise<string> => call.then(String, (error: Error) => error.message);
    expect(await told(bucket.get('o'))).toBe(get);
    expect(await told(bucket.put('o', '{}', absent))).toBe(create);
    expect(await told(bucket.put('o', '{}', { onlyIf: { etagMatches: 'e' } }))).toBe(replace);
  });

  test.each([
    ['Date', { date: '' }],
    ['Date', { date: 'soon' }],
    ['Last-Modified', { 'last-modified': '' }],
    ['strong ETag', { etag: 'W/"e"' }],
    ['strong ETag', { etag: '' }],
  ])('an answer without a %s is none', async (name, headers) => {
    const bucket = s3Bucket({ url, fetch: answering(200, '{}', headers) });
    await expect(bucket.get('o')).rejects.toThrow(name);
  });

  test('a write that came back without a strong ETag is none', async () => {
    const bucket = s3Bucket({ url, fetch: answering(200, '', { etag: 'W/"e"' }) });
    await expect(bucket.put('o', '{}', absent)).rejects.toThrow('S3 gave no strong ETag, but "W/\\"e\\""');
  });

  test("the client's own error comes through", async () => {
    const failure = new TypeError('fetch failed');
    const bucket = s3Bucket({ url, fetch: () => Promise.reject(failure) });
    await expect(bucket.get('o')).rejects.toBe(failure);
    await expect(bucket.put('o', '{}', absent)).rejects.toBe(failure);
  });

  test.each<[options: unknown, message: string]>([
    [{}, 'url must be a string, but is undefined'],
    [{ url: '' }, 'url must be a non-empty string'],
    [{ url: 'bucket' }, 'url must be an http URL without a query, but is "bucket"'],
    [{ url: `${url}?x=1` }, 'url must be an http URL without a query'],
    [{ url, fetch: 1 }, 'fetch must be a function, but is 1'],
  ])('refuses %j', (options, message) => {
    expect(() => s3Bucket(options as Parameters<typeof s3Bucket>[0])).toThrow(message);
  });
});
