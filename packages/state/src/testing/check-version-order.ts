/** How one update, or one look at the record, ended. Starts and ends are read on one clock: ms, or a count. */
export type UpdateEnd = {
  /** Its own in the whole history; what its updater wrote down, where there is a log. */
  readonly name: string;
  /** The instance that it was called on: calls on one are applied in their order. */
  readonly process?: string | number | undefined;
  readonly start: number;
} & (
  | {
      readonly outcome: 'done';
      readonly end: number;
      readonly version: number;
      /** Its place in its commit. Below 0: it wrote nothing and saw this version, as a read does. */
      readonly index: number;
    }
  /** Failed: surely not applied. Unknown: applied once at any time after its start, or never. */
  | { readonly outcome: 'failed' | 'unknown'; readonly end?: number | undefined }
);

/** What else is known of the record whose updates are checked. */
export interface VersionOrderOptions {
  /** The version before the first of them. @default 0 */
  after?: number | undefined;
  /** Whether nobody else wrote: then there are no gaps, and no strangers in the log. @default true */
  isWhole?: boolean | undefined;
}

type Done = Extract<UpdateEnd, { outcome: 'done' }>;

/**
 * Whether the acknowledged updates of one record are in the order that their `(version, index)` says: each place taken
 * once, without gaps but those that unknown ones can fill; later in the order if called after the other had ended, or
 * after it on the same instance. With the last state's log of names also that each stands there once, in that order,
 * unknown ones at most once and not before their time, failed ones never.
 *
 * @param final the last version, and the names in the order in which they were written down, as far as known
 * @returns what is wrong, in words; nothing when all is fine
 * @example
 * const wrong = checkVersionOrder(ends, { version: last.version, log: last.state.log });
 * if (wrong.length > 0) throw new Error(wrong.join('\n'));
 */
export function checkVersionOrder(
  ends: readonly UpdateEnd[],
  final: { readonly version?: number | undefined; readonly log?: readonly string[] | undefined } = {},
  o: VersionOrderOptions = {},
): readonly string[] {
  const { after = 0, isWhole = true } = o;
  const done = ends.filter((one) => one.outcome === 'done');
  return [
    ...doubles(done),
    ...(isWhole ? gaps(ends, done, after, final.version) : []),
    ...outOfTime(done),
    ...outOfTurn(done),
    ...(final.log ? misplaced(ends, final.log, isWhole) : []),
  ];
}

const wrote = ({ index }: Done): boolean => index >= 0;
const tell = ({ name, version, index }: Done): string =>
  index < 0 ? `${name}, which saw version ${version},` : `${name}, version ${version} index ${index},`;

/** A look stands behind all updates of the version that it saw. */
const byPlace = (a: Done, b: Done): number =>
  a.version - b.version || (wrote(a) ? a.index : Number.MAX_VALUE) - (wrote(b) ? b.index : Number.MAX_VALUE);

function doubles(done: readonly Done[]): string[] {
  const takenBy = new Map<string, Done>();
  return done.filter(wrote).flatMap((one) => {
    const place = `${one.version} ${one.index}`;
    const other = takenBy.get(place);
    takenBy.set(place, one);
    return other ? [`${tell(one)} has the place of ${other.name}`] : [];
  });
}

function gaps(ends: readonly UpdateEnd[], done: readonly Done[], after: number, last: number | undefined): string[] {
  const highest = new Map<number, number>();
  const places = new Set<string>();
  let top = last ?? after;
  for (const { version, index } of done) {
    top = Math.max(top, version);
    highest.set(version, Math.max(index, highest.get(version) ?? 0));
    places.add(`${version} ${index}`);
  }
  const missing: string[] = [];
  for (let version = after + 1; version <= top; version++) {
    for (let index = 0; index <= (highest.get(version) ?? 0); index++) {
      if (!places.has(`${version} ${index}`)) missing.push(`version ${version} index ${index}`);
    }
  }
  const early = done.filter(({ version, index }) => version < after || (version === after && index >= 0));
  const unknown = ends.filter(({ outcome }) => outcome === 'unknown').length;
  return [
    ...early.map((one) => `${tell(one)} is not after version ${after}`),
    ...(missing.length > unknown ? [`nobody has ${missing.join(', ')}, and only ${unknown} are unknown`] : []),
    ...(last !== undefined && top > last ? [`the last version is ${last}, but ${top} was told`] : []),
  ];
}

