import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { readOptions } from '../src/options.ts';
import { type Running, runStudio } from '../src/run.ts';
import { Client } from '../src/self-test/client.ts';
import { Report } from '../src/self-test/report.ts';

/** A folder that is gone when the test is over. */
export async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'studio-test-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export interface TestStudio extends Running {
  readonly client: Client;
  /** Events that it logged. */
  readonly events: { readonly event: string; readonly fields: Readonly<Record<string, unknown>> }[];
  readonly said: string[];
}

/** A studio in this process, on a free port and in a folder of its own, stopped when the test is over. */
export async function startStudio(...args: string[]): Promise<TestStudio> {
  const data = await temporary();
  const events: TestStudio['events'] = [];
  const said: string[] = [];
  const defaults = ['--port', '0', '--data', data, '--chunk-size', '1024', '--cache-chunk-size', '4096'];
  const options = readOptions([...defaults, '--origin-pace', '0', '--origin-latency', '0', ...args]);
  const running = await runStudio(options, {
    say: (line) => said.push(line),
    log: (event, fields = {}) => events.push({ event, fields }),
  });
  onTestFinished(running.stop);
  return { ...running, client: new Client(running.url), events, said };
}

/** A report whose failures a test can show. */
export function reporter(): { report: Report; failures: () => string[] } {
  const lines: string[] = [];
  return {
    report: new Report((line) => lines.push(line)),
    failures: () => lines.filter((line) => line.includes('FAIL')),
  };
}

/** Bytes of which every stretch differs. */
export function someBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0, state = 1; at < length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[at] = state >>> 16;
  }
  return bytes;
}

/** Sends the whole file and has it assembled. @returns its id */
export async function store(
  client: Client,
  bytes: Uint8Array<ArrayBuffer>,
  contentType = 'video/webm',
): Promise<string> {
  const { id, chunkCount, chunkSizeBytes } = await client.create({
    path: '',
    name: 'clip.webm',
    sizeBytes: bytes.byteLength,
    contentType,
  });
  for (let index = 0; index < chunkCount; index++) {
    const status = await client.putChunk(id, index, bytes.slice(index * chunkSizeBytes, (index + 1) * chunkSizeBytes));
    if (status !== 204) throw new Error(`Chunk ${index} was answered ${status}`);
  }
  await client.assemble(id);
  return id;
}

/** Waits for what must come; fails by the test's own timeout. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10));
}
