import { createHash } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { LiveDelta, LiveSnapshot } from '../src/protocol.ts';
import { checkBadInput } from '../src/self-test/bad-input.ts';
import { checkBatchUpdates } from '../src/self-test/batch-updates.ts';
import { reporter, someBytes, startStudio, store, until } from './running.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

test('bad input on every route is refused as problem JSON and stores nothing', async () => {
  const { url, directory, client, events } = await startStudio();
  const { report, failures } = reporter();
  await checkBadInput(url, directory, report);
  expect(failures()).toEqual([]);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toContain('chunks_size_mismatches_total{outcome="refused"} 2\n');
  expect(events.filter(({ event }) => event === 'size-mismatch')).toHaveLength(2);
  expect(events.filter(({ event }) => event === 'failure')).toEqual([]);
  expect((await client.batch()).files).toHaveLength(2);
});

test('parallel updates of the batch record are all kept', async () => {
  const { url } = await startStudio();
  const { report, failures } = reporter();
  await checkBatchUpdates(url, report);
  expect(failures()).toEqual([]);
});

test('a repeated start or complete changes nothing and says the version it had', async () => {
  const { client } = await startStudio();
  const start = { fileId: 'f-1', name: 'f.bin', sizeBytes: 5 };
  const first = await client.json('POST', '/batches/studio/files', start);
  const again = await client.json('POST', '/batches/studio/files', start);
  expect(first).toEqual({ version: 1, index: 0, file: { ...start, status: 'started', version: 1 } });
  expect(again).toEqual({ version: 1, file: { ...start, status: 'started', version: 1 } });
  const done = await client.json('POST', '/batches/studio/files/f-1/complete');
  expect(done).toEqual({ version: 2, index: 0, file: { ...start, status: 'complete', version: 2 } });
  expect(await client.json('POST', '/batches/studio/files/f-1/complete')).toMatchObject({ version: 2 });
  const final = { filesUploaded: 1, status: 'enqueued' };
  expect(await client.json('POST', '/batches/studio/finalize')).toEqual(final);
  expect(await client.json('POST', '/batches/studio/finalize')).toEqual(final);
  expect(await client.batch()).toMatchObject({ version: 3, status: 'enqueued' });
  await client.json('POST', '/batches/studio/files', { ...start, fileId: 'f-2' });
  expect(await client.batch()).toMatchObject({ version: 4, status: 'open' });
});

test('If-Match lets one of two through; the ETag is the version', async () => {
  const { url, client } = await startStudio();
  const start = (fileId: string): Promise<Response> =>
    fetch(`${url}/batches/studio/files`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'if-match': '"0"' },
      body: JSON.stringify({ fileId, name: fileId, sizeBytes: 1 }),
    });
  const statuses = (await Promise.all([start('a'), start('b')])).map((response) => response.status);
  expect(statuses.sort()).toEqual([201, 412]);
  const response = await fetch(`${url}/batches/studio`);
  expect(response.headers.get('etag')).toBe('"1"');
  const same = await fetch(`${url}/batches/studio`, { headers: { 'if-none-match': '"1"' } });
  expect(same.status).toBe(304);
  expect((await client.batch()).files).toHaveLength(1);
});

test('chunks in any order become the file; it plays whole and in ranges; assembling again answers the same', async () => {
  const { client } = await startStudio();
  const bytes = someBytes(10_000);
  const id = await store(client, bytes);
  const report = await client.assemble(id);
  expect(report).toMatchObject({ bytes: 10_000, chunks: 10, sha256: sha256(bytes) });
  expect(await client.assemble(id)).toEqual(report);
  const whole = await client.play(id);
  expect(whole.headers.get('content-type')).toBe('video/webm');
  expect(whole.headers.get('cache-control')).toBe('no-store');
  expect(sha256(new Uint8Array(await whole.arrayBuffer()))).toBe(sha256(bytes));
  const part = await client.play(id, { range: 'bytes=4000-8999' });
  expect(part.status).toBe(206);
  expect(part.headers.get('content-range')).toBe('bytes 4000-8999/10000');
  expect(new Uint8Array(await part.arrayBuffer())).toEqual(bytes.slice(4000, 9000));
  const { ranges } = await client.originRequests(id);
  expect(ranges.map((range) => range.startByte).sort((a, b) => a - b)).toEqual([0, 4096, 8192]);
  const { files } = await client.batch();
  expect(files).toMatchObject([{ fileId: id, status: 'complete' }]);
});

test('a chunk that vanished from the disk is missing again, and can be sent again', async () => {
  const { directory, client } = await startStudio();
  const sample = { path: '', name: 'a.bin', sizeBytes: 2_048, contentType: 'application/octet-stream' };
  const { id } = await client.create(sample);
  const bytes = someBytes(2_048);
  const put = (index: number): Promise<number> =>
    client.putChunk(id, index, bytes.slice(index * 1024, (index + 1) * 1024));
  expect(await Promise.all([put(0), put(1)])).toEqual([204, 204]);
  const folder = join(directory, 'chunks', id);
  const second = (await readdir(folder)).find((name) => name.startsWith('1-')) ?? '';
  await rm(join(folder, second));
  await expect(client.assemble(id)).rejects.toThrow('409');
  expect((await client.status(id)).missing).toEqual([1]);
  await put(1);
  expect(await client.assemble(id)).toMatchObject({ sha256: sha256(bytes) });
});

