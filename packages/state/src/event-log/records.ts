import { encodeJson } from '../codec.ts';
import { CorruptRecordError, InvalidStateError } from '../errors.ts';

const FORMAT = 1;

/** An event as it is kept under its position. */
export interface EventRecord {
  readonly position: string;
  /** The caller's own, else the position. */
  readonly id: string;
  readonly event: unknown;
}

/** An event that a snapshot contains, by its position. */
export interface Folded {
  /** Only where it is not the position. */
  readonly id: string | undefined;
  /** Since when its key has been known to be deleted, in ms since the epoch; 0 = it may still be there. */
  readonly goneMs: number;
}

/** A state and what was folded into it. Written once under a name of its own, never changed. */
export interface Snapshot {
  readonly name: string;
  /** When the store was asked for what went into it, by its maker's clock. */
  readonly atMs: number;
  /** How many events are in it, those whose ids it has forgotten included. */
  readonly count: number;
  /** No event without a caller's id and after this position has been forgotten. */
  readonly forgot: string;
  readonly folded: ReadonlyMap<string, Folded>;
  /** Names of snapshots of which it contains everything; since when they have been known to be deleted, or 0. */
  readonly supersedes: ReadonlyMap<string, number>;
  readonly state: unknown;
}

type Fields = Record<string, unknown>;

const isText = (value: unknown): value is string => typeof value === 'string';
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isList = (value: unknown, isItem: (item: unknown[]) => boolean): value is unknown[][] =>
  Array.isArray(value) && value.every((item) => Array.isArray(item) && isItem(item));

/** What stands under the store's key is nothing of ours. */
export const corrupt = (key: string, storeKey: string, cause?: unknown): CorruptRecordError =>
  new CorruptRecordError({ key, cause: new Error(`under ${storeKey}`, { cause }) });

/** @throws CorruptRecordError | InvalidStateError */
function parse(key: string, storeKey: string, text: string): Fields {
  let fields: Fields;
  try {
    fields = JSON.parse(text) ?? {};
  } catch (cause) {
    throw corrupt(key, storeKey, cause);
  }
  const { format } = fields;
  if (isCount(format) && format > FORMAT) {
    throw new InvalidStateError({ key, why: `${storeKey} has format ${format}, written by a newer version` });
  }
  if (format !== FORMAT) throw corrupt(key, storeKey);
  return fields;
}

/** @throws LossyStateError */
export const encodeEvent = (key: string, id: string | undefined, event: unknown): string =>
  `{"format":${FORMAT},${id === undefined ? '' : `"id":${JSON.stringify(id)},`}"event":${encodeJson(key, event, 'event')}}`;

/** @throws CorruptRecordError | InvalidStateError */
export function decodeEvent(key: string, storeKey: string, position: string, text: string): EventRecord {
  const { id = position, event } = parse(key, storeKey, text);
  if (!isText(id) || event === undefined) throw corrupt(key, storeKey);
  return { position, id, event };
}

/** @throws LossyStateError */
export function encodeSnapshot(key: string, { atMs, count, forgot, folded, supersedes, state }: Snapshot): string {
  const head = JSON.stringify({
    format: FORMAT,
    atMs,
    count,
    forgot,
    folded: [...folded].map(([position, { goneMs, id }]) => [position, goneMs, ...(id === undefined ? [] : [id])]),
    supersedes: [...supersedes],
  });
  return `${head.slice(0, -1)},"state":${encodeJson(key, state, 'state')}}`;
}

/** @throws CorruptRecordError | InvalidStateError */
export function decodeSnapshot(key: string, storeKey: string, name: string, text: string): Snapshot {
  const { atMs, count, forgot, folded, supersedes, state } = parse(key, storeKey, text);
  const whole =
    isCount(atMs) &&
    isCount(count) &&
    isText(forgot) &&
    isList(folded, ([position, gone, id = '']) => isText(position) && isCount(gone) && isText(id)) &&
    isList(supersedes, ([other, gone]) => isText(other) && isCount(gone)) &&
    typeof state === 'object' &&
    state !== null;
  if (!whole) throw corrupt(key, storeKey);
  const entries = folded as [string, number, string?][];
  return {
    name,
    atMs,
    count,
    forgot,
    folded: new Map(entries.map(([position, goneMs, id]) => [position, { id, goneMs }])),
    supersedes: new Map(supersedes as [string, number][]),
    state,
  };
}
