import { CorruptRecordError, InvalidStateError, StoreRegressedError, ValueTooLargeError } from './errors.ts';
import type { Revision } from './store.ts';

const FORMAT = 1;
// Of a record that is not deleted.
const FIELDS = 8;

/** An idempotency key that was applied, with what its updater returned. */
export interface Applied {
  readonly key: string;
  readonly version: number;
  readonly result?: unknown;
}

/** What one write makes of a record. */
export interface Contents {
  /** Of the state; 0 where nobody speaks of shapes. */
  readonly shape: number;
  /** 0 when there never was a record. */
  readonly version: number;
  /** JSON of the state; undefined when absent or deleted. */
  readonly json: string | undefined;
  /** When it was deleted, by that process' clock. Older tombstones do not tell. */
  readonly deletedAtMs?: number | undefined;
  /** Who wrote this version: `writer.counter`. */
  readonly writeId: string;
  /** The last write id of every other writer, newest first: one each, so that a busy writer drives no other one out. */
  readonly recent: readonly string[];
  /** No write after this version has been dropped from `recent`. */
  readonly forgotten: number;
  readonly applied: readonly Applied[];
}

/** A record as the store had it. */
export interface Base extends Contents {
  /** undefined when the key is not in the store. */
  readonly revision: Revision | undefined;
  /** The state as parsed along with the record, for the first who takes it. */
  parsed?: { readonly state: unknown } | undefined;
  /** Updates numbered up to this one were called before the store was asked. */
  readonly asOf: number;
}

/** Bounds of a record's lists. */
export interface Remember {
  readonly commits: number;
  readonly keys: number;
  readonly maxBytes: number;
}

/** The version a caller sees: a deleted record has none, like one that never was. */
export const versionOf = (base: Contents): number => (base.json === undefined ? 0 : base.version);

export const absent = (asOf: number): Base => ({
  shape: 0,
  version: 0,
  json: undefined,
  writeId: '',
  recent: [],
  forgotten: 0,
  applied: [],
  revision: undefined,
  asOf,
});

/** Bytes of UTF-8. */
export const bytesOf = (text: string): number => new TextEncoder().encode(text).length;

/** Whether texts that add up to so many UTF-16 units, of three bytes each at most, must be counted to know that they fit. */
export const mayExceed = (units: number, limit: number): boolean => 3 * units > limit;

const isText = (value: unknown): value is string => typeof value === 'string';
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

// What stands before the state, which comes last and as it is, so that other tools can read into it.
const headOf = ({ shape, version, writeId, recent, forgotten, applied, deletedAtMs }: Contents): string =>
  `${JSON.stringify({ format: FORMAT, shape, version, writeId, recent, forgotten, applied, deletedAtMs }).slice(0, -1)},"state":`;

/** The text that is stored. */
export const pack = (contents: Contents): string => `${headOf(contents)}${contents.json ?? 'null'}}`;

/** @throws CorruptRecordError | InvalidStateError */
export function unpack(key: string, { value, revision }: { value: string; revision: Revision }, asOf: number): Base {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(value) ?? {};
  } catch (cause) {
    throw new CorruptRecordError({ key, cause });
  }
  const { format, shape, version, state, writeId, recent, forgotten, applied, deletedAtMs } = fields;
  if (isCount(format) && format > FORMAT) {
    throw new InvalidStateError({ key, why: `it has format ${format}, written by a newer version` });
  }
  const whole =
    format === FORMAT &&
    isCount(shape) &&
    isCount(version) &&
    isText(writeId) &&
    Array.isArray(recent) &&
    recent.every(isText) &&
    isCount(forgotten) &&
    Array.isArray(applied) &&
    applied.every((entry) => isText(entry?.key)) &&
    state !== undefined;
  if (!whole) throw new CorruptRecordError({ key });
  const contents = { shape, version, json: undefined, writeId, recent, forgotten, applied };
  if (state === null) {
    return { ...contents, deletedAtMs: isCount(deletedAtMs) ? deletedAtMs : undefined, revision, asOf };
  }
  // Cut out, which costs less than to write it anew; unless another tool has set the record differently.
  const head = headOf(contents);
  const asPacked = Object.keys(fields).length === FIELDS && value.startsWith(head) && value.endsWith('}');
  const json = asPacked ? value.slice(head.length, -1) : JSON.stringify(state);
  return { ...contents, json, parsed: { state }, revision, asOf };
}

const writerOf = (writeId: string): string => writeId.slice(0, writeId.lastIndexOf('.'));

/** The contents that follow on a base. @throws ValueTooLargeError when one entry alone is beyond the memory. */
export function follow(
  key: string,
  base: Base,
  o: Pick<Contents, 'shape' | 'json' | 'deletedAtMs' | 'writeId' | 'applied'> & { readonly remember: Remember },
): Contents {
  const { remember, ...own } = o;
  const { commits, keys } = remember;
  const recent = [base.writeId, ...base.recent].filter((id) => id !== '' && writerOf(id) !== writerOf(o.writeId));
  return {
    ...own,
    version: base.version + 1,
    recent: recent.slice(0, commits),
    // The ids are of different versions, the newest at most the base's: what falls off is at least so much older.
    forgotten: Math.max(base.forgotten, recent.length > commits ? base.version - commits : 0),
    applied: o.applied.length === 0 ? base.applied : trim(key, [...base.applied, ...o.applied].slice(-keys), remember),
  };
}

/** @throws ValueTooLargeError */
export function checkSize(key: string, contents: Contents, limit: number): Contents {
  if (limit === Number.POSITIVE_INFINITY) return contents;
  const units = headOf(contents).length + (contents.json ?? 'null').length + 1;
  const bytes = mayExceed(units, limit) ? bytesOf(pack(contents)) : 0;
  if (bytes <= limit) return contents;
  throw new ValueTooLargeError({ key, what: 'the record', bytes, limit });
}

/** Drops the oldest until the rest has room. @throws ValueTooLargeError when the newest alone has none */
export function trim(key: string, applied: readonly Applied[], { maxBytes }: Remember): readonly Applied[] {
  // Brackets and commas do not count.
  if (bytesOf(JSON.stringify(applied)) - applied.length - 1 <= maxBytes) return applied;
  let bytes = 0;
  for (let i = applied.length - 1; i >= 0; i--) {
    const own = bytesOf(JSON.stringify(applied[i]));
    if (own > maxBytes)
      throw new ValueTooLargeError({ key, what: 'the remembered result', bytes: own, limit: maxBytes });
    bytes += own;
    if (bytes > maxBytes) return applied.slice(i + 1);
  }
  return applied;
}

/**
 * Whether a write built on `base` is in `found`. Undefined when that cannot be told: so many writers came after that
 * the id may have been dropped.
 */
export function isApplied(writeId: string, base: Contents, found: Contents): boolean | undefined {
  if (found.writeId === writeId || found.recent.includes(writeId)) return true;
  return base.version + 1 > found.forgotten ? false : undefined;
}

/** @throws StoreRegressedError when the record is older than the newest version seen before the store was asked. */
export function checkForward(key: string, { version }: Contents, lastVersion: number): void {
  if (version < lastVersion) throw new StoreRegressedError({ key, version, lastVersion });
}
