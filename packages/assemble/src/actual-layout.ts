import { type ByteRange, checkInteger } from '@chunks/base';
import { type ChunkMismatch, settledOrAborted } from './checked-chunk.ts';
import type { PlacedChunk } from './chunk-order.ts';
import { ChunkUnavailableError, SizeMismatchError } from './errors.ts';
import { slackOf } from './size-policy.ts';
import { slicesOf } from './slice-range.ts';
import type { ChunkInfo, SizePolicy } from './types.ts';

// Stores answer a question about a size quickly, but not thousands at once.
const ASKED_AT_ONCE = 16;

/**
 * Where chunks lie according to their real sizes, all of them: one wrong size shifts everything behind it.
 * A size beyond tolerance is refused, unless the chunk is going to be read and has a digest: then the digest decides.
 * @throws ChunkUnavailableError | SizeMismatchError
 */
export async function actualLayout(o: {
  chunks: readonly ChunkInfo[];
  nominal: readonly PlacedChunk[];
  policy: SizePolicy;
  range?: ByteRange | undefined;
  verify?: boolean | undefined;
  signal: AbortSignal;
  sizeOf: (index: number) => Promise<number | undefined>;
  onMismatch?: ((mismatch: ChunkMismatch) => void) | undefined;
}): Promise<PlacedChunk[]> {
  const sizes = await askSizes(o.nominal.length, o.sizeOf, o.signal);
  let at = 0;
  const layout = sizes.map((size, index) => ({ index, startByte: at, endByte: (at += size) }));
  const read = new Set(slicesOf(layout, o.range ?? { startByte: 0, endByte: at }).map((slice) => slice.index));
  for (const [index, actual] of sizes.entries()) {
    const { startByte, endByte } = o.nominal[index] as PlacedChunk;
    const expected = endByte - startByte;
    if (actual === expected) continue;
    const digestDecides = o.verify !== false && o.chunks[index]?.digest !== undefined && read.has(index);
    const tolerated = digestDecides || Math.abs(actual - expected) <= slackOf(expected, o.policy);
    o.onMismatch?.({ index, expected, actual, outcome: tolerated ? 'adjusted' : 'failed' });
    if (!tolerated) throw new SizeMismatchError({ index, expected, actual });
  }
  return layout;
}

async function askSizes(
  count: number,
  sizeOf: (index: number) => Promise<number | undefined>,
  signal: AbortSignal,
): Promise<number[]> {
  const sizes = new Array<number>(count);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const index = next++;
      const size = await settledOrAborted(signal, async () => sizeOf(index));
      if (size === undefined) throw new ChunkUnavailableError({ index });
      sizes[index] = checkInteger('sizeOf(…)', size, 0);
    }
  };
  const stopAll = (error: unknown): never => {
    next = count;
    throw error;
  };
  await Promise.all(Array.from({ length: Math.min(ASKED_AT_ONCE, count) }, () => lane().catch(stopAll)));
  return sizes;
}
