import { BodyLengthError, type RangeResource, rangeResponse } from '@chunks/assemble/http';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

// A checker from outside: it knows a URL, what it sends and what must come back; nothing of how the answer is made.

const URL = 'http://files.test/clip';
const SIZE = 26;
const TEXT = 'abcdefghijklmnopqrstuvwxyz';
const CONTENT = new TextEncoder().encode(TEXT);
const MODIFIED = 'Tue, 01 Sep 2020 10:00:00 GMT';
const EARLIER = 'Tue, 01 Sep 2020 09:59:59 GMT';
const LATER = 'Tue, 01 Sep 2020 10:00:01 GMT';

const resourceOf = (content: Uint8Array, more: Partial<RangeResource> = {}): RangeResource => ({
  totalBytes: content.byteLength,
  etag: '"v1"',
  lastModified: new Date(Date.parse(MODIFIED) + 123),
  contentType: 'text/plain',
  headers: { 'cache-control': 'max-age=60', 'access-control-allow-origin': '*', vary: 'origin' },
  read: ({ startByte, endByte }) => content.subarray(startByte, endByte),
  ...more,
});

interface Case {
  readonly name: string;
  readonly method?: string;
  readonly send?: Record<string, string>;
  readonly of?: Partial<RangeResource> & { content?: Uint8Array };
  readonly status: number;
  /** Null: the header must be absent. */
  readonly headers?: Record<string, string | null>;
  readonly body?: string;
}

const WHOLE: Pick<Case, 'status' | 'headers' | 'body'> = {
  status: 200,
  body: TEXT,
  headers: {
    'accept-ranges': 'bytes',
    'content-length': '26',
    'content-range': null,
    'content-type': 'text/plain',
    etag: '"v1"',
    'last-modified': MODIFIED,
    'cache-control': 'max-age=60',
    vary: 'origin',
  },
};
const part = (first: number, last: number): Pick<Case, 'status' | 'headers' | 'body'> => ({
  status: 206,
  body: TEXT.slice(first, last + 1),
  headers: {
    ...WHOLE.headers,
    'content-length': String(last + 1 - first),
    'content-range': `bytes ${first}-${last}/26`,
  },
});
const UNSATISFIABLE: Pick<Case, 'status' | 'headers' | 'body'> = {
  status: 416,
  body: '',
  headers: {
    'content-range': 'bytes */26',
    'content-length': '0',
    'content-type': null,
    'cache-control': null,
    'access-control-allow-origin': '*',
  },
};
const NOT_MODIFIED: Pick<Case, 'status' | 'headers' | 'body'> = {
  status: 304,
  body: '',
  headers: {
    etag: '"v1"',
    'cache-control': 'max-age=60',
    vary: 'origin',
    'content-type': null,
    'content-length': null,
    'content-range': null,
  },
};
const FAILED: Pick<Case, 'status' | 'headers' | 'body'> = {
  status: 412,
  body: '',
  headers: { 'content-length': '0', 'content-range': null, 'cache-control': null },
};
const NINES = '9'.repeat(400);
const r = (range: string, more: Record<string, string> = {}): Record<string, string> => ({ range, ...more });