/** Of two, of which the first had ended when the second was called, the first has the earlier place. */
function outOfTime(done: readonly Done[]): string[] {
  const byEnd = done.toSorted((a, b) => a.end - b.end);
  let ended = 0;
  let latest: Done | undefined;
  return done
    .toSorted((a, b) => a.start - b.start)
    .flatMap((one) => {
      for (let next = byEnd[ended]; next !== undefined && next.end < one.start; next = byEnd[++ended]) {
        if (latest === undefined || byPlace(next, latest) > 0) latest = next;
      }
      if (latest === undefined || !isBefore(one, latest)) return [];
      return [`${tell(one)} was called at ${one.start}, after ${tell(latest)} had ended at ${latest.end}`];
    });
}

/** Two looks may see the same. */
const isBefore = (later: Done, earlier: Done): boolean => {
  const difference = byPlace(later, earlier);
  return difference < 0 || (difference === 0 && wrote(later));
};

/** Updates called on one instance have places in the order of the calls. */
function outOfTurn(done: readonly Done[]): string[] {
  const latest = new Map<string | number, Done>();
  return done
    .filter(wrote)
    .toSorted((a, b) => a.start - b.start)
    .flatMap((one) => {
      if (one.process === undefined) return [];
      const before = latest.get(one.process);
      latest.set(one.process, one);
      if (before === undefined || byPlace(one, before) > 0) return [];
      return [`${tell(one)} was called after ${tell(before)} by ${one.process}`];
    });
}

function misplaced(ends: readonly UpdateEnd[], log: readonly string[], isWhole: boolean): string[] {
  const known = new Map(ends.map((one) => [one.name, one]));
  const times = new Map<string, number>();
  for (const name of log) times.set(name, (times.get(name) ?? 0) + 1);
  const wrong = ends.flatMap((one) => {
    const found = times.get(one.name) ?? 0;
    if (one.outcome === 'unknown') return found > 1 ? [`${one.name} is unknown and was applied ${found} times`] : [];
    const expected = one.outcome === 'done' && wrote(one) ? 1 : 0;
    if (found === expected) return [];
    return [`${one.name} ${one.outcome === 'done' ? 'was acknowledged' : 'failed'} and was applied ${found} times`];
  });
  const strangers = isWhole ? [...times.keys()].filter((name) => !known.has(name)) : [];
  return [
    ...wrong,
    ...strangers.map((name) => `${name} is in the log, and nobody wrote it`),
    ...outOfLogOrder(log.flatMap((name) => known.get(name) ?? [])),
  ];
}

/** Acknowledged ones stand by their places, unknown ones behind all that had ended when they were called. */
function outOfLogOrder(applied: readonly UpdateEnd[]): string[] {
  let before: Done | undefined;
  const wrong: string[] = [];
  for (const one of applied) {
    if (one.outcome !== 'done') continue;
    if (before !== undefined && byPlace(one, before) < 0) wrong.push(`${tell(one)} stands behind ${tell(before)}`);
    before = one;
  }
  let earliestEnd: Done | undefined;
  for (const one of applied.toReversed()) {
    if (one.outcome === 'unknown' && earliestEnd !== undefined && earliestEnd.end < one.start) {
      wrong.push(`${one.name} stands before ${earliestEnd.name}, which had ended when it was called`);
    }
    if (one.outcome === 'done' && one.end < (earliestEnd?.end ?? Number.POSITIVE_INFINITY)) earliestEnd = one;
  }
  return wrong;
}
