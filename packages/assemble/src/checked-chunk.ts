import { type ByteSource, type MaybePromise, type OwnBytes, onAbort } from '@chunks/base';
import { type AssembleError, ChunkUnavailableError, SizeMismatchError } from './errors.ts';
import { piecesUntil } from './pieces.ts';
import { verifyDigest } from './portable-digest.ts';
import { slackOf } from './size-policy.ts';
import type { Digest, SizePolicy } from './types.ts';

/** Gets one chunk from wherever chunks are; `undefined` when there is none. */
export type FetchChunk = (
  index: number,
  o: {
    signal: AbortSignal;
    /** The second try, after a wrong chunk: go past caches. */
    fresh: boolean;
  },
) => MaybePromise<ByteSource | undefined>;

/** A chunk that was not what the manifest says. */
export interface ChunkMismatch {
  readonly index: number;
  /** In bytes; equal to `actual` when only the digest differs. */
  readonly expected: number;
  readonly actual: number;
  /**
   * `cut`: too long, delivered without the rest. `adjusted`: the layout was computed from its actual size.
   * `refetched`: fetched once more. `failed`: the read ends with an error.
   */
  readonly outcome: 'cut' | 'adjusted' | 'refetched' | 'failed';
}

/** What a chunk must be. */
export interface WantedChunk {
  readonly index: number;
  readonly key: string | undefined;
  /** Exactly so many bytes are delivered. */
  readonly size: number;
  readonly digest: Digest | undefined;
  readonly policy: SizePolicy;
}

export interface ChunkSource {
  readonly fetchChunk: FetchChunk;
  readonly signal: AbortSignal;
  readonly onMismatch: ((mismatch: ChunkMismatch) => void) | undefined;
}

interface Counted {
  /** The wanted number of bytes, in a buffer of their own; the rest is zero when fewer came. */
  readonly bytes: OwnBytes;
  readonly actual: number;
}

/**
 * A chunk's bytes, right or not at all.
 * @param mayRetry whether a wrong chunk is fetched once more.
 * @throws SizeMismatchError | DigestMismatchError | ChunkUnavailableError, or the signal's reason.
 */
export async function checkedChunk(source: ChunkSource, wanted: WantedChunk, mayRetry: boolean): Promise<OwnBytes> {
  const { index, size: expected } = wanted;
  for (let fresh = false; ; fresh = true) {
    const last = fresh || !mayRetry;
    const got = await obtain(source, wanted, fresh);
    if (got === undefined) {
      if (last) throw new ChunkUnavailableError({ index, key: wanted.key });
      continue;
    }
    const { bytes, actual } = got;
    const wrong = await judge(wanted, got);
    if (wrong === undefined) {
      if (actual !== expected) source.onMismatch?.({ index, expected, actual, outcome: 'cut' });
      return bytes;
    }
    source.onMismatch?.({ index, expected, actual, outcome: last ? 'failed' : 'refetched' });
    if (last) throw wrong;
  }
}

async function judge(wanted: WantedChunk, { bytes, actual }: Counted): Promise<AssembleError | undefined> {
  const { index, size: expected, digest, policy } = wanted;
  const sized = actual === expected ? undefined : new SizeMismatchError({ index, expected, actual });
  // Too few bytes are never made up for; too many are for the digest to judge, and for the policy where there is none.
  if (actual < expected) return sized;
  if (digest === undefined) return actual - expected > slackOf(expected, policy) ? sized : undefined;
  try {
    await verifyDigest(index, bytes, digest);
    return undefined;
  } catch (error) {
    return sized ?? (error as AssembleError);
  }
}

async function obtain(source: ChunkSource, wanted: WantedChunk, fresh: boolean): Promise<Counted | undefined> {
  const { signal } = source;
  try {
    const data = await settledOrAborted(signal, async () => source.fetchChunk(wanted.index, { signal, fresh }));
    return data === undefined ? undefined : await take(data, wanted, signal);
  } catch (cause) {
    if (signal.aborted) throw signal.reason;
    throw new ChunkUnavailableError({ index: wanted.index, key: wanted.key, cause });
  }
}

async function take(data: ByteSource, wanted: WantedChunk, signal: AbortSignal): Promise<Counted> {
  const bytes = new Uint8Array(wanted.size);
  // Enough to tell how wrong a chunk is, without following a source that never ends.
  const enough = wanted.size + Math.max(65_536, slackOf(wanted.size, wanted.policy));
  let actual = 0;
  for await (const piece of piecesUntil(data, signal)) {
    // Copied at once: a source may reuse its buffer for the next piece, and a cache's buffer is not ours to give away.
    if (actual < wanted.size) bytes.set(piece.subarray(0, wanted.size - actual), actual);
    actual += piece.length;
    if (actual > enough) break;
  }
  return { bytes, actual };
}

/** What a task gives, or the signal's reason as soon as it aborts: a fetch that ignores its signal holds nobody up. */
export async function settledOrAborted<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  let off: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    off = onAbort(signal, () => reject(signal.reason));
  });
  try {
    return await Promise.race([task(), aborted]);
  } finally {
    off();
  }
}