const single: Case[] = [
  { name: 'no Range', ...WHOLE },
  { name: 'first byte', send: r('bytes=0-0'), ...part(0, 0) },
  { name: 'last byte', send: r('bytes=25-25'), ...part(25, 25) },
  { name: 'middle', send: r('bytes=3-7'), ...part(3, 7) },
  { name: 'open end', send: r('bytes=20-'), ...part(20, 25) },
  { name: 'from 0 with open end', send: r('bytes=0-'), ...part(0, 25) },
  { name: 'suffix', send: r('bytes=-4'), ...part(22, 25) },
  { name: 'suffix as long as the file', send: r('bytes=-26'), ...part(0, 25) },
  { name: 'suffix longer than the file', send: r('bytes=-27'), ...part(0, 25) },
  { name: 'huge suffix', send: r(`bytes=-${NINES}`), ...part(0, 25) },
  { name: 'last byte past the end', send: r('bytes=20-26'), ...part(20, 25) },
  { name: 'huge last byte', send: r(`bytes=20-${NINES}`), ...part(20, 25) },
  { name: 'leading zeros', send: r('bytes=0003-0007'), ...part(3, 7) },
  { name: 'unit in capitals', send: r('Bytes=3-7'), ...part(3, 7) },
  { name: 'empty list elements and blanks', send: r('bytes=, 3-7 ,\t,'), ...part(3, 7) },
  { name: 'starts at the length', send: r('bytes=26-'), ...UNSATISFIABLE },
  { name: 'starts past the length', send: r('bytes=27-99'), ...UNSATISFIABLE },
  { name: 'huge first byte', send: r(`bytes=${NINES}-`), ...UNSATISFIABLE },
  { name: 'both huge, equal as doubles, in order', send: r(`bytes=${NINES}8-${NINES}9`), ...UNSATISFIABLE },
  { name: 'both huge, equal as doubles, reversed', send: r(`bytes=${NINES}9-${NINES}8`), ...WHOLE },
  { name: 'suffix of nothing', send: r('bytes=-0'), ...UNSATISFIABLE },
  { name: 'suffixes of nothing', send: r('bytes=-0,-00'), ...UNSATISFIABLE },
  { name: 'reversed', send: r('bytes=7-3'), ...WHOLE },
  { name: 'letters', send: r('bytes=a-b'), ...WHOLE },
  { name: 'letter after digits', send: r('bytes=0-5x'), ...WHOLE },
  { name: 'hexadecimal', send: r('bytes=0x1-0x5'), ...WHOLE },
  { name: 'sign', send: r('bytes=+1-5'), ...WHOLE },
  { name: 'double dash', send: r('bytes=1--5'), ...WHOLE },
  { name: 'fraction', send: r('bytes=1.0-5'), ...WHOLE },
  { name: 'blank inside', send: r('bytes=1 - 5'), ...WHOLE },
  { name: 'blank before =', send: r('bytes =1-5'), ...WHOLE },
  { name: 'dash alone', send: r('bytes=-'), ...WHOLE },
  { name: 'nothing', send: r('bytes='), ...WHOLE },
  { name: 'commas alone', send: r('bytes=,,'), ...WHOLE },
  { name: 'another unit', send: r('items=0-5'), ...WHOLE },
  { name: 'no unit', send: r('0-5'), ...WHOLE },
  { name: 'one bad part spoils all', send: r('bytes=0-5,x'), ...WHOLE },
  { name: 'one reversed part spoils all', send: r('bytes=0-5,9-8'), ...WHOLE },
  { name: 'two fields', send: r('bytes=0-5, bytes=7-8'), ...WHOLE },
];
const several: Case[] = [
  { name: 'overlapping become one', send: r('bytes=0-5,3-9'), ...part(0, 9) },
  { name: 'touching become one', send: r('bytes=5-9,0-4'), ...part(0, 9) },
  { name: 'one within the other', send: r('bytes=2-20,4-5'), ...part(2, 20) },
  { name: 'the satisfiable one of two', send: r('bytes=3-7,90-99'), ...part(3, 7) },
  { name: 'all outside', send: r('bytes=26-30,90-99,-0'), ...UNSATISFIABLE },
];
const conditional: Case[] = [
  { name: 'If-Match, same', send: { 'if-match': '"v1"' }, ...WHOLE },
  { name: 'If-Match, one of several', send: { 'if-match': '"a,b", W/"x" ,"v1"' }, ...WHOLE },
  { name: 'If-Match, any', send: { 'if-match': '*' }, ...WHOLE },
  { name: 'If-Match, other', send: { 'if-match': '"v2"' }, ...FAILED },
  { name: 'If-Match, weak', send: { 'if-match': 'W/"v1"' }, ...FAILED },
  { name: 'If-Match, unquoted', send: { 'if-match': 'v1' }, ...FAILED },
  { name: 'If-Match on a weak etag', send: { 'if-match': 'W/"v1"' }, of: { etag: 'W/"v1"' }, ...FAILED },
  { name: 'If-Match on no etag', send: { 'if-match': '"v1"' }, of: { etag: undefined }, ...FAILED },
  { name: 'If-Match any, on no etag', send: { 'if-match': '*' }, of: { etag: undefined }, status: 200, body: TEXT },
  {
    name: 'If-Match outranks If-Unmodified-Since',
    send: { 'if-match': '"v1"', 'if-unmodified-since': EARLIER },
    ...WHOLE,
  },
  { name: 'If-Unmodified-Since, same', send: { 'if-unmodified-since': MODIFIED }, ...WHOLE },
  { name: 'If-Unmodified-Since, earlier', send: { 'if-unmodified-since': EARLIER }, ...FAILED },
  { name: 'If-Unmodified-Since, no date', send: { 'if-unmodified-since': 'yesterday' }, ...WHOLE },
  {
    name: 'If-Unmodified-Since on no date',
    send: { 'if-unmodified-since': EARLIER },
    of: { lastModified: undefined },
    status: 200,
    body: TEXT,
  },
  { name: 'If-None-Match, same', send: { 'if-none-match': '"v1"' }, ...NOT_MODIFIED },
  { name: 'If-None-Match, weak', send: { 'if-none-match': '"v0", W/"v1"' }, ...NOT_MODIFIED },
  { name: 'If-None-Match, any', send: { 'if-none-match': '*' }, ...NOT_MODIFIED },
  { name: 'If-None-Match, other', send: { 'if-none-match': '"v2"' }, ...WHOLE },
  { name: 'If-None-Match, unquoted', send: { 'if-none-match': 'v1' }, ...WHOLE },
  {
    name: 'If-None-Match outranks If-Modified-Since',
    send: { 'if-none-match': '"v2"', 'if-modified-since': LATER },
    ...WHOLE,
  },
  { name: 'If-Modified-Since, same', send: { 'if-modified-since': MODIFIED }, ...NOT_MODIFIED },
  { name: 'If-Modified-Since, later', send: { 'if-modified-since': LATER }, ...NOT_MODIFIED },
  { name: 'If-Modified-Since, earlier', send: { 'if-modified-since': EARLIER }, ...WHOLE },
  {
    name: 'If-Modified-Since, RFC 850 form',
    send: { 'if-modified-since': 'Tuesday, 01-Sep-20 10:00:00 GMT' },
    ...NOT_MODIFIED,
  },
  {
    name: 'If-Modified-Since, asctime form',
    send: { 'if-modified-since': 'Tue Sep  1 10:00:00 2020' },
    ...NOT_MODIFIED,
  },
  { name: 'If-Modified-Since, ISO form', send: { 'if-modified-since': '2020-09-01T10:00:00Z' }, ...WHOLE },
  {
    name: '304 by date alone tells the date',
    send: { 'if-modified-since': MODIFIED },
    of: { etag: undefined },
    status: 304,
    headers: { 'last-modified': MODIFIED, etag: null },
    body: '',
  },
  { name: '412 comes before 304', send: { 'if-match': '"v2"', 'if-none-match': '"v1"' }, ...FAILED },
  { name: '304 comes before 206', send: r('bytes=0-0', { 'if-none-match': '"v1"' }), ...NOT_MODIFIED },
  { name: '304 comes before 416', send: r('bytes=99-', { 'if-none-match': '"v1"' }), ...NOT_MODIFIED },
  { name: '412 comes before 416', send: r('bytes=99-', { 'if-match': '"v2"' }), ...FAILED },
  { name: 'If-Range, same', send: r('bytes=3-7', { 'if-range': '"v1"' }), ...part(3, 7) },
  { name: 'If-Range, other', send: r('bytes=3-7', { 'if-range': '"v2"' }), ...WHOLE },
  { name: 'If-Range, weak', send: r('bytes=3-7', { 'if-range': 'W/"v1"' }), ...WHOLE },
  {
    name: 'If-Range, weak on both sides',
    send: r('bytes=3-7', { 'if-range': 'W/"v1"' }),
    of: { etag: 'W/"v1"' },
    status: 200,
    body: TEXT,
  },
  { name: 'If-Range, same date', send: r('bytes=3-7', { 'if-range': MODIFIED }), ...part(3, 7) },
  { name: 'If-Range, later date', send: r('bytes=3-7', { 'if-range': LATER }), ...WHOLE },
  { name: 'If-Range, earlier date', send: r('bytes=3-7', { 'if-range': EARLIER }), ...WHOLE },
  { name: 'If-Range, nonsense', send: r('bytes=3-7', { 'if-range': 'v1' }), ...WHOLE },
  { name: 'If-Range, any is no etag', send: r('bytes=3-7', { 'if-range': '*' }), ...WHOLE },
  { name: 'If-Range that fails comes before 416', send: r('bytes=99-', { 'if-range': '"v2"' }), ...WHOLE },
  { name: 'If-Range that holds, then 416', send: r('bytes=99-', { 'if-range': '"v1"' }), ...UNSATISFIABLE },
  { name: 'If-Range without Range', send: { 'if-range': '"v2"' }, ...WHOLE },
];
const other: Case[] = [
  { name: 'HEAD', method: 'HEAD', ...WHOLE, body: '' },
  { name: 'HEAD ignores Range', method: 'HEAD', send: r('bytes=3-7'), ...WHOLE, body: '' },
  { name: 'HEAD ignores a Range outside', method: 'HEAD', send: r('bytes=99-'), ...WHOLE, body: '' },
  { name: 'HEAD heeds If-None-Match', method: 'HEAD', send: { 'if-none-match': '"v1"' }, ...NOT_MODIFIED },
  { name: 'HEAD heeds If-Match', method: 'HEAD', send: { 'if-match': '"v2"' }, ...FAILED },
  ...['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'].map(
    (method): Case => ({
      name: method,
      method,
      status: 405,
      headers: { allow: 'GET, HEAD', 'cache-control': null },
      body: '',
    }),
  ),
  {
    name: 'empty file',
    of: { content: new Uint8Array() },
    status: 200,
    headers: { 'content-length': '0', 'accept-ranges': 'bytes' },
    body: '',
  },
  {
    name: 'empty file, first byte',
    send: r('bytes=0-'),
    of: { content: new Uint8Array() },
    status: 416,
    headers: { 'content-range': 'bytes */0' },
    body: '',
  },
  {
    name: 'empty file, suffix: no Content-Range could say it',
    send: r('bytes=-5'),
    of: { content: new Uint8Array() },
    status: 200,
    headers: { 'content-length': '0', 'content-range': null },
    body: '',
  },
  {
    name: 'unknown length',
    send: r('bytes=3-7'),
    of: { totalBytes: undefined },
    status: 200,
    headers: { 'content-length': null, 'content-range': null, 'accept-ranges': null, etag: '"v1"' },
    body: TEXT,
  },
  {
    name: 'a length that is unknown is not taken from the owner either',
    of: { totalBytes: undefined, headers: { 'content-length': '9', 'content-range': 'bytes 0-8/9' } },
    status: 200,
    headers: { 'content-length': null, 'content-range': null },
    body: TEXT,
  },
  {
    name: 'the owner cannot contradict what is sent',
    send: r('bytes=3-7'),
    of: { headers: { 'content-length': '9', 'content-range': 'bytes 0-8/9', 'accept-ranges': 'none', etag: '"x"' } },
    status: 206,
    headers: { 'content-length': '5', 'content-range': 'bytes 3-7/26', 'accept-ranges': 'bytes', etag: '"v1"' },
    body: 'defgh',
  },
];

