import type { ByteRange, OwnBytes } from '../types.ts';
import { formatContentRange } from './range-header.ts';

/** A stretch of a response body: bytes at hand, or a range of the resource that is still to be read. */
export type Stretch = OwnBytes | ByteRange;

/** A boundary that no content contains but by an accident of 1 in 2^128, nor by intent of whoever wrote the content. */
export function randomBoundary(): string {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The body of a `multipart/byteranges` response: every part with the type and range of its own. */
export function multipartStretches(
  ranges: readonly ByteRange[],
  o: { totalBytes: number; contentType: string | null; boundary: string },
): Stretch[] {
  const text = new TextEncoder();
  const type = o.contentType === null ? '' : `Content-Type: ${o.contentType}\r\n`;
  const stretches: Stretch[] = [];
  for (const range of ranges) {
    const head = `--${o.boundary}\r\n${type}Content-Range: ${formatContentRange(range, o.totalBytes)}\r\n\r\n`;
    // The line break before a boundary belongs to the boundary, not to the content; before the first there is none.
    stretches.push(text.encode(stretches.length === 0 ? head : `\r\n${head}`), range);
  }
  stretches.push(text.encode(`\r\n--${o.boundary}--\r\n`));
  return stretches;
}

export const stretchBytes = (stretch: Stretch): number =>
  stretch instanceof Uint8Array ? stretch.byteLength : stretch.endByte - stretch.startByte;
