import { readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LiveHub } from '../src/live/hub.ts';
import { someBytes, startStudio, store } from './running.ts';
import { uploadsFolder } from './uploads-folder.ts';

const file = (sizeBytes: number) => ({ name: 'a.webm', sizeBytes, contentType: 'video/webm' });

test('JSON nested thousands deep is bad input like any other', async () => {
  const { url, events } = await startStudio();
  const deep = `{"name":${'['.repeat(30_000)}${']'.repeat(30_000)},"sizeBytes":1}`;
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${url}/uploads`, { method: 'POST', headers, body: deep });
  expect([response.status, await response.json()]).toMatchObject([400, { type: 'urn:chunks:problem:bad-field' }]);
  expect(events).toEqual([]);
});

test.each(['text/html', 'image/SVG+xml'])('a stranger’s %s is no page of this origin, on no route', async (type) => {
  const { url, client } = await startStudio();
  const id = await store(client, new TextEncoder().encode('<script>alert(1)</script>'), type);
  for (const route of ['origin', 'play']) {
    const { headers } = await fetch(`${url}/${route}/${id}`);
    expect(headers.get('content-type')).toBe('application/octet-stream');
    expect(headers.get('content-disposition')).toMatch(/^attachment/);
    expect(headers.get('content-security-policy')).toContain('sandbox');
  }
});

test('an id written with percent signs is the same file: fetched once, and gone with it', async () => {
  const { url, client, directory } = await startStudio();
  const id = await store(client, someBytes(3_000));
  const spelled = `%${id.charCodeAt(0).toString(16)}${id.slice(1)}`;
  for (const name of [id, spelled, id]) await (await fetch(`${url}/play/${name}`)).arrayBuffer();
  expect((await client.json<{ ranges: unknown[] }>('GET', `/origin/${id}/requests`)).ranges).toHaveLength(1);
  expect((await fetch(`${url}/uploads/${id}`, { method: 'DELETE' })).status).toBe(204);
  expect(await readdir(join(directory, 'cache-4096', 'chunks'))).toEqual([]);
});

test('of many uploads opened at once no more are accepted than there is room for', async () => {
  const { open } = await uploadsFolder();
  const uploads = await open({ maxOpenUploads: 3 });
  const all = await Promise.allSettled(Array.from({ length: 20 }, () => uploads.create(file(10))));
  expect(all.filter((one) => one.status === 'fulfilled')).toHaveLength(3);
  expect(uploads.list()).toHaveLength(3);
});

test('a removal that could not be told frees its room, and is told when asked again or started again', async () => {
  const { directory, open, removed } = await uploadsFolder();
  const uploads = await open();
  const { hooks } = uploads.options;
  const tell = hooks.removed;
  const [asked, restarted] = [await uploads.create(file(10)), await uploads.create(file(10))];
  hooks.removed = async () => Promise.reject(new Error('disk full'));
  for (const upload of [asked, restarted]) {
    await upload.chunks.write(0, someBytes(10));
    await expect(uploads.remove(upload)).rejects.toThrow('disk full');
  }
  expect(await readdir(join(directory, 'chunks'))).toEqual([]);
  hooks.removed = tell;
  await uploads.remove(asked);
  expect(uploads.find(asked.id)).toBeUndefined();
  const again = await open();
  expect(again.list()).toEqual([]);
  expect(removed).toEqual([asked.id, restarted.id]);
  expect(await readdir(join(directory, 'records'))).toEqual([]);
});

test('garbage behind a request is never answered in the middle of the answer', async () => {
  const { url, client } = await startStudio('--origin-latency', '50');
  const bytes = someBytes(200_000);
  const id = await store(client, bytes);
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  const pieces: Buffer[] = [];
  socket.write(`GET /play/${id} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  for await (const piece of socket) {
    if (pieces.push(piece) === 1) socket.write('no HTTP at all\r\n\r\n');
  }
  expect(Buffer.concat(pieces).toString('latin1')).not.toContain('not-http');
});

test('a batch record that could not be read once is read again', async () => {
  let failures = 1;
  const errors: unknown[] = [];
  const hub = new LiveHub({
    everyMs: 5,
    source: {
      fileIds: () => [],
      file: () => undefined,
      panels: () => ({}) as never,
      batch: async () => {
        if (failures-- > 0) throw new Error('busy');
        return { id: 'studio', version: 7, status: 'open', files: [] };
      },
    },
    onError: (error) => errors.push(error),
  });
  const reader = hub.connect().getReader();
  const { value } = await reader.read();
  expect(new TextDecoder().decode(value)).toContain('"version":7');
  expect(errors).toHaveLength(1);
  hub.close();
});