describe.each([
  ['one range', single],
  ['several ranges', several],
  ['preconditions', conditional],
  ['methods, lengths, headers', other],
])('%s', (_, cases) => {
  test.each(cases)('$name', async ({ method = 'GET', send = {}, of: { content = CONTENT, ...more } = {}, ...want }) => {
    const response = await rangeResponse(new Request(URL, { method, headers: send }), resourceOf(content, more));
    expect(response.status).toBe(want.status);
    for (const [name, value] of Object.entries(want.headers ?? {})) {
      expect([name, response.headers.get(name)]).toEqual([name, value]);
    }
    if (want.body !== undefined) expect(await response.text()).toBe(want.body);
  });
});

/** Reads a multipart body as a client would: only by what the headers and the parts themselves say. */
async function readParts(response: Response): Promise<{ type: string; range: string; bytes: Uint8Array }[]> {
  const boundary = /^multipart\/byteranges; boundary=([0-9a-zA-Z]{1,70})$/.exec(
    response.headers.get('content-type') ?? '',
  );
  const body = new Uint8Array(await response.arrayBuffer());
  expect(String(body.byteLength)).toBe(response.headers.get('content-length'));
  const text = Array.from(body, (byte) => String.fromCharCode(byte)).join('');
  const [before, ...sections] = `\r\n${text}`.split(`\r\n--${boundary?.[1]}`);
  expect(before).toBe('');
  expect(sections.pop()).toBe('--\r\n');
  return sections.map((section) => {
    const [, head = '', content = ''] = /^\r\n(.*?)\r\n\r\n(.*)$/s.exec(section) ?? [];
    const fields = new Headers(
      head.split('\r\n').map((line): [string, string] => line.split(': ', 2) as [string, string]),
    );
    return {
      type: fields.get('content-type') ?? '',
      range: fields.get('content-range') ?? '',
      bytes: Uint8Array.from(content, (character) => character.charCodeAt(0)),
    };
  });
}

