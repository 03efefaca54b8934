import type { FileHandle } from 'node:fs/promises';
import type { UploadStatus } from '../protocol.ts';
import type { Chance } from './chance.ts';
import { type Client, inParallel } from './client.ts';
import { readSlice } from './samples.ts';

const WIDTH = 4;

interface Step {
  readonly index: number;
  readonly corrupted: boolean;
}

/** What happened while chunks were sent in random order, some twice, some corrupted. */
export interface Sent {
  readonly acknowledged: Set<number>;
  readonly duplicates: number;
  readonly corrupted: number;
  /** Corrupted slices that were taken: must be none. */
  readonly wronglyTaken: number;
  /** Right slices that were refused: must be none. */
  readonly wronglyRefused: readonly number[];
  /** The server went away before all were sent. */
  readonly cut: boolean;
}

export interface Sending {
  readonly client: Client;
  readonly upload: UploadStatus;
  readonly file: FileHandle;
  readonly chance: Chance;
  readonly indices: readonly number[];
  /** Called once when so many requests were answered. */
  readonly after?: { readonly answers: number; act(): void } | undefined;
}

/** Each index once, a sixth of them again, a sixth of them corrupted first; at least one of each when there is any. */
function plan(indices: readonly number[], chance: Chance): Step[] {
  const steps: Step[] = indices.map((index) => ({ index, corrupted: false }));
  const some = Math.ceil(indices.length / 6);
  for (const index of chance.shuffled(indices).slice(0, some)) steps.push({ index, corrupted: false });
  for (const index of chance.shuffled(indices).slice(0, some)) steps.push({ index, corrupted: true });
  return chance.shuffled(steps);
}

export const stepsFor = (indices: readonly number[]): number => indices.length + 2 * Math.ceil(indices.length / 6);

export async function sendChunks({ client, upload, file, chance, indices, after }: Sending): Promise<Sent> {
  const acknowledged = new Set<number>();
  const wronglyRefused: number[] = [];
  const counts = { answers: 0, duplicates: 0, corrupted: 0, wronglyTaken: 0 };
  let cut = false;

  const send = async ({ index, corrupted }: Step): Promise<void> => {
    if (cut) return;
    const startByte = index * upload.chunkSizeBytes;
    const bytes = await readSlice(file, startByte, Math.min(upload.sizeBytes, startByte + upload.chunkSizeBytes));
    let sent = bytes;
    if (corrupted) {
      sent = bytes.slice();
      const at = chance.below(sent.byteLength);
      sent[at] = (sent[at] as number) ^ (1 + chance.below(255));
    }
    let status: number;
    try {
      status = await client.putChunk(upload.id, index, bytes, sent);
    } catch {
      cut = true;
      return;
    }
    if (corrupted) {
      counts.corrupted++;
      if (status !== 400) counts.wronglyTaken++;
    } else if (status !== 204) wronglyRefused.push(status);
    else if (acknowledged.has(index)) counts.duplicates++;
    else acknowledged.add(index);
    if (++counts.answers === after?.answers) after.act();
  };

  await inParallel(plan(indices, chance), WIDTH, send);
  return { acknowledged, ...counts, wronglyRefused, cut };
}
