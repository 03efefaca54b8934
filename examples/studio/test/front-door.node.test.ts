import { writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { claimDataFolder } from '../src/data-folder.ts';
import { readOptions, UsageError } from '../src/options.ts';
import { Client } from '../src/self-test/client.ts';
import { someBytes, startStudio, store, temporary } from './running.ts';

/** With a Host header of one's own, which fetch forbids. */
const statusFor = (url: string, headers: Record<string, string>, method = 'GET', path = '/healthz'): Promise<number> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const sent = request({ hostname, port, path, method, headers, agent: false }, (incoming) => {
      incoming.resume();
      resolve(incoming.statusCode ?? 0);
    });
    sent.on('error', reject).end();
  });

test.each([
  ['--prot', '80'],
  ['--port', '70000'],
  ['--port', '-1'],
  ['--port', 'http'],
  ['--chunk-size', '10'],
  ['--chunk-size', '1e9'],
  ['--max-file-bytes', '0'],
  ['--origin-latency', '1.5'],
  ['--allow-origin', 'example.org'],
  ['--allow-origin', 'https://example.org/page'],
  ['--token', 'short'],
  ['--host='],
  ['stray.mp4'],
  ['--port'],
])('the command line is refused: %s %s', (...args) => {
  expect(() => readOptions(args.filter((arg) => arg !== undefined))).toThrow(UsageError);
});

test('options are taken as given', () => {
  const options = readOptions(['--port', '0', '--chunk-size', '1048576', '--allow-origin', 'https://a.example']);
  expect(options).toMatchObject({ port: 0, chunkSizeBytes: 1_048_576, allowOrigins: ['https://a.example'] });
  expect(options).toMatchObject({ host: '127.0.0.1', cacheChunkSizeBytes: 10_485_760, selfTest: undefined });
  expect(readOptions(['--self-test', 'a', 'b']).selfTest).toEqual(['a', 'b']);
});

test('a data folder belongs to one studio at a time', async () => {
  const folder = await temporary();
  const first = claimDataFolder(undefined, folder);
  const second = claimDataFolder(undefined, folder);
  expect(second.path).toBe(`${first.path}-2`);
  expect(second.insteadOf).toBe(first.path);
  expect(() => claimDataFolder('.studio-data', folder)).toThrow(UsageError);
  first.release();
  const again = claimDataFolder('.studio-data', folder);
  expect(again.path).toBe(first.path);
  for (const claim of [second, again]) claim.release();
});

test('a data folder that cannot be one, and an address that is not here, are told in a line', async () => {
  const folder = await temporary();
  await writeFile(join(folder, 'file'), '');
  expect(() => claimDataFolder('file', folder)).toThrow(/cannot hold the data/);
  await expect(startStudio('--host', '192.0.2.1')).rejects.toThrow(/^Nothing can listen on 192\.0\.2\.1/);
});

test('a busy port: it says so and takes the next free one', async () => {
  const first = await startStudio();
  const port = new URL(first.url).port;
  const second = await startStudio('--port', port);
  expect(second.said[0]).toBe(`Port ${port} is in use: trying ${Number(port) + 1}`);
  expect(Number(new URL(second.url).port)).toBeGreaterThan(Number(port));
});

test('names it does not go by and pages of others are refused', async () => {
  const { url } = await startStudio('--allow-origin', 'https://friend.example');
  const own = new URL(url).host;
  expect(await statusFor(url, { host: own })).toBe(200);
  expect(await statusFor(url, { host: `localhost:${new URL(url).port}` })).toBe(200);
  expect(await statusFor(url, { host: 'evil.example' })).toBe(403);
  expect(await statusFor(url, { host: 'not a host' })).toBe(400);
  // 404 is the answer of the route itself: the guard let it pass.
  const remove = (headers: Record<string, string>): Promise<number> =>
    statusFor(url, headers, 'DELETE', '/uploads/none');
  expect(await remove({ host: own })).toBe(404);
  expect(await remove({ host: own, origin: url })).toBe(404);
  expect(await remove({ host: own, origin: 'https://friend.example', 'sec-fetch-site': 'cross-site' })).toBe(404);
  expect(await remove({ host: own, origin: 'https://evil.example' })).toBe(403);
  expect(await remove({ host: own, origin: 'null' })).toBe(403);
  expect(await remove({ host: own, 'sec-fetch-site': 'cross-site' })).toBe(403);
  const preflight = await fetch(`${url}/uploads`, { method: 'OPTIONS', headers: { origin: 'https://friend.example' } });
  expect(preflight.status).toBe(204);
  expect(preflight.headers.get('access-control-allow-origin')).toBe('https://friend.example');
});

test('with a token: nothing but /healthz without it; the page gets a cookie by its first address', async () => {
  const token = 'correct-horse';
  const { url, client } = await startStudio('--token', token);
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  for (const path of ['/', '/batches/studio', '/live', '/metrics', '/nothing']) {
    expect((await fetch(url + path)).status).toBe(401);
  }
  expect((await fetch(`${url}/?token=wrong-horse`)).status).toBe(401);
  expect((await fetch(`${url}/batches/studio`, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
  const door = await fetch(`${url}/?token=${token}`, { redirect: 'manual' });
  expect(door.status).toBe(303);
  const cookie = door.headers.get('set-cookie')?.split(';')[0] ?? '';
  expect((await fetch(`${url}/batches/studio`, { headers: { cookie } })).status).toBe(200);
  await expect(client.batch()).rejects.toThrow('401');
  // The cache asks its own origin, which wants the token, too.
  const known = new Client(url, { authorization: `Bearer ${token}` });
  const id = await store(known, someBytes(5_000));
  expect(new Uint8Array(await (await known.play(id)).arrayBuffer())).toEqual(someBytes(5_000));
});

test('the page comes with its script and style, under a policy that allows nothing from elsewhere', async () => {
  const { url } = await startStudio();
  const types = {
    '/': 'text/html',
    '/main.js': 'text/javascript',
    '/styles.css': 'text/css',
    '/sample.webm': 'video/webm',
  };
  for (const [path, type] of Object.entries(types)) {
    const response = await fetch(url + path);
    expect(response.headers.get('content-type')).toContain(type);
    expect(response.headers.get('content-security-policy')).toContain("default-src 'self'");
    expect((await response.arrayBuffer()).byteLength).toBeGreaterThan(0);
    const etag = response.headers.get('etag') ?? '';
    expect((await fetch(url + path, { headers: { 'if-none-match': etag } })).status).toBe(304);
  }
});
