import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { someBytes, startStudio, until } from './running.ts';

const CHUNK = 1024;

/** A client that has sent the first half of a chunk and takes its time. */
function sendHalf(url: string, id: string, bytes: Uint8Array): ClientRequest {
  const sent = request(`${url}/uploads/${id}/chunks/0`, {
    method: 'PUT',
    agent: false,
    headers: {
      'content-length': String(CHUNK),
      'content-digest': `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`,
    },
  });
  sent.on('error', () => undefined);
  sent.write(bytes.subarray(0, CHUNK / 2));
  return sent;
}

const sample = { path: '', name: 'a.bin', sizeBytes: CHUNK, contentType: 'application/octet-stream' };

test('a client that sends slowly holds no lock: another one of the same chunk passes it, and both are answered', async () => {
  const { url, directory, client } = await startStudio();
  const { id } = await client.create(sample);
  const bytes = someBytes(CHUNK);
  const folder = join(directory, 'chunks', id);
  const parts = async (): Promise<number> => (await readdir(folder)).filter((name) => name.endsWith('.part')).length;

  const slow = sendHalf(url, id, bytes);
  await until(async () => (await parts()) === 1);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toContain('chunks_locks_active 0\n');
  expect(await client.putChunk(id, 0, bytes)).toBe(204);
  const answered = once(slow, 'response') as Promise<[IncomingMessage]>;
  slow.end(bytes.subarray(CHUNK / 2));
  const [response] = await answered;
  expect(response.statusCode).toBe(204);
  expect(await parts()).toBe(0);
  expect((await client.status(id)).missing).toEqual([]);
});

test('a client that goes away in mid-chunk leaves nothing behind, and no alarm in the log', async () => {
  const { url, directory, client, events } = await startStudio();
  const { id } = await client.create(sample);
  const folder = join(directory, 'chunks', id);
  const before = await readdir(folder);
  const slow = sendHalf(url, id, someBytes(CHUNK));
  await until(async () => (await readdir(folder)).length > before.length);
  slow.destroy();
  await until(async () => (await readdir(folder)).length === before.length);
  expect((await client.status(id)).missing).toEqual([0]);
  expect(events.filter(({ event }) => event === 'failure')).toEqual([]);
});

test('an upload is deleted while a client sends: the sender is told, and nothing comes back', async () => {
  const { url, directory, client } = await startStudio();
  const { id } = await client.create(sample);
  const bytes = someBytes(CHUNK);
  const folder = join(directory, 'chunks', id);
  const slow = sendHalf(url, id, bytes);
  await until(async () => (await readdir(folder)).some((name) => name.endsWith('.part')));
  expect((await fetch(`${url}/uploads/${id}`, { method: 'DELETE' })).status).toBe(204);
  const answered = once(slow, 'response') as Promise<[IncomingMessage]>;
  slow.end(bytes.subarray(CHUNK / 2));
  const [response] = await answered;
  expect(response.statusCode).toBe(404);
  expect(await readdir(join(directory, 'chunks'))).toEqual([]);
  expect(await readdir(join(directory, 'records'))).toEqual([]);
});

test('a chunk sent again, slowly, after which the file was assembled: it comes too late, and is told so', async () => {
  const { url, directory, client } = await startStudio();
  const { id } = await client.create(sample);
  const bytes = someBytes(CHUNK);
  const slow = sendHalf(url, id, bytes);
  await until(async () => (await readdir(join(directory, 'chunks', id))).some((name) => name.endsWith('.part')));
  expect(await client.putChunk(id, 0, bytes)).toBe(204);
  const report = await client.assemble(id);
  const answered = once(slow, 'response') as Promise<[IncomingMessage]>;
  slow.end(bytes.subarray(CHUNK / 2));
  const [response] = await answered;
  expect(response.statusCode).toBe(409);
  expect(await client.assemble(id)).toEqual(report);
});
