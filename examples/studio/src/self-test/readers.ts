import { type FileHandle, open } from 'node:fs/promises';
import type { UploadStatus } from '../protocol.ts';
import type { Chance } from './chance.ts';
import type { Client } from './client.ts';
import type { Report } from './report.ts';
import { readSlice, type Sample } from './samples.ts';

const READERS = 200;
const MAX_RANGE_BYTES = 256 * 1024;
const HOT_PLACES = 8;

/** 200 readers at once of a cold file: each gets exactly its bytes, and the origin is asked for no byte twice. */
export async function checkReaders(
  { client, sample, upload, chance, report }: Readers,
  cacheChunkSizeBytes: number,
): Promise<void> {
  await client.emptyCache(upload.id);
  const { sizeBytes } = sample;
  // A few places that many want: that is where one fetch must serve all.
  const places = Array.from({ length: HOT_PLACES }, () => chance.below(sizeBytes));
  const ranges = Array.from({ length: READERS }, (_, reader) => {
    const startByte = Math.min(sizeBytes - 1, (places[reader % HOT_PLACES] as number) + chance.below(MAX_RANGE_BYTES));
    return { startByte, endByte: Math.min(sizeBytes, startByte + 1 + chance.below(MAX_RANGE_BYTES)) };
  });
  const file = await open(sample.path, 'r');
  try {
    const outcomes = await Promise.all(ranges.map((range) => readOne(client, upload.id, file, range)));
    const wrong = outcomes.filter((outcome) => outcome !== 'right');
    report.check(wrong.length === 0, `${READERS} parallel ranged readers, each byte-exact`, wrong[0]);
  } finally {
    await file.close();
  }
  const asked = (await client.originRequests(upload.id)).ranges;
  const perChunk = new Map<number, number>();
  for (const { startByte } of asked) {
    const chunk = Math.floor(startByte / cacheChunkSizeBytes);
    perChunk.set(chunk, (perChunk.get(chunk) ?? 0) + 1);
  }
  const most = Math.max(0, ...perChunk.values());
  const once = asked.length > 0 && most === 1;
  report.check(once, `the origin saw one request a chunk (${perChunk.size} chunks)`, `${most} for one chunk`);
}

export interface Readers {
  readonly client: Client;
  readonly sample: Sample;
  readonly upload: UploadStatus;
  readonly chance: Chance;
  readonly report: Report;
}

async function readOne(
  client: Client,
  id: string,
  file: FileHandle,
  { startByte, endByte }: { startByte: number; endByte: number },
): Promise<string> {
  const response = await client.play(id, { range: `bytes=${startByte}-${endByte - 1}` });
  const got = new Uint8Array(await response.arrayBuffer());
  if (response.status !== 206) return `answered ${response.status}`;
  const wanted = await readSlice(file, startByte, endByte);
  return Buffer.compare(got, wanted) === 0 ? 'right' : `bytes ${startByte} to ${endByte} differ`;
}