/**
 * An independent model, byte by byte: which positions each part of a Range names, then runs of them. Slow and plain,
 * and it shares nothing with the code it judges.
 */
function model(range: string, size: number): 'whole' | 'outside' | { first: number; last: number }[] {
  if (range.slice(0, 6).toLowerCase() !== 'bytes=') return 'whole';
  const named: Set<number>[] = [];
  let specs = 0;
  for (const raw of range.slice(6).split(',')) {
    const spec = [...raw].join('').replace(/^[ \t]+|[ \t]+$/g, '');
    if (spec === '') continue;
    specs++;
    const [from, to, ...rest] = spec.split('-');
    if (from === undefined || to === undefined || rest.length > 0 || from + to === '') return 'whole';
    if ([...(from + to)].some((character) => !'0123456789'.includes(character))) return 'whole';
    if (from !== '' && to !== '' && BigInt(from) > BigInt(to)) return 'whole';
    const positions = Array.from({ length: size }, (_, at) => at).filter((at) =>
      from === ''
        ? BigInt(size - at) <= BigInt(to)
        : BigInt(at) >= BigInt(from) && (to === '' || BigInt(at) <= BigInt(to)),
    );
    if (positions.length > 0) named.push(new Set(positions));
    else if (size === 0 && from === '' && BigInt(to) > 0n) return 'whole';
  }
  if (specs === 0) return 'whole';
  if (named.length === 0) return 'outside';
  // Runs of named bytes; a run stands where the first part that lies in it was asked for.
  const runs: { first: number; last: number; order: number }[] = [];
  for (let at = 0; at < size; at++) {
    const order = named.findIndex((set) => set.has(at));
    if (order < 0) continue;
    const run = runs.at(-1);
    if (run !== undefined && run.last === at - 1) {
      run.last = at;
      run.order = Math.min(run.order, order);
    } else {
      runs.push({ first: at, last: at, order });
    }
  }
  if (runs.length > 16) return 'whole';
  return runs.sort((a, b) => a.order - b.order).map(({ first, last }) => ({ first, last }));
}

