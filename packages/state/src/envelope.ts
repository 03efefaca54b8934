import { CorruptRecordError, InvalidStateError, StoreRegressedError, ValueTooLargeError } from './errors.ts';
import type { Revision } from './store.ts';

const FORMAT = 1;
// Shapes and their migrations are not known to this format's first readers: they must refuse what carries one.
const SHAPE = 0;

/** An idempotency key that was applied, with what its updater returned. */
export interface Applied {
  readonly key: string;
  readonly version: number;
  readonly result?: unknown;
}

/** What one write makes of a record. */
export interface Contents {
  /** 0 when there never was a record. */
  readonly version: number;
  /** JSON of the state; undefined when absent or deleted. */
  readonly json: string | undefined;
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

const isText = (value: unknown): value is string => typeof value === 'string';
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** The text that is stored. The state comes last and as it is, so that other tools can read into it. */
export function pack({ version, json = 'null', writeId, recent, forgotten, applied }: Contents): string {
  const head = JSON.stringify({ format: FORMAT, shape: SHAPE, version, writeId, recent, forgotten, applied });
  return `${head.slice(0, -1)},"state":${json}}`;
}

/** @throws CorruptRecordError | InvalidStateError */
export function unpack(key: string, { value, revision }: { value: string; revision: Revision }, asOf: number): Base {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(value) ?? {};
  } catch (cause) {
    throw new CorruptRecordError({ key, cause });
  }
  const { format, shape, version, state, writeId, recent, forgotten, applied } = fields;
  if (!isCount(format) || format < FORMAT) throw new CorruptRecordError({ key });
  if (format > FORMAT || shape !== SHAPE) {
    throw new InvalidStateError({ key, why: `it has format ${format}, shape ${shape}, written by a newer version` });
  }
  const whole =
    isCount(version) &&
    isText(writeId) &&
    Array.isArray(recent) &&
    recent.every(isText) &&
    isCount(forgotten) &&
    Array.isArray(applied) &&
    applied.every((entry) => isText(entry?.key)) &&
    state !== undefined;
  if (!whole) throw new CorruptRecordError({ key });
  const json = state === null ? undefined : JSON.stringify(state);
  return { version, json, writeId, recent, forgotten, applied, revision, asOf };
}

const writerOf = (writeId: string): string => writeId.slice(0, writeId.lastIndexOf('.'));

/** The contents that follow on a base. @throws ValueTooLargeError when one entry alone is beyond the memory. */
export function follow(
  key: string,
  base: Base,
  o: { json: string | undefined; writeId: string; applied: readonly Applied[]; remember: Remember },
): Contents {
  const { commits, keys } = o.remember;
  const recent = [base.writeId, ...base.recent].filter((id) => id !== '' && writerOf(id) !== writerOf(o.writeId));
  return {
    version: base.version + 1,
    json: o.json,
    writeId: o.writeId,
    recent: recent.slice(0, commits),
    // The ids are of different versions, the newest at most the base's: what falls off is at least so much older.
    forgotten: Math.max(base.forgotten, recent.length > commits ? base.version - commits : 0),
    applied:
      o.applied.length === 0 ? base.applied : trim(key, [...base.applied, ...o.applied].slice(-keys), o.remember),
  };
}

function trim(key: string, applied: readonly Applied[], { maxBytes }: Remember): readonly Applied[] {
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
