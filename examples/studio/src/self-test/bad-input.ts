import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { type BadRequest, CHUNK, everyBadRequest, TOTAL } from './bad-requests.ts';
import { Client } from './client.ts';
import type { Report } from './report.ts';

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** fetch would normalise paths, fill in lengths and forbid a Host: none of that here. */
function send(url: string, { method, path, headers, body }: BadRequest): Promise<Answer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const outgoing = request({ hostname, port, method, path, headers, agent: false }, (incoming) => {
      let text = '';
      incoming.setEncoding('utf8').on('data', (piece: string) => (text += piece));
      incoming.on('end', () => {
        const type = incoming.headers['content-type'] ?? '';
        resolve({ status: incoming.statusCode ?? 0, type, body: text });
      });
      incoming.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** Two uploads to be bad to: one open with its first chunk stored, one ready to play. */
async function prepare(client: Client): Promise<{ open: string; ready: string }> {
  const bytes = new Uint8Array(randomBytes(TOTAL));
  const part = (index: number): Uint8Array<ArrayBuffer> => bytes.slice(index * CHUNK, (index + 1) * CHUNK);
  const sample = { path: '', name: 'victim.bin', sizeBytes: TOTAL, contentType: 'application/octet-stream' };
  const open = await client.create(sample);
  const ready = await client.create(sample);
  for (const index of [0, 1, 2]) await client.putChunk(ready.id, index, part(index));
  await client.putChunk(open.id, 0, part(0));
  await client.assemble(ready.id);
  return { open: open.id, ready: ready.id };
}

/** All files of the studio but the databases, whose pages are nobody's business. */
async function filesIn(data: string): Promise<string> {
  const names: string[] = [];
  for (const folder of ['chunks', 'files', 'records']) {
    const entries = await readdir(join(data, folder), { recursive: true });
    names.push(...entries.map((name) => `${folder}/${name}`));
  }
  return names.sort().join('\n');
}

/** Sends every kind of bad input: each is refused as problem JSON, nothing is stored, the server lives on. */
export async function checkBadInput(url: string, data: string, report: Report): Promise<void> {
  const client = new Client(url);
  const victims = await prepare(client);
  const before = await filesIn(data);
  const batchBefore = JSON.stringify(await client.batch());
  const requests = everyBadRequest(victims);
  const wrong: string[] = [];
  for (const bad of requests) {
    const { status, type, body } = await send(url, bad);
    const problem = type.startsWith('application/problem+json') ? (JSON.parse(body) as { status?: unknown }) : {};
    if (status !== bad.status) wrong.push(`${bad.what} was answered ${status} instead of ${bad.status} ${body}`);
    else if (problem.status !== status) wrong.push(`${bad.what} was answered ${status} with ${type || 'nothing'}`);
  }
  report.check(
    wrong.length === 0,
    `${requests.length} kinds of bad input, each refused as problem JSON`,
    wrong.join('\n       '),
  );
  const same = (await filesIn(data)) === before && JSON.stringify(await client.batch()) === batchBefore;
  report.check(same, 'nothing of it was stored');
  const health = await client.json<{ status: string }>('GET', '/healthz');
  report.check(health.status === 'ok', 'the server lives on');
}
