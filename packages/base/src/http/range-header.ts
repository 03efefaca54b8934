import type { ByteRange } from '../types.ts';

// The one place where HTTP's inclusive last byte becomes a half-open range, and back.

/** More parts than this are an attack or a mistake: they get the whole, which costs less. */
export const MAX_RANGES = 16;

const SPEC = /^[ \t]*(\d*)-(\d*)[ \t]*$/;

/**
 * What a `Range` field asks of a representation of that many bytes: ranges in the order asked for, none empty, those
 * that overlap or touch made one; `unsatisfiable` (416) when all of them lie outside; `ignored` (200) when the field is
 * absent, malformed, in another unit or asks for more than {@link MAX_RANGES} parts. An empty representation has no
 * last bytes that a `Content-Range` could name, so there `bytes=-n` is ignored too.
 */
export function parseRange(field: string | null, totalBytes: number): ByteRange[] | 'unsatisfiable' | 'ignored' {
  if (field === null || !/^bytes=/i.test(field)) return 'ignored';
  const specs = field
    .slice('bytes='.length)
    .split(',')
    .filter((spec) => !/^[ \t]*$/.test(spec));
  if (specs.length === 0) return 'ignored';
  const ranges: ByteRange[] = [];
  for (const spec of specs) {
    const range = parseSpec(spec, totalBytes);
    // One malformed part spoils the field: what the client meant by it is anybody's guess.
    if (range === 'malformed') return 'ignored';
    if (range !== 'outside') ranges.push(range);
  }
  if (ranges.length === 0) return 'unsatisfiable';
  const apart = coalesce(ranges);
  return apart.length > MAX_RANGES || totalBytes === 0 ? 'ignored' : apart;
}

function parseSpec(spec: string, totalBytes: number): ByteRange | 'outside' | 'malformed' {
  const [, first = '', last = ''] = SPEC.exec(spec) ?? [];
  if (first === '' && last === '') return 'malformed';
  // Numbers beyond 2^53 lose digits and beyond 308 digits become Infinity: both still lie past the end of anything.
  if (first === '') {
    const suffixBytes = Math.min(Number(last), totalBytes);
    return Number(last) === 0 ? 'outside' : { startByte: totalBytes - suffixBytes, endByte: totalBytes };
  }
  if (last !== '' && BigInt(last) < BigInt(first)) return 'malformed';
  const startByte = Number(first);
  if (startByte >= totalBytes) return 'outside';
  return { startByte, endByte: last === '' ? totalBytes : Math.min(Number(last) + 1, totalBytes) };
}

/** Each joined range stands where its earliest part was asked for. */
function coalesce(ranges: readonly ByteRange[]): ByteRange[] {
  const apart: { startByte: number; endByte: number; order: number }[] = [];
  const byStart = ranges.map((range, order) => ({ ...range, order })).sort((a, b) => a.startByte - b.startByte);
  for (const range of byStart) {
    const last = apart.at(-1);
    if (last === undefined || range.startByte > last.endByte) {
      apart.push(range);
    } else {
      last.endByte = Math.max(last.endByte, range.endByte);
      last.order = Math.min(last.order, range.order);
    }
  }
  return apart.sort((a, b) => a.order - b.order).map(({ startByte, endByte }) => ({ startByte, endByte }));
}

const inclusive = (range: ByteRange): string => `${range.startByte}-${range.endByte - 1}`;

/** The `Range` field that asks for exactly these bytes, of which there must be one at least. */
export const formatRange = (range: ByteRange): string => `bytes=${inclusive(range)}`;

/** The `Content-Range` of a 206. */
export const formatContentRange = (range: ByteRange, totalBytes: number): string =>
  `bytes ${inclusive(range)}/${totalBytes}`;

/** The `Content-Range` of a 416. */
export const formatUnsatisfied = (totalBytes: number): string => `bytes */${totalBytes}`;

/** What a `Content-Range` says: `range` is absent in that of a 416, `totalBytes` where the sender does not know it. */
export interface ContentRange {
  readonly range?: ByteRange;
  readonly totalBytes?: number;
}

/** @returns undefined for a field that is absent, malformed, in another unit, or that contradicts itself. */
export function parseContentRange(field: string | null): ContentRange | undefined {
  const [, first, last, total = ''] = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/i.exec(field ?? '') ?? [];
  if (total === '' || (first === undefined && total === '*')) return undefined;
  const totalBytes = total === '*' ? undefined : Number(total);
  const range = first === undefined ? undefined : { startByte: Number(first), endByte: Number(last) + 1 };
  const highest = Math.max(totalBytes ?? 0, range?.endByte ?? 0);
  if (!Number.isSafeInteger(highest)) return undefined;
  if (range !== undefined && (range.startByte >= range.endByte || range.endByte > (totalBytes ?? highest))) {
    return undefined;
  }
  return { ...(range && { range }), ...(totalBytes !== undefined && { totalBytes }) };
}
