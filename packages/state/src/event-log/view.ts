import type { LogCalls } from './log-calls.ts';
import { onEach } from './log-calls.ts';
import { eventsOf, isPosition, parseMark, snapshotsOf, timeOf } from './names.ts';
import { corrupt, decodeEvent, decodeSnapshot, type EventRecord, type Snapshot } from './records.ts';

// Events that one compaction folds: a backlog must not take longer than everybody else waits.
const MAX_DUE = 1_000;

/** What the store showed of one log, found to fit together. */
export interface View {
  /** What to start from; undefined: from the initial state. */
  readonly base: Snapshot | undefined;
  /** The snapshots that nothing shown supersedes; more than one when two compacted at once. */
  readonly heads: readonly Snapshot[];
  /** All that could be had; those that a head supersedes only to compact. */
  readonly snapshots: readonly Snapshot[];
  /** The names of all snapshots in the list. */
  readonly names: ReadonlySet<string>;
  /** Since when each has been seen: all its marks. */
  readonly marks: ReadonlyMap<string, readonly number[]>;
  /** Positions of all events in the list. */
  readonly positions: ReadonlySet<string>;
  /** The events that are not in `base`, in order; to compact, the oldest and those that are owed. Ids may come twice. */
  readonly events: readonly EventRecord[];
  /** Positions of events that other heads contain and `base` does not. */
  readonly owed: ReadonlySet<string>;
}

/** Where to look. */
export interface Look {
  readonly calls: LogCalls;
  readonly key: string;
  readonly nowMs: number;
  readonly graceMs: number;
  readonly signal?: AbortSignal;
  /** Values that were had before: they never change. */
  readonly known: Map<string, string>;
  /** Looks for what can be folded and deleted, and not for everything. */
  readonly compacts?: boolean;
}

const idsOf = (snapshot: Snapshot | undefined): Set<string> =>
  new Set([...(snapshot?.folded ?? [])].map(([position, { id }]) => id ?? position));

/**
 * One look at the log. Undefined when what was shown does not fit together: then look again.
 *
 * Events are listed before snapshots: one that is missing because it was deleted is then surely in a snapshot that is
 * listed. What is in a list and cannot be had was either deleted in between, and then another snapshot has come to be
 * listed; or it does not show yet, and may be left out.
 * @throws CorruptRecordError | InvalidStateError, and what the store's calls throw
 */
export async function look(o: Look): Promise<View | undefined> {
  const positions = await o.calls.list(o.key, eventsOf(o.key), o.signal);
  for (const position of positions) if (!isPosition(position)) throw corrupt(o.key, eventsOf(o.key) + position);
  const { names, marks } = await listSnapshots(o);
  const snapshots = await getSnapshots(o, names);
  const superseded = new Set(snapshots.flatMap((snapshot) => [...snapshot.supersedes.keys()]));
  const heads = snapshots.filter(({ name }) => !superseded.has(name)).sort((a, b) => b.count - a.count);
  const base = heads.find((head) => isSubset(owedTo(head, heads), positions));
  const owed = base === undefined ? new Set<string>() : owedTo(base, heads);
  const missing = [...positions].filter((position) => !base?.folded.has(position)).sort();
  const wanted = o.compacts ? dueOf(o, missing, owed) : missing;
  const events = await getEvents(o, wanted);
  const had = new Set([...superseded, ...snapshots.map(({ name }) => name)]);
  const isWhole = events.length === wanted.length && isSubset(names, had);
  if (!isWhole && !isSubset((await listSnapshots(o)).names, names)) return undefined;
  const isAnswer = heads.length === 0 || (base !== undefined && isSubset(owed, new Set(events.map(positionOf))));
  return isAnswer ? { base, heads, snapshots, names, marks, positions, events, owed } : undefined;
}

const positionOf = ({ position }: EventRecord): string => position;

const isSubset = (part: ReadonlySet<string>, whole: ReadonlySet<string>): boolean =>
  [...part].every((item) => whole.has(item));

/**
 * What the other heads contain and this one does not. An event that was known to be deleted before this one was made
 * is in it, even if it has forgotten so: whoever let it be deleted was shown to this one's maker.
 */
function owedTo(head: Snapshot, heads: readonly Snapshot[]): Set<string> {
  const ids = idsOf(head);
  const owed = new Set<string>();
  for (const other of heads) {
    for (const [position, { id = position, goneMs }] of other.folded) {
      const isIn = ids.has(id) || head.folded.has(position) || (goneMs > 0 && goneMs <= head.atMs);
      if (!isIn) owed.add(position);
    }
  }
  return owed;
}

async function listSnapshots({ calls, key, signal }: Look): Promise<Pick<View, 'names' | 'marks'>> {
  const names = new Set<string>();
  const marks = new Map<string, number[]>();
  for (const text of await calls.list(key, snapshotsOf(key), signal)) {
    const mark = parseMark(text);
    if (mark === undefined) throw corrupt(key, snapshotsOf(key) + text);
    if (mark.seenMs === undefined) names.add(mark.name);
    else marks.set(mark.name, [...(marks.get(mark.name) ?? []), mark.seenMs]);
  }
  return { names, marks };
}

async function get({ calls, key, known, signal }: Look, storeKey: string): Promise<string | undefined> {
  const text = known.get(storeKey) ?? (await calls.get(key, storeKey, signal));
  if (text !== undefined) known.set(storeKey, text);
  return text;
}

function dueOf(o: Look, positions: readonly string[], owed: ReadonlySet<string>): readonly string[] {
  let due = 0;
  return positions.filter(
    (position) => owed.has(position) || (timeOf(position) <= o.nowMs - o.graceMs && due++ < MAX_DUE),
  );
}

// Those that can be had.
async function getSnapshots(o: Look, names: ReadonlySet<string>): Promise<Snapshot[]> {
  const snapshots: Snapshot[] = [];
  const superseded = new Set<string>();
  // The newest first: it spares the others.
  for (const name of [...names].sort().reverse()) {
    if (!o.compacts && superseded.has(name)) continue;
    const storeKey = snapshotsOf(o.key) + name;
    const text = await get(o, storeKey);
    if (text === undefined) continue;
    const snapshot = decodeSnapshot(o.key, storeKey, name, text);
    snapshots.push(snapshot);
    for (const older of snapshot.supersedes.keys()) superseded.add(older);
  }
  return snapshots;
}

// Those that can be had.
async function getEvents(o: Look, positions: readonly string[]): Promise<EventRecord[]> {
  const found = await onEach(positions, async (position) => {
    const storeKey = eventsOf(o.key) + position;
    const text = await get(o, storeKey);
    return text === undefined ? undefined : decodeEvent(o.key, storeKey, position, text);
  });
  return found.filter((event) => event !== undefined);
}

/** The state after these events, each id once; changes the base's state. */
export function foldEvents<S, E>(
  base: Snapshot | undefined,
  events: readonly EventRecord[],
  o: { initial: () => S; reduce: (state: S, event: E) => S | void },
): { state: S; count: number } {
  const ids = idsOf(base);
  let state = base === undefined ? o.initial() : (base.state as S);
  let count = base?.count ?? 0;
  for (const { id, event } of events) {
    if (ids.has(id)) continue;
    ids.add(id);
    count++;
    state = o.reduce(state, event as E) ?? state;
  }
  return { state, count };
}

/** Whether the event is in what the view shows. */
export const shows = ({ base, events }: View, id: string): boolean =>
  idsOf(base).has(id) || events.some((event) => event.id === id) || (isPosition(id) && id <= (base?.forgot ?? ''));
