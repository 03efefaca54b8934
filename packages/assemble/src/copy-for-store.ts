import { checkInteger, copyBytes, type OwnBytes, refuseType } from '@chunks/base';
import { SizeMismatchError } from './errors.ts';

/**
 * A copy of exactly that many bytes in a buffer of its own. Hand a store nothing else: a view into a pooled or reused
 * buffer may hold other bytes by the time the store reads it (of the right size, so that no size check sees it), and a
 * store that takes the view's whole buffer stores its neighbours, too.
 *
 * @throws SizeMismatchError when the view is not that long; TypeError | RangeError for bad input.
 * @example
 * await kv.put(key, copyForStore(view, chunk.size));
 */
export function copyForStore(view: Uint8Array, expectedBytes: number): OwnBytes {
  if (!(view instanceof Uint8Array)) refuseType('view', 'a Uint8Array', view);
  checkInteger('expectedBytes', expectedBytes, 0);
  if (view.byteLength !== expectedBytes) {
    throw new SizeMismatchError({ expected: expectedBytes, actual: view.byteLength });
  }
  return copyBytes(view);
}
