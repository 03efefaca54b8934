import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { UsageError } from '../options.ts';

const MIB = 1024 * 1024;
const SAMPLE_WEBM: string = join(import.meta.dirname, '../../sample/sample.webm');

const TYPES: Readonly<Record<string, string>> = {
  '.webm': 'video/webm',
  '.mp4': 'video/mp4',
  '.mkv': 'video/x-matroska',
  '.mov': 'video/quicktime',
  '.wav': 'audio/wav',
  '.mp3': 'audio/mpeg',
  '.ogg': 'audio/ogg',
};

/** A file to send through the studio. */
export interface Sample {
  readonly path: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly contentType: string;
}

/** @throws UsageError unless it is a file that can be read */
export async function sampleOf(path: string): Promise<Sample> {
  const found = await stat(path).catch((error: Error) => {
    throw new UsageError(`${path} cannot be tested with: ${error.message}`);
  });
  if (!found.isFile()) throw new UsageError(`${path} is no file`);
  const contentType = TYPES[extname(path).toLowerCase()] ?? 'application/octet-stream';
  return { path, name: basename(path), sizeBytes: found.size, contentType };
}

/** Its own: a small video of the repository, and a WAV of 64 MB that is the same byte for byte on every machine. */
export async function ownSamples(directory: string): Promise<Sample[]> {
  const wav = join(directory, 'sweep.wav');
  await writeWav(wav, 64 * MIB);
  return [await sampleOf(SAMPLE_WEBM), await sampleOf(wav)];
}

const SAMPLE_RATE = 48_000;

/** 16-bit mono, a tone that rises: every stretch differs from every other, so a misplaced chunk shows. */
async function writeWav(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.write(wavHeader(sizeBytes - 44));
    // Integers only: sines may differ in their last bit between machines.
    let phase = 0;
    let step = 200;
    for (let at = 44; at < sizeBytes; ) {
      const samples = new Int16Array(Math.min(MIB, sizeBytes - at) / 2);
      for (let i = 0; i < samples.length; i++) {
        phase = (phase + step) & 0xffff;
        samples[i] = ((phase < 0x8000 ? phase : 0xffff - phase) - 0x4000) >> 1;
        if ((i & 0x3ff) === 0) step = 200 + ((step + 1) % 3000);
      }
      await file.write(new Uint8Array(samples.buffer));
      at += samples.byteLength;
    }
  } finally {
    await file.close();
  }
}

function wavHeader(dataBytes: number): Uint8Array {
  const header = Buffer.alloc(44);
  header.write('RIFF', 0, 'ascii');
  header.writeUInt32LE(36 + dataBytes, 4);
  header.write('WAVEfmt ', 8, 'ascii');
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(SAMPLE_RATE, 24);
  header.writeUInt32LE(SAMPLE_RATE * 2, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write('data', 36, 'ascii');
  header.writeUInt32LE(dataBytes, 40);
  return header;
}

/** sha-256 of a stream of bytes, hex. */
export async function digestOf(source: AsyncIterable<Uint8Array>): Promise<{ hex: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of source) {
    hash.update(piece);
    bytes += piece.byteLength;
  }
  return { hex: hash.digest('hex'), bytes };
}

export const digestOfFile = (path: string): Promise<{ hex: string; bytes: number }> =>
  digestOf(createReadStream(path, { highWaterMark: MIB }));

/** Exactly that stretch of the file. */
export async function readSlice(
  file: FileHandle,
  startByte: number,
  endByte: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const slice = new Uint8Array(endByte - startByte);
  for (let at = 0; at < slice.byteLength; ) {
    const { bytesRead } = await file.read(slice, at, slice.byteLength - at, startByte + at);
    if (bytesRead === 0) throw new Error('The file became shorter while it was tested with');
    at += bytesRead;
  }
  return slice;
}
