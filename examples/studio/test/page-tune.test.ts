import { expect, test } from 'vitest';
import { makeTune } from '../page/upload/tune.ts';

async function bytesOf(sizeBytes: number): Promise<DataView> {
  const blob = await makeTune(sizeBytes, async () => {});
  return new DataView(await blob.arrayBuffer());
}

test('is as long as asked for, and its header says so', async () => {
  const sizeBytes = 44 + 4 * 300_000;
  const bytes = await bytesOf(sizeBytes);
  expect(bytes.byteLength).toBe(sizeBytes);
  expect(bytes.getUint32(4, true)).toBe(sizeBytes - 8);
  expect(bytes.getUint32(40, true)).toBe(sizeBytes - 44);
  expect(bytes.getUint32(28, true)).toBe(48_000 * 4);
});

test('is loud enough to be heard, and no two stretches of it are alike', async () => {
  const [stretches, frames] = [16, 65_536];
  const bytes = await bytesOf(44 + 4 * frames * stretches);
  const heard = Array.from({ length: stretches }, (_, stretch) => {
    const samples = Array.from({ length: frames }, (_, index) =>
      bytes.getInt16(44 + (stretch * frames + index) * 4, true),
    );
    expect(samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0)).toBeGreaterThan(5000);
    return samples.join();
  });
  expect(new Set(heard).size).toBe(stretches);
});

test('refuses a size that no WAV can have', async () => {
  await expect(makeTune(44, async () => {})).rejects.toThrow('sizeBytes must be 44 and a multiple of 4, got 44');
  await expect(makeTune(1001, async () => {})).rejects.toThrow(RangeError);
});
