const SAMPLE_RATE = 48_000;
const CHANNELS = 2;
const FRAME_BYTES = CHANNELS * 2;
const HEADER_BYTES = 44;
const PART_FRAMES = 256 * 1024;
const BEAT_FRAMES = SAMPLE_RATE / 4;
/** Five tones that sound well in any order, as multiples of the lowest. */
const SCALE = [1, 9 / 8, 5 / 4, 3 / 2, 5 / 3];
const LOWEST_HZ = 220;

/**
 * A tune of exactly so many bytes (44 and a multiple of 4) as a WAV: something large to watch for whoever has no film
 * at hand. Its time runs with its bytes, so a jump lands on the very cell that was clicked.
 */
export async function makeTune(sizeBytes: number, breathe: () => Promise<void>): Promise<Blob> {
  const frames = (sizeBytes - HEADER_BYTES) / FRAME_BYTES;
  if (!Number.isInteger(frames) || frames < 1) {
    throw new RangeError(`sizeBytes must be 44 and a multiple of 4, got ${sizeBytes}`);
  }
  const parts: BlobPart[] = [headerOf(frames)];
  for (let frame = 0; frame < frames; frame += PART_FRAMES) {
    parts.push(partOf(frame, Math.min(PART_FRAMES, frames - frame)));
    // The page stays alive meanwhile.
    await breathe();
  }
  return new Blob(parts, { type: 'audio/wav' });
}

function partOf(firstFrame: number, frames: number): Int16Array<ArrayBuffer> {
  const samples = new Int16Array(frames * CHANNELS);
  for (let index = 0; index < frames; index += 1) {
    const frame = firstFrame + index;
    const beat = Math.floor(frame / BEAT_FRAMES);
    const fading = 1 - (frame % BEAT_FRAMES) / BEAT_FRAMES;
    const value = Math.sin((frame / SAMPLE_RATE) * 2 * Math.PI * toneOf(beat)) * fading * 9000;
    samples[index * CHANNELS] = value;
    samples[index * CHANNELS + 1] = value;
  }
  return samples;
}

/** Three counts of different length: no two parts of the file are alike. */
function toneOf(beat: number): number {
  const step = (beat * 3 + Math.floor(beat / 8) * 2 + Math.floor(beat / 37)) % SCALE.length;
  const octave = 1 + (Math.floor(beat / 16) % 2);
  return LOWEST_HZ * octave * (SCALE[step] ?? 1);
}

function headerOf(frames: number): ArrayBuffer {
  const header = new DataView(new ArrayBuffer(HEADER_BYTES));
  const word = (at: number, text: string): void => {
    for (let index = 0; index < text.length; index += 1) header.setUint8(at + index, text.charCodeAt(index));
  };
  word(0, 'RIFF');
  header.setUint32(4, HEADER_BYTES - 8 + frames * FRAME_BYTES, true);
  word(8, 'WAVEfmt ');
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, CHANNELS, true);
  header.setUint32(24, SAMPLE_RATE, true);
  header.setUint32(28, SAMPLE_RATE * FRAME_BYTES, true);
  header.setUint16(32, FRAME_BYTES, true);
  header.setUint16(34, 16, true);
  word(36, 'data');
  header.setUint32(40, frames * FRAME_BYTES, true);
  return header.buffer;
}
