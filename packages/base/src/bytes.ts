import type { ByteSource, OwnBytes } from './types.ts';

/** A buffer's own bytes, or the pieces of a stream as they come. */
export async function* pieces(source: ByteSource): AsyncGenerator<Uint8Array> {
  if (source instanceof Uint8Array) yield source;
  else yield* source;
}

/** A copy in an ArrayBuffer of its own. */
export function copyBytes(view: Uint8Array): OwnBytes {
  const copy = new Uint8Array(view.byteLength);
  copy.set(view);
  return copy;
}

/** The whole of a source in one buffer of its own. */
export async function collectBytes(source: ByteSource): Promise<OwnBytes> {
  if (source instanceof Uint8Array) return copyBytes(source);
  const parts: OwnBytes[] = [];
  let total = 0;
  for await (const part of source) {
    // Copied at once: a source may reuse its buffer for the next piece.
    parts.push(copyBytes(part));
    total += part.byteLength;
  }
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  const whole = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

/** Lets go of a source that nobody will read: cancels a web stream, destroys a Node stream, ends a generator. */
export function discard(source: ByteSource, reason: unknown): void {
  const {
    cancel,
    destroy,
    return: end,
  } = source as {
    cancel?: (reason: unknown) => unknown;
    destroy?: () => unknown;
    return?: () => unknown;
  };
  const close = async (): Promise<unknown> => {
    if (cancel !== undefined) return cancel.call(source, reason);
    return destroy === undefined ? end?.call(source) : destroy.call(source);
  };
  // A failure to close is nobody's business any more: whoever discards has an outcome of his own to report.
  close().catch(() => undefined);
}