test('an empty file goes the whole way', async () => {
  const { client } = await startStudio();
  const id = await store(client, new Uint8Array(0));
  const response = await client.play(id);
  expect(response.status).toBe(200);
  expect((await response.arrayBuffer()).byteLength).toBe(0);
  expect((await client.play(id, { range: 'bytes=0-' })).status).toBe(416);
});

test('what a stranger uploaded is never served as a page of this origin', async () => {
  const { client } = await startStudio();
  const id = await store(client, new TextEncoder().encode('<script>alert(1)</script>'), 'text/html');
  const { headers } = await client.play(id);
  expect(headers.get('content-type')).toBe('application/octet-stream');
  expect(headers.get('content-disposition')).toMatch(/^attachment;/);
  expect(headers.get('x-content-type-options')).toBe('nosniff');
});

test('a deleted upload is gone everywhere', async () => {
  const { url, client } = await startStudio();
  const id = await store(client, someBytes(5_000));
  await (await client.play(id)).arrayBuffer();
  expect((await fetch(`${url}/uploads/${id}`, { method: 'DELETE' })).status).toBe(204);
  for (const path of [`/uploads/${id}`, `/play/${id}`, `/origin/${id}`]) {
    expect((await fetch(url + path)).status).toBe(404);
  }
  expect((await client.batch()).files).toEqual([]);
});

test('an origin that fails every second time, one way or the other: bodies are whole all the same', async () => {
  const { client } = await startStudio();
  const bytes = someBytes(9_000);
  const id = await store(client, bytes);
  for (const fault of ['status503', 'truncate']) {
    await client.emptyCache(id);
    const settings = { paceBytesPerSecond: 0, latencyMs: 0, fault, faultEvery: 2 };
    await client.json('PUT', '/origin', settings);
    const body = new Uint8Array(await (await client.play(id)).arrayBuffer());
    expect(sha256(body)).toBe(sha256(bytes));
  }
}, 20_000);

test('an origin that always fails: the reader is told so, and the log has one line for the chunk', async () => {
  const { client, events } = await startStudio();
  const id = await store(client, someBytes(3_000));
  const settings = { paceBytesPerSecond: 0, latencyMs: 0, fault: 'status503', faultEvery: 1 };
  await client.json('PUT', '/origin', settings);
  const response = await client.play(id);
  expect(response.status).toBe(502);
  expect(await response.json()).toMatchObject({ status: 502 });
  expect(response.headers.get('content-type')).toContain('application/problem+json');
  expect(events.filter(({ event }) => event === 'retry-exhausted')).toMatchObject([
    { fields: { fileId: id, chunk: 0, attempts: 3 } },
  ]);
}, 20_000);

test('the last reader leaves: the cache stops fetching', async () => {
  const { url, client } = await startStudio('--origin-pace', '8192');
  const id = await store(client, someBytes(40_000));
  const leave = new AbortController();
  const response = await fetch(`${url}/play/${id}`, { signal: leave.signal });
  const reader = response.body?.getReader();
  await reader?.read();
  const active = async (): Promise<number> => {
    const metrics = await (await fetch(`${url}/metrics`)).text();
    return Number(/^chunks_cache_fetches_active (\d+)$/m.exec(metrics)?.[1]);
  };
  expect(await active()).toBeGreaterThan(0);
  leave.abort();
  await until(async () => (await active()) === 0);
}, 20_000);

test('live: a snapshot, then what changes', async () => {
  const { url, client } = await startStudio();
  const response = await fetch(`${url}/live`);
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  let snapshot: LiveSnapshot | undefined;
  let stage: string | undefined;
  const id = store(client, someBytes(3_000));
  const decoder = new TextDecoder();
  let text = '';
  for await (const piece of response.body ?? []) {
    text += decoder.decode(piece, { stream: true });
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const [event = '', data = ''] = text.slice(0, end).split('\n');
      text = text.slice(end + 2);
      const value = JSON.parse(data.slice(6)) as LiveSnapshot & LiveDelta;
      if (event === 'event: snapshot') snapshot = value;
      stage = value.files?.[0]?.stage ?? stage;
    }
    if (stage === 'ready') break;
  }
  expect(snapshot?.batch).toMatchObject({ id: 'studio' });
  expect(snapshot?.panels.locks.amber).toBe(false);
  await id;
  // The loop's end has closed the connection: the hub hears of it.
  await until(async () => (await (await fetch(`${url}/metrics`)).text()).includes('chunks_live_clients 0\n'));
});

test('metrics have the names that dashboards know', async () => {
  const { url } = await startStudio();
  const text = await (await fetch(`${url}/metrics`)).text();
  for (const sample of [
    'chunks_size_mismatches_total{outcome="refused"} 0',
    'chunks_lock_wait_seconds_count 0',
    'chunks_state_attempts_total 0',
    'chunks_queue_depth{priority="CRITICAL"} 0',
    'chunks_uploads{stage="ready"} 0',
  ]) {
    expect(text.split('\n')).toContain(sample);
  }
});
