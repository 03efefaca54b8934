import { createHash } from 'node:crypto';

/** One request that must be refused, as raw as a hostile client would send it. */
export interface BadRequest {
  readonly what: string;
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly status: number;
}

/** Sizes of the file that they are about. */
export const CHUNK = 1024;
export const TOTAL: number = 2 * CHUNK + 500;

const JSON_TYPE = { 'content-type': 'application/json' };
const digestOf = (body: Uint8Array): Record<string, string> => ({
  'content-digest': `sha-256=:${createHash('sha256').update(body).digest('base64')}:`,
});
const json = (what: string, method: string, path: string, body: unknown, status = 400): BadRequest => ({
  what,
  method,
  path,
  headers: JSON_TYPE,
  body: JSON.stringify(body),
  status,
});

function badCreations(): BadRequest[] {
  const good = { name: 'a.bin', sizeBytes: 10 };
  const create = (what: string, body: unknown, status?: number): BadRequest =>
    json(`create: ${what}`, 'POST', '/uploads', body, status);
  return [
    create('traversal in the name', { ...good, name: '../../etc/passwd' }),
    create('backslashes in the name', { ...good, name: '..\\..\\boot.ini' }),
    create('name ..', { ...good, name: '..' }),
    create('NUL in the name', { ...good, name: 'a\u0000b' }),
    create('empty name', { ...good, name: '' }),
    create('name of 300 characters', { ...good, name: 'a'.repeat(300) }),
    create('name is a number', { ...good, name: 7 }),
    create('negative size', { ...good, sizeBytes: -1 }),
    create('half a byte', { ...good, sizeBytes: 1.5 }),
    create('size as text', { ...good, sizeBytes: '10' }),
    create('size beyond integers', { ...good, sizeBytes: 1e300 }),
    create('larger than any file taken', { ...good, sizeBytes: 2 ** 50 }, 413),
    create('bad media type', { ...good, contentType: 'text/html\r\nx: y' }),
    create('a list', [], 400),
    { what: 'create: not JSON', method: 'POST', path: '/uploads', headers: JSON_TYPE, body: '{', status: 400 },
    {
      what: 'create: a form',
      method: 'POST',
      path: '/uploads',
      headers: { 'content-type': 'text/plain' },
      body: '{}',
      status: 415,
    },
    create('70 kB of JSON', { ...good, name: 'a'.repeat(70_000) }, 413),
  ];
}

function badChunks(id: string): BadRequest[] {
  const body = new Uint8Array(CHUNK);
  const put = (what: string, index: string, status: number, over: Partial<BadRequest> = {}): BadRequest => {
    const sent = over.body ?? body;
    const length = { 'content-length': String(sent.length) };
    const headers = over.headers ?? { ...digestOf(body), ...length };
    return {
      what: `chunk: ${what}`,
      method: 'PUT',
      path: `/uploads/${id}/chunks/${index}`,
      status,
      body: sent,
      headers,
    };
  };
  const short = body.subarray(1);
  const long = new Uint8Array(CHUNK + 1);
  return [
    put('index -1', '-1', 400),
    put('index 1.5', '1.5', 400),
    put('index 0x1', '0x1', 400),
    put('index 01', '01', 400),
    put('traversal as index', '..%2f..%2fx', 400),
    put('index beyond the last', '3', 404),
    put('huge index', '99999999999999999999', 400),
    put('one byte short', '1', 400, {
      body: short,
      headers: { ...digestOf(short), 'content-length': String(CHUNK - 1) },
    }),
    put('one byte long', '1', 413, { body: long, headers: { ...digestOf(long), 'content-length': String(CHUNK + 1) } }),
    put('length not said', '1', 411, { headers: { ...digestOf(body), 'transfer-encoding': 'chunked' } }),
    put('no digest', '1', 400, { headers: { 'content-length': String(CHUNK) } }),
    put('digest of another kind', '1', 400, {
      headers: { 'content-length': String(CHUNK), 'content-digest': 'md5=:abcd:' },
    }),
    put('digest cut short', '1', 400, {
      headers: { 'content-length': String(CHUNK), 'content-digest': 'sha-256=:abcd:' },
    }),
    put('wrong digest', '1', 400, { headers: { ...digestOf(short), 'content-length': String(CHUNK) } }),
    { ...put('unknown upload', '1', 404), path: `/uploads/${'f'.repeat(24)}/chunks/1` },
  ];
}

function badBatchCalls(open: string): BadRequest[] {
  const file = { fileId: 'x1', name: 'x.bin', sizeBytes: 1 };
  const files = '/batches/studio/files';
  return [
    { what: 'batch: unknown', method: 'GET', path: '/batches/other', status: 404 },
    { what: 'batch: traversal', method: 'GET', path: '/batches/..%2f..%2fetc', status: 404 },
    json('batch: start in an unknown one', 'POST', '/batches/other/files', file, 404),
    json('batch: traversal in the file id', 'POST', files, { ...file, fileId: '../x' }),
    json('batch: traversal in the name', 'POST', files, { ...file, name: '../x' }),
    json('batch: negative size', 'POST', files, { ...file, sizeBytes: -1 }),
    json('batch: another file of a known id', 'POST', files, { ...file, fileId: open }, 409),
    { what: 'batch: complete what never started', method: 'POST', path: `${files}/nobody/complete`, status: 404 },
    {
      what: 'batch: old If-Match',
      method: 'POST',
      path: `${files}/${open}/complete`,
      headers: { 'if-match': '"999999"' },
      status: 412,
    },
    {
      what: 'batch: If-Match that is no ETag',
      method: 'POST',
      path: `${files}/${open}/complete`,
      headers: { 'if-match': 'seven' },
      status: 400,
    },
    { what: 'batch: finalize with a file on its way', method: 'POST', path: '/batches/studio/finalize', status: 409 },
  ];
}

