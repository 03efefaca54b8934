import { isAbsent, type S3Answer, type S3Fetch, s3Caller, s3Refusal, strongEtag } from '@chunks/base';
import { describe, expect, test, vi } from 'vitest';

const url = 'https://s3.test/bucket';
const answer = (status: number, text = '', headers: Record<string, string> = {}): S3Answer => ({
  status,
  text,
  headers: new Headers(headers),
});

describe('s3Caller', () => {
  test('sends a plain URL, and only what there is', async () => {
    const sent: unknown[] = [];
    const fetch: S3Fetch = async (...all) => {
      sent.push(all);
      return new Response('read', { status: 207, headers: { etag: '"e"' } });
    };
    const call = s3Caller({ url: `${url}//`, fetch });
    const { signal } = new AbortController();
    const told = await call('GET', 'a b/~2f+%.json', {});
    expect([told.status, told.text, told.headers.get('etag')]).toEqual([207, 'read', '"e"']);
    await call('PUT', 'a', { 'if-match': '"e"' }, { body: 'x', signal });
    await call('GET', '?list-type=2&prefix=a%2F', {}, { signal });
    expect(sent).toEqual([
      [`${url}/a%20b/~2f%2B%25.json`, { method: 'GET', headers: {} }],
      [`${url}/a`, { method: 'PUT', headers: { 'if-match': '"e"' }, body: 'x', signal }],
      [`${url}/?list-type=2&prefix=a%2F`, { method: 'GET', headers: {}, signal }],
    ]);
  });

  test('without a client it is the host’s own fetch', async () => {
    vi.stubGlobal('fetch', async (target: string) => new Response(target));
    try {
      expect(await s3Caller({ url })('GET', 'a', {})).toMatchObject({ text: `${url}/a` });
    } finally {
      vi.unstubAllGlobals();
    }
  });

  test.each<[options: unknown, message: string]>([
    [{}, 'url must be a string, but is undefined'],
    [{ url: '' }, 'url must be a non-empty string'],
    [{ url: 'bucket' }, 'url must be an http URL without a query, but is "bucket"'],
    [{ url: `${url}#x` }, 'url must be an http URL without a query'],
    [{ url, fetch: 1 }, 'fetch must be a function, but is 1'],
  ])('refuses %j', (options, message) => {
    expect(() => s3Caller(options as Parameters<typeof s3Caller>[0])).toThrow(message);
  });
});

test('no object is absent; no bucket is not', () => {
  expect(isAbsent(answer(404, '<Code>NoSuchKey</Code>'))).toBe(true);
  expect(isAbsent(answer(404))).toBe(true);
  expect(isAbsent(answer(404, '<Error><Code>NoSuchBucket</Code></Error>'))).toBe(false);
  expect(isAbsent(answer(200))).toBe(false);
});

test('an etag is taken out of its quotes; a weak one, or none, is refused', () => {
  expect(strongEtag(answer(200, '', { etag: '"0af-2"' }))).toBe('0af-2');
  for (const headers of [{}, { etag: 'W/"e"' }, { etag: '""' }, { etag: 'e' }]) {
    expect(() => strongEtag(answer(200, '', headers))).toThrow('S3 gave no strong ETag, but ');
  }
});

test('a refusal names status, code, method and object, and what 403 may mean', () => {
  expect(s3Refusal('GET', 'o', answer(503, '<Code>SlowDown</Code>')).message).toBe('S3 answered 503 SlowDown to GET o');
  expect(s3Refusal('PUT', 'o', answer(500)).message).toBe('S3 answered 500 to PUT o');
  expect(s3Refusal('GET', 'o', answer(403)).message).toContain('403 to GET o; a missing object is 403 too');
});
