import { checkInteger, refuseRange, refuseType } from './check.ts';
import type { ByteRange } from './types.ts';

/** @throws TypeError | RangeError unless both ends are safe integers with 0 ≤ startByte ≤ endByte. */
export function checkByteRange(option: string, range: ByteRange): ByteRange {
  if (typeof range !== 'object' || range === null) refuseType(option, '{ startByte, endByte }', range);
  checkInteger(`${option}.startByte`, range.startByte, 0);
  checkInteger(`${option}.endByte`, range.endByte, 0);
  if (range.endByte < range.startByte) {
    refuseRange(option, 'in order, startByte ≤ endByte', `${range.startByte}–${range.endByte}`);
  }
  return range;
}

export const rangeBytes = (range: ByteRange): number => range.endByte - range.startByte;

/** What two ranges share; undefined when that is nothing. */
export function intersectRanges(a: ByteRange, b: ByteRange): ByteRange | undefined {
  const startByte = Math.max(a.startByte, b.startByte);
  const endByte = Math.min(a.endByte, b.endByte);
  return startByte < endByte ? { startByte, endByte } : undefined;
}