function badPlays(open: string, ready: string): BadRequest[] {
  const head = `/play/${ready}/playhead`;
  const settings = { paceBytesPerSecond: 0, latencyMs: 0, fault: 'none', faultEvery: 0 };
  const get = (what: string, path: string, status: number, headers = {}): BadRequest => ({
    what,
    method: 'GET',
    path,
    status,
    headers,
  });
  return [
    get('play: unknown', `/play/${'0'.repeat(24)}`, 404),
    get('play: traversal', '/play/..%2f..%2f..%2fetc%2fpasswd', 404),
    get('play: traversal in the raw path', '/play/../../../../etc/passwd', 404),
    get('play: not assembled yet', `/play/${open}`, 404),
    get('play: range beyond the end', `/play/${ready}`, 416, { range: `bytes=${TOTAL}-` }),
    get('play: range of huge numbers', `/play/${ready}`, 416, { range: 'bytes=99999999999999999999-' }),
    get('play: suffix of nothing', `/play/${ready}`, 416, { range: 'bytes=-0' }),
    get('origin: unknown', `/origin/${'0'.repeat(24)}`, 404),
    get('origin: range beyond the end', `/origin/${ready}`, 416, { range: `bytes=${TOTAL}-` }),
    json('playhead: negative', 'POST', head, { owner: 'a', byte: -1 }),
    json('playhead: beyond the end', 'POST', head, { owner: 'a', byte: TOTAL }),
    json('playhead: bad owner', 'POST', head, { owner: '../a', byte: 0 }),
    json('playhead: of an unknown file', 'POST', '/play/nobody/playhead', { owner: 'a', byte: 0 }, 404),
    { what: 'cache: unknown file', method: 'DELETE', path: '/play/nobody/cache', status: 404 },
    json('origin: negative pace', 'PUT', '/origin', { ...settings, paceBytesPerSecond: -1 }),
    json('origin: unknown fault', 'PUT', '/origin', { ...settings, fault: 'explode' }),
    json('origin: endless latency', 'PUT', '/origin', { ...settings, latencyMs: 1e9 }),
  ];
}

function badManners(open: string): BadRequest[] {
  const wrong = (method: string, path: string): BadRequest => ({
    what: `${method} ${path.replace(open, ':id')}`,
    method,
    path,
    status: 405,
  });
  return [
    wrong('GET', '/uploads'),
    wrong('PATCH', `/uploads/${open}`),
    wrong('GET', `/uploads/${open}/chunks/0`),
    wrong('GET', `/uploads/${open}/assemble`),
    wrong('DELETE', '/batches/studio'),
    wrong('PUT', '/batches/studio/files'),
    wrong('GET', `/batches/studio/files/${open}/complete`),
    wrong('GET', '/batches/studio/finalize'),
    wrong('POST', `/play/${open}`),
    wrong('GET', `/play/${open}/playhead`),
    wrong('GET', `/play/${open}/cache`),
    wrong('PUT', `/origin/${open}`),
    wrong('DELETE', '/origin'),
    wrong('POST', '/live'),
    wrong('PUT', '/metrics'),
    wrong('DELETE', '/healthz'),
    { what: 'unknown upload', method: 'GET', path: `/uploads/${'a'.repeat(24)}`, status: 404 },
    { what: 'upload: traversal', method: 'GET', path: '/uploads/..%2F..%2Fetc%2Fpasswd', status: 404 },
    { what: 'delete an unknown upload', method: 'DELETE', path: '/uploads/nobody', status: 404 },
    { what: 'assemble with chunks missing', method: 'POST', path: `/uploads/${open}/assemble`, status: 409 },
    { what: 'assemble an unknown upload', method: 'POST', path: '/uploads/nobody/assemble', status: 404 },
    { what: 'no such route', method: 'GET', path: '/etc/passwd', status: 404 },
    { what: 'foreign Host', method: 'GET', path: '/healthz', headers: { host: 'evil.example' }, status: 403 },
    {
      what: 'write from a foreign page',
      method: 'DELETE',
      path: `/uploads/${open}`,
      headers: { origin: 'http://evil.example' },
      status: 403,
    },
  ];
}

/** Bad input for every route. @param victims an upload whose first chunk of three is stored, and a finished one */
export const everyBadRequest = ({ open, ready }: { open: string; ready: string }): BadRequest[] => [
  ...badCreations(),
  ...badChunks(open),
  ...badBatchCalls(open),
  ...badPlays(open, ready),
  ...badManners(open),
];