const position = fc.oneof(
  { weight: 6, arbitrary: fc.nat(90).map(String) },
  { weight: 1, arbitrary: fc.constantFrom('00', '007', '9007199254740993', NINES) },
);
const spec = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(fc.nat(80), fc.nat(12)).map(([first, more]) => `${first}-${first + more}`) },
  { weight: 2, arbitrary: fc.tuple(position, position).map(([first, last]) => `${first}-${last}`) },
  { weight: 1, arbitrary: position.map((first) => `${first}-`) },
  { weight: 1, arbitrary: position.map((last) => `-${last}`) },
);
const rangeField = fc.oneof(
  { weight: 4, arbitrary: fc.array(spec, { minLength: 1, maxLength: 4 }).map((specs) => `bytes=${specs.join(',')}`) },
  {
    weight: 1,
    arbitrary: fc.array(spec, { minLength: 14, maxLength: 40 }).map((specs) => `bytes=${specs.join(', ')}`),
  },
  {
    weight: 2,
    arbitrary: fc
      .array(fc.constantFrom('bytes', 'Bytes', '=', '-', ',', ' ', '\t', '0', '1', '12', '7', 'x'), { maxLength: 12 })
      .map((tokens) => tokens.join('').replace(/^[ \t]+|[ \t]+$/g, '')),
  },
  {
    weight: 2,
    arbitrary: fc
      .array(fc.constantFrom('-', ',', ' ', '\t', '0', '3', '12', '7', '0-', '-1'), { maxLength: 8 })
      .map((tokens) => `bytes=${tokens.join('').replace(/[ \t]+$/g, '')}`),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'grapheme-ascii', maxLength: 12 }).map((text) => text.trim()) },
);

