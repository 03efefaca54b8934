import { type ByteSource, onAbort } from '@chunks/base';

/**
 * The pieces of a source as they come, until the signal aborts: then it rejects at once with the signal's reason, even
 * while the source gives nothing, and the source is told to stop. A source that is left early, too, is told.
 */
export async function* piecesUntil(source: ByteSource, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  if (source instanceof Uint8Array) {
    yield source;
    return;
  }
  const iterator = source[Symbol.asyncIterator]();
  let abandon: (reason: unknown) => void = () => undefined;
  const off = onAbort(signal, () => abandon(signal?.reason));
  let exhausted = false;
  try {
    for (;;) {
      // Raced by hand, one promise a piece: Promise.race would pile up reactions on one long-lived promise.
      const step = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        abandon = reject;
        iterator.next().then(resolve, reject);
        if (signal?.aborted) reject(signal.reason);
      });
      if (step.done) {
        exhausted = true;
        return;
      }
      if (!(step.value instanceof Uint8Array)) throw new TypeError('a byte source must give Uint8Arrays');
      yield step.value;
    }
  } finally {
    off();
    // Not awaited: a source that hangs may never answer.
    if (!exhausted) (async () => iterator.return?.())().catch(() => undefined);
  }
}
