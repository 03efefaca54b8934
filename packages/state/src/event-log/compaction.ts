import { type LogCalls, onEach } from './log-calls.ts';
import { eventsOf, markAt, snapshotsOf } from './names.ts';
import { encodeSnapshot, type Folded, type Snapshot } from './records.ts';
import { foldEvents, type View } from './view.ts';

/*
 * How events become a snapshot, and why nothing is lost or doubled though the store has no compare-and-set and may
 * show each key as it was up to some lag ago (less than graceMs), absence included.
 *
 * - Everything is written once under a name of its own. A snapshot lists the events it contains, and the snapshots of
 *   which it contains everything. So any two compactors, and any crash, leave only things that are true.
 * - A reader starts from a snapshot that contains all that any other one shown contains, or that it can still fetch the
 *   rest of; it leaves out by id what is in it. If there is none, it looks again.
 * - Whoever sees a snapshot marks it with the time, after having seen it: a mark that is graceMs old says that by now
 *   everybody sees the snapshot (it is *settled*). Only then anything is deleted for it: the snapshots that it
 *   supersedes, and the events that are in it and in every other snapshot but those that a settled one supersedes.
 * - Nothing lost: what is deleted is in a settled snapshot. Everybody sees that one or a settled one that contains it,
 *   and answers with nothing less.
 * - Somebody can always answer: take all deletions in the order in which their deleters listed the store. Each deleter
 *   sees every snapshot that was settled for one before it, or a settled one that supersedes that, and deletes nothing
 *   that is not in there. So one snapshot after the other contains all that has been deleted up to then, however
 *   late any write arrives.
 * - Nothing doubled: the id of an event stays in every later snapshot until its key was seen to be gone, in a listing
 *   made when everybody saw the event, and for a while after that.
 */

/** What compaction needs of a log. */
export interface Compactor<S, E> {
  readonly calls: LogCalls;
  readonly key: string;
  readonly now: () => number;
  readonly next: () => string;
  readonly graceMs: number;
  readonly rememberMs: number;
  readonly initial: () => S;
  readonly reduce: (state: S, event: E) => S | void;
}

// How long a compaction may have been held up before it writes: it could miss what others have deleted and forgotten
// since it looked.
const MAX_HELD_MS = 120_000;
// Ids that the log gave out, and names: nobody repeats them but a call that was cut, and it stops after half a minute.
const OWN_IDS_GRACES = 4;

/** @param atMs when the store was asked for the view, superseded snapshots included */
export async function compactView<S, E>(
  o: Compactor<S, E>,
  view: View,
  atMs: number,
): Promise<{ folded: number; removed: number }> {
  const settled = view.snapshots.filter(({ name }) =>
    view.marks.get(name)?.some((seenMs) => seenMs <= atMs - o.graceMs),
  );
  for (const { name } of view.snapshots) if (!view.marks.has(name)) await mark(o, name);
  const removed = await remove(o, view, settled, atMs);
  const isLate = o.now() - atMs > MAX_HELD_MS;
  if (isLate || (view.events.length === 0 && view.heads.length < 2)) return { folded: 0, removed };
  const { state, count } = foldEvents<S, E>(view.base, view.events, o);
  const name = o.next();
  const folded = { ...remembered(o, view, settled, atMs), name, atMs, count, state };
  for (const { position, id } of view.events) {
    folded.folded.set(position, { id: id === position ? undefined : id, goneMs: 0 });
  }
  const before = view.base?.count ?? 0;
  await o.calls.put(o.key, snapshotsOf(o.key) + name, encodeSnapshot(o.key, folded));
  await mark(o, name);
  return { folded: count - before, removed };
}

async function mark<S, E>({ calls, key, now }: Compactor<S, E>, name: string): Promise<void> {
  await calls.put(key, snapshotsOf(key) + markAt(name, now()), '1');
}

/** Deletes what everybody has elsewhere. @returns how many events */
async function remove<S, E>(
  { calls, key, graceMs }: Compactor<S, E>,
  view: View,
  settled: readonly Snapshot[],
  atMs: number,
): Promise<number> {
  const outdated = new Set(settled.flatMap(({ supersedes }) => [...supersedes.keys()]));
  const standing = view.snapshots.filter(({ name }) => !outdated.has(name));
  const events = [...view.positions].filter(
    (position) => settled.length > 0 && standing.every(({ folded }) => folded.has(position)),
  );
  await onEach(events, (position) => calls.delete(key, eventsOf(key) + position));
  const names = [...view.names].filter((name) => outdated.has(name));
  await onEach(names, (name) => calls.delete(key, snapshotsOf(key) + name));
  // Marks whose snapshot went before them.
  const orphans = [...view.marks].filter(([name]) => !view.names.has(name));
  const marks = orphans.flatMap(([name, seen]) => seen.map((seenMs) => ({ name, seenMs })));
  await onEach(
    marks.filter(({ seenMs }) => seenMs <= atMs - graceMs),
    ({ name, seenMs }) => calls.delete(key, snapshotsOf(key) + markAt(name, seenMs)),
  );
  return events.length;
}

/** What all heads contain and supersede, without what nobody can meet any more. */
function remembered<S, E>(
  { graceMs, rememberMs }: Compactor<S, E>,
  { heads, snapshots, names, positions }: View,
  settled: readonly Snapshot[],
  atMs: number,
): { folded: Map<string, Folded>; supersedes: Map<string, number>; forgot: string } {
  const ownMs = OWN_IDS_GRACES * (graceMs + MAX_HELD_MS);
  const gone = (before: number, isListed: boolean, isSure: boolean): number => {
    // A list may still show what was known to be gone; one that shows it long after, shows that it came again.
    if (isListed) return atMs - before <= graceMs ? before : 0;
    return before || (isSure ? atMs : 0);
  };
  const isForgotten = (goneMs: number, keptMs: number): boolean => goneMs > 0 && goneMs + keptMs < atMs;
  let forgot =
    heads
      .map((head) => head.forgot)
      .sort()
      .at(-1) ?? '';
  const folded = new Map<string, Folded>();
  for (const [position, { id, goneMs: before }] of heads.flatMap((head) => [...head.folded])) {
    const known = Math.max(before, folded.get(position)?.goneMs ?? 0);
    const isSure = settled.some((snapshot) => snapshot.folded.has(position));
    const goneMs = gone(known, positions.has(position), isSure);
    if (!isForgotten(goneMs, id === undefined ? ownMs : Math.max(ownMs, rememberMs)))
      folded.set(position, { id, goneMs });
    else if (id === undefined && position > forgot) forgot = position;
  }
  const supersedes = new Map<string, number>();
  const older = snapshots.flatMap((snapshot) => [[snapshot.name, 0] as const, ...snapshot.supersedes]);
  for (const [name, before] of older) {
    const goneMs = gone(Math.max(before, supersedes.get(name) ?? 0), names.has(name), true);
    if (!isForgotten(goneMs, ownMs)) supersedes.set(name, goneMs);
  }
  return { folded, supersedes, forgot };
}
