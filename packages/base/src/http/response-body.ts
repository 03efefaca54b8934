import { deferred, onAbort } from '../abort.ts';
import { copyBytes, discard, pieces } from '../bytes.ts';
import { refuseType } from '../check.ts';
import type { ByteRange, ByteSource, MaybePromise, OwnBytes } from '../types.ts';
import { BodyLengthError } from './body-length-error.ts';
import type { Stretch } from './multipart.ts';

type Read = (range: ByteRange, signal: AbortSignal) => MaybePromise<ByteSource>;

const ignore = (): void => undefined;

/**
 * A body of these stretches, each range of it read when its turn comes; the first one before this resolves, so that
 * its failure can still become a status. Nothing is read ahead of the consumer.
 * Cancelling the body or aborting the request aborts the signal that `read` got and lets go of its source.
 *
 * @param requireExact whether a range must give exactly its bytes; without, whatever comes is the body.
 * @throws what `read` throws, or the request's abort reason.
 */
export async function openBody(
  stretches: readonly Stretch[],
  o: { read: Read; requireExact: boolean; signal: AbortSignal | undefined },
): Promise<ReadableStream<OwnBytes>> {
  o.signal?.throwIfAborted();
  const reading = new AbortController();
  const unlink = onAbort(o.signal, () => stop(o.signal?.reason));
  let current: ByteSource | undefined;
  let controller: ReadableStreamDefaultController<OwnBytes> | undefined;

  const open = async (range: ByteRange): Promise<ByteSource> => {
    current = await readUnlessAborted(o.read, range, reading.signal);
    return current;
  };
  async function* bytes(first: ByteSource | undefined): AsyncGenerator<OwnBytes> {
    for (const stretch of stretches) {
      if (stretch instanceof Uint8Array) {
        yield stretch;
      } else {
        const source = first ?? (await open(stretch));
        first = undefined;
        yield* o.requireExact ? exactly(stretch, source) : copies(source);
      }
    }
  }
  let body: AsyncGenerator<OwnBytes> | undefined;
  const stop = (reason: unknown): void => {
    unlink();
    reading.abort(reason);
    // Both: a generator that has not started closes nothing, and a stream being iterated is closed by its iterator.
    if (current !== undefined) discard(current, reason);
    body?.return(undefined).catch(ignore);
    controller?.error(reason);
  };

  const firstRange = stretches.find((stretch): stretch is ByteRange => !(stretch instanceof Uint8Array));
  try {
    body = bytes(firstRange && (await open(firstRange)));
    // Aborted in the very moment in which the read came back: there was no stream yet to hear of it.
    reading.signal.throwIfAborted();
  } catch (error) {
    unlink();
    if (current !== undefined) discard(current, error);
    throw error;
  }
  const source = body;
  return new ReadableStream<OwnBytes>(
    {
      start(own) {
        controller = own;
      },
      async pull(own) {
        try {
          const { done, value } = await source.next();
          if (!done) return own.enqueue(value);
          unlink();
          own.close();
        } catch (error) {
          stop(error);
        }
      },
      cancel: stop,
    },
    { highWaterMark: 0 },
  );
}

/** A read that does not heed its signal keeps nobody waiting, and what it gives later is let go. */
async function readUnlessAborted(read: Read, range: ByteRange, signal: AbortSignal): Promise<ByteSource> {
  signal.throwIfAborted();
  const reading = Promise.resolve(read(range, signal)).then(checkSource);
  const aborted = deferred<never>();
  const unlink = onAbort(signal, () => aborted.reject(signal.reason));
  try {
    return await Promise.race([reading, aborted.promise]);
  } catch (error) {
    reading.then((source) => discard(source, error), ignore);
    throw error;
  } finally {
    unlink();
  }
}

function checkSource(source: ByteSource): ByteSource {
  const isSource = source instanceof Uint8Array || typeof source?.[Symbol.asyncIterator] === 'function';
  if (!isSource) refuseType('what resource.read gives', 'a Uint8Array or an async iterable of them', source);
  return source;
}

/** Each piece in a buffer of its own, because the source may reuse its own while the consumer still sends. */
async function* copies(source: ByteSource): AsyncGenerator<OwnBytes> {
  for await (const piece of pieces(source)) {
    if (!(piece instanceof Uint8Array)) refuseType('each piece of what resource.read gives', 'a Uint8Array', piece);
    if (piece.byteLength > 0) yield copyBytes(piece);
  }
}

/** @throws BodyLengthError and, until it is certain that no byte follows, keeps back the piece that would complete it. */
async function* exactly(range: ByteRange, source: ByteSource): AsyncGenerator<OwnBytes> {
  const wantedBytes = range.endByte - range.startByte;
  let gotBytes = 0;
  let last: OwnBytes | undefined;
  for await (const piece of copies(source)) {
    gotBytes += piece.byteLength;
    if (gotBytes > wantedBytes) throw new BodyLengthError(range, gotBytes);
    if (gotBytes === wantedBytes) last = piece;
    else yield piece;
  }
  if (last === undefined) throw new BodyLengthError(range, gotBytes);
  yield last;
}
