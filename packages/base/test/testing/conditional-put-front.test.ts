import { VirtualClock } from '@chunks/base/testing';
import { describe, expect, test } from 'vitest';
import { conditionalPutFront, type FrontFault } from '../../src/testing/conditional-put-front.ts';

const url = 'https://s3.test/bucket/object';
type Front = ReturnType<typeof conditionalPutFront>;

const put = (front: Front, body: string, headers: Record<string, string> = {}): Promise<Response> =>
  front(url, { method: 'PUT', body, headers });
const etagOf = (response: Response): string => response.headers.get('etag') ?? '';
const told = async (response: Response): Promise<string> =>
  `${response.status} ${/<Code>(.*)<\/Code>/.exec(await response.text())?.[1] ?? ''}`.trim();

describe('conditionalPutFront', () => {
  test('keeps objects under their path, and tells when in whole seconds', async () => {
    const clock = new VirtualClock(1_700_000_000_700);
    const front = conditionalPutFront({ clock });
    expect(await told(await front(url))).toBe('404 NoSuchKey');
    const etag = etagOf(await put(front, 'one'));
    expect(etag).toMatch(/^"[0-9a-f]{32}"$/);
    await clock.advance(5_000);
    const got = await front(new Request(`${url}?x-id=GetObject`));
    expect(await got.text()).toBe('one');
    expect(etagOf(got)).toBe(etag);
    expect(Date.parse(got.headers.get('last-modified') ?? '')).toBe(1_700_000_000_000);
    expect(Date.parse(got.headers.get('date') ?? '')).toBe(1_700_000_005_000);
    expect(await told(await front(`${url}2`))).toBe('404 NoSuchKey');
    expect((await front(url, { method: 'DELETE' })).status).toBe(204);
    expect((await front(url)).status).toBe(404);
    expect(await told(await front(url, { method: 'POST' }))).toBe('405 MethodNotAllowed');
  });

  test('writes on condition alone, and equal content has an equal etag', async () => {
    const front = conditionalPutFront();
    expect(await told(await put(front, 'x', { 'if-match': '"0"' }))).toBe('404 NoSuchKey');
    const one = etagOf(await put(front, 'one', { 'if-none-match': '*' }));
    expect(await told(await put(front, 'two', { 'if-none-match': '*' }))).toBe('412 PreconditionFailed');
    expect(await told(await put(front, 'two', { 'if-match': '"0"' }))).toBe('412 PreconditionFailed');
    const two = etagOf(await put(front, 'two', { 'if-match': one }));
    expect(two).not.toBe(one);
    expect(await told(await front(url, { method: 'DELETE', headers: { 'if-match': one } }))).toBe(
      '412 PreconditionFailed',
    );
    expect(await told(await put(front, 'x', { 'if-none-match': two }))).toBe('501 NotImplemented');
    expect(etagOf(await put(front, 'one', { 'if-match': two }))).toBe(one);
    expect(await (await front(url)).text()).toBe('one');
  });

  test('removes on condition alone', async () => {
    const front = conditionalPutFront();
    const remove = async (etag: string): Promise<string> =>
      told(await front(url, { method: 'DELETE', headers: { 'if-match': etag } }));
    expect(await remove('"0"')).toBe('404 NoSuchKey');
    const one = etagOf(await put(front, 'one'));
    const two = etagOf(await put(front, 'two'));
    expect(await remove(one)).toBe('412 PreconditionFailed');
    expect(await (await front(url)).text()).toBe('two');
    expect(await remove(two)).toBe('204');
    expect(await told(await front(url))).toBe('404 NoSuchKey');
  });

  test('lists what begins with a prefix, page by page, in the order of names', async () => {
    const front = conditionalPutFront({ pageSize: 2 });
    for (const name of ['a/1', 'a/2', 'a/3', 'a/%26%3Cé', 'b']) {
      await front(`https://s3.test/bucket/${name}`, { method: 'PUT', body: 'x' });
    }
    await front('https://s3.test/bucket2/a/9', { method: 'PUT', body: 'x' });
    const pages = async (prefix: string, bucket = 'https://s3.test/bucket'): Promise<string[][]> => {
      const found: string[][] = [];
      for (let token: string | undefined = ''; token !== undefined; ) {
        const query = `?list-type=2&prefix=${prefix}${token && `&continuation-token=${encodeURIComponent(token)}`}`;
        const text: string = await (await front(bucket + query)).text();
        found.push([...text.matchAll(/<Key>(.*?)<\/Key>/g)].map(([, name = '']) => name));
        token = /<NextContinuationToken>(.*)<\/Next/.exec(text)?.[1];
        expect(text).toContain(`<IsTruncated>${token !== undefined}</IsTruncated>`);
      }
      return found;
    };
    expect(await pages('a%2F')).toEqual([
      ['a/&#38;&#60;é', 'a/1'],
      ['a/2', 'a/3'],
    ]);
    expect(await pages('', 'https://s3.test/bucket/')).toHaveLength(3);
    expect(await pages('none')).toEqual([[]]);
  });

  test('of many who create at once one is first', async () => {
    const front = conditionalPutFront();
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => put(front, `${i}`, { 'if-none-match': '*' })));
    expect(all.filter(({ status }) => status === 200)).toHaveLength(1);
  });

  test.each<[fault: FrontFault, told: string, isWritten: boolean]>([
    ['unreachable', 'rejects', false],
    ['lost', 'rejects', true],
    ['unavailable', '503 SlowDown', false],
    ['broken', '500 InternalError', true],
    ['conflict', '409 ConditionalRequestConflict', false],
    ['precondition', '412 PreconditionFailed', false],
    ['missing', '404 NoSuchKey', false],
    ['unconditional', '200', true],
  ])('%s: %s', async (fault, expected, isWritten) => {
    let wrong: FrontFault | undefined;
    const methods: string[] = [];
    const front = conditionalPutFront({
      fault(request) {
        methods.push(request.method);
        return wrong;
      },
    });
    await put(front, 'before');
    wrong = fault;
    // A condition that does not hold, so that only what ignores it gets through; or that holds.
    const headers: Record<string, string> = fault === 'unconditional' ? { 'if-none-match': '*' } : {};
    const answer = await put(front, 'after', headers).then(told, () => 'rejects');
    expect(answer).toBe(expected);
    wrong = undefined;
    expect(await (await front(url)).text()).toBe(isWritten ? 'after' : 'before');
    expect(methods).toEqual(['PUT', 'PUT', 'GET']);
  });
});
