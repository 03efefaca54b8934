import type { UploadStatus } from '../../src/protocol.ts';

/** How the server is reached; tests pass one of their own. */
export interface UploadPort {
  describe(id: string, signal: AbortSignal): Promise<UploadStatus>;
  send(id: string, index: number, body: Blob, signal: AbortSignal): Promise<void>;
}

/** What a failure says about trying again. */
interface Retryable {
  readonly retryable: boolean;
}

export interface SendProgress {
  readonly storedChunks: number;
  readonly chunkCount: number;
  /** Indices on their way, in the order in which they left. */
  readonly inFlight: readonly number[];
  /** Set while the server is away: when it is asked again, and why it was given up. */
  readonly waiting?: { readonly forMs: number; readonly reason: unknown } | undefined;
}

export interface SendOptions {
  readonly port: UploadPort;
  readonly file: Blob;
  readonly status: UploadStatus;
  /** Chunks on their way at once. @default 4 */
  readonly lanes?: number | undefined;
  /** Resolves after that time, or earlier when there is news of the server; rejects with the signal's reason. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly random: () => number;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: SendProgress) => void;
}

const BASE_MS = 400;
const MAX_MS = 8000;

/** Where a chunk lies in its file. */
export function chunkRange(status: UploadStatus, index: number): { startByte: number; endByte: number } {
  const startByte = index * status.chunkSizeBytes;
  return { startByte, endByte: Math.min(status.sizeBytes, startByte + status.chunkSizeBytes) };
}

/** Exponential with full jitter, but never a busy loop. */
export function retryDelayMs(failures: number, random: number): number {
  return 100 + random * Math.min(MAX_MS, BASE_MS * 2 ** Math.min(failures - 1, 20));
}

/**
 * Sends what is missing until the server has all of it. When the server goes away the lanes stop, and after a pause it
 * is asked what it has: a chunk whose answer got lost is not sent again. A refusal (not retryable) rejects at once.
 */
export async function sendMissing(options: SendOptions): Promise<UploadStatus> {
  let status = options.status;
  let failures = 0;
  let reason: unknown;
  let described = true;
  for (;;) {
    try {
      if (!described) status = await options.port.describe(status.id, options.signal);
      described = true;
      if (status.missing.length === 0) return status;
      const round = await sendRound(options, status);
      if (round.sent.size > 0) failures = 0;
      status = { ...status, missing: status.missing.filter((index) => !round.sent.has(index)) };
      described = false;
      reason = round.failure;
      options.signal.throwIfAborted();
      if (reason === undefined) continue;
    } catch (error) {
      described = false;
      reason = error;
    }
    options.signal.throwIfAborted();
    if (!isRetryable(reason)) throw reason;
    failures += 1;
    const forMs = retryDelayMs(failures, options.random());
    options.onProgress({ ...standing(status), inFlight: [], waiting: { forMs, reason } });
    await options.wait(forMs, options.signal);
  }
}

function isRetryable(error: unknown): boolean {
  return typeof error === 'object' && error !== null && (error as Partial<Retryable>).retryable === true;
}

function standing(status: UploadStatus): { storedChunks: number; chunkCount: number } {
  return { storedChunks: status.chunkCount - status.missing.length, chunkCount: status.chunkCount };
}

interface Round {
  readonly sent: ReadonlySet<number>;
  readonly failure: unknown;
}

/** One pass over the missing chunks; the first failure keeps the lanes from taking more, but does not cut the others. */
async function sendRound(options: SendOptions, status: UploadStatus): Promise<Round> {
  const queue = [...status.missing];
  const inFlight = new Set<number>();
  const sent = new Set<number>();
  let failure: unknown;
  const { storedChunks, chunkCount } = standing(status);
  const tell = (): void =>
    options.onProgress({ storedChunks: storedChunks + sent.size, chunkCount, inFlight: [...inFlight] });
  const lane = async (): Promise<void> => {
    const open = (): boolean => failure === undefined && !options.signal.aborted;
    for (let index = queue.shift(); index !== undefined && open(); index = queue.shift()) {
      const { startByte, endByte } = chunkRange(status, index);
      inFlight.add(index);
      tell();
      try {
        await options.port.send(status.id, index, options.file.slice(startByte, endByte), options.signal);
        sent.add(index);
      } catch (error) {
        failure ??= error;
      }
      inFlight.delete(index);
      tell();
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.lanes ?? 4, queue.length) }, lane));
  return { sent, failure };
}