test('any length with any Range field gives what the model says, byte for byte', async () => {
  const seen = { whole: 0, outside: 0, one: 0, several: 0 };
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 64 }), rangeField, async (size, range) => {
      const content = Uint8Array.from({ length: size }, (_, at) => (at * 7 + 13) % 256);
      const response = await rangeResponse(new Request(URL, { headers: { range } }), resourceOf(content));
      const want = model(range, size);
      if (want === 'whole') {
        seen.whole++;
        expect(response.status).toBe(200);
        expect(response.headers.get('content-length')).toBe(String(size));
        expect(new Uint8Array(await response.arrayBuffer())).toEqual(content);
      } else if (want === 'outside') {
        seen.outside++;
        expect(response.status).toBe(416);
        expect(response.headers.get('content-range')).toBe(`bytes */${size}`);
      } else if (want.length === 1) {
        seen.one++;
        const { first = 0, last = 0 } = want[0] ?? {};
        expect(response.status).toBe(206);
        expect(response.headers.get('content-range')).toBe(`bytes ${first}-${last}/${size}`);
        expect(response.headers.get('content-length')).toBe(String(last - first + 1));
        expect(new Uint8Array(await response.arrayBuffer())).toEqual(content.slice(first, last + 1));
      } else {
        seen.several++;
        expect(response.status).toBe(206);
        expect(response.headers.get('content-range')).toBeNull();
        expect(await readParts(response)).toEqual(
          want.map(({ first, last }) => ({
            type: 'text/plain',
            range: `bytes ${first}-${last}/${size}`,
            bytes: content.slice(first, last + 1),
          })),
        );
      }
    }),
    { numRuns: 1500 },
  );
  // The generator must not have gone stale: every kind of answer was really met.
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(20);
});

test('sixteen parts are served, seventeen are not', async () => {
  const content = new Uint8Array(100).map((_, at) => at);
  const ask = (count: number): Promise<Response> => {
    const range = `bytes=${Array.from({ length: count }, (_, i) => `${i * 2}-${i * 2}`).join(',')}`;
    return rangeResponse(new Request(URL, { headers: { range } }), resourceOf(content));
  };
  expect((await readParts(await ask(16))).map(({ bytes }) => bytes[0])).toEqual(
    Array.from({ length: 16 }, (_, i) => i * 2),
  );
  expect((await ask(17)).headers.get('content-length')).toBe('100');
});

test('parts without a content type have no such line, and 206 keeps what the 200 would have had', async () => {
  const response = await rangeResponse(
    new Request(URL, { headers: { range: 'bytes=0-1,24-' } }),
    resourceOf(CONTENT, { contentType: undefined }),
  );
  for (const name of ['etag', 'last-modified', 'cache-control', 'vary', 'accept-ranges']) {
    expect(response.headers.get(name)).toBe(WHOLE.headers?.[name]);
  }
  expect(await readParts(response)).toEqual([
    { type: '', range: 'bytes 0-1/26', bytes: CONTENT.slice(0, 2) },
    { type: '', range: 'bytes 24-25/26', bytes: CONTENT.slice(24) },
  ]);
});

/** RFC 9110, 13.2.2, written down step by step, with numbers for dates and the comparisons of 8.8.3.2 as a table. */
function decision(
  method: string,
  has: { etag: string | undefined; date: number | undefined },
  sent: {
    match?: string[] | '*' | undefined;
    unmodified?: number | undefined;
    noneMatch?: string[] | '*' | undefined;
    modified?: number | undefined;
    range?: boolean | undefined;
    ifRange?: string | number | undefined;
  },
): number {
  const opaque = (tag: string): string => tag.slice(tag.indexOf('"'));
  const strong = (a: string): boolean => has.etag !== undefined && !(a + has.etag).includes('W/') && a === has.etag;
  const weak = (a: string): boolean => has.etag !== undefined && opaque(a) === opaque(has.etag);
  let step = 1;
  for (;;) {
    switch (step) {
      case 1:
        if (sent.match === undefined) step = 2;
        else if (sent.match === '*' || sent.match.some(strong)) step = 3;
        else return 412;
        break;
      case 2:
        if (sent.unmodified === undefined || has.date === undefined || has.date <= sent.unmodified) step = 3;
        else return 412;
        break;
      case 3:
        if (sent.noneMatch === undefined) step = 4;
        else if (sent.noneMatch === '*' || sent.noneMatch.some(weak)) return 304;
        else step = 5;
        break;
      case 4:
        if (sent.modified !== undefined && has.date !== undefined && has.date <= sent.modified) return 304;
        step = 5;
        break;
      default: {
        if (method !== 'GET' || sent.range !== true) return 200;
        if (sent.ifRange === undefined) return 206;
        return (typeof sent.ifRange === 'string' ? strong(sent.ifRange) : sent.ifRange === has.date) ? 206 : 200;
      }
    }
  }
}

test('any mixture of preconditions is decided in the order of the RFC', async () => {
  const base = Date.parse(MODIFIED) / 1000;
  const tag = fc.constantFrom('"a"', 'W/"a"', '"b"', 'W/"b"', '"a,b"', '""');
  const tags = fc.oneof(fc.constant('*' as const), fc.array(tag, { minLength: 1, maxLength: 3 }));
  const date = fc.integer({ min: base - 2, max: base + 2 });
  const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
    fc.option(arbitrary, { nil: undefined });
  const http = (seconds: number): string => new Date(seconds * 1000).toUTCString();
  const seen = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('GET', 'GET', 'HEAD'),
      fc.record({ etag: maybe(tag), date: maybe(date) }),
      fc.record({
        match: maybe(tags),
        unmodified: maybe(date),
        noneMatch: maybe(tags),
        modified: maybe(date),
        range: fc.boolean(),
        ifRange: maybe(fc.oneof(tag, date)),
      }),
      async (method, has, sent) => {
        const headers = new Headers();
        const list = (value: string[] | '*'): string => (value === '*' ? '*' : value.join(', '));
        if (sent.match !== undefined) headers.set('if-match', list(sent.match));
        if (sent.unmodified !== undefined) headers.set('if-unmodified-since', http(sent.unmodified));
        if (sent.noneMatch !== undefined) headers.set('if-none-match', list(sent.noneMatch));
        if (sent.modified !== undefined) headers.set('if-modified-since', http(sent.modified));
        if (sent.range) headers.set('range', 'bytes=1-2');
        if (sent.ifRange !== undefined) {
          headers.set('if-range', typeof sent.ifRange === 'string' ? sent.ifRange : http(sent.ifRange));
        }
        const lastModified = has.date === undefined ? undefined : new Date(has.date * 1000 + 999);
        const response = await rangeResponse(
          new Request(URL, { method, headers }),
          resourceOf(CONTENT, { etag: has.etag, lastModified }),
        );
        const want = decision(method, has, sent);
        seen.set(want, (seen.get(want) ?? 0) + 1);
        expect(response.status).toBe(want);
        const content = method === 'HEAD' || want >= 300 ? '' : want === 206 ? 'bc' : TEXT;
        expect(await response.text()).toBe(content);
      },
    ),
    { numRuns: 1500 },
  );
  expect([...seen.keys()].sort()).toEqual([200, 206, 304, 412]);
});

test('a body that does not fit its range fails, and its error says so', async () => {
  const short = await rangeResponse(new Request(URL), resourceOf(CONTENT, { read: () => CONTENT.subarray(1) }));
  expect(short.headers.get('content-length')).toBe('26');
  const error = await short.arrayBuffer().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(BodyLengthError);
  expect(error).toMatchObject({ code: 'BODY_LENGTH', gotBytes: 25, range: { startByte: 0, endByte: SIZE } });
});
