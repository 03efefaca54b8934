import { VirtualClock } from '@chunks/base';
import type { AppendStore } from '@chunks/state/event-log';
import { memoryAppendStore } from '@chunks/state/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { LogCalls } from '../../src/event-log/log-calls.ts';
import { eventsOf, markAt, snapshotsOf } from '../../src/event-log/names.ts';
import { type EventRecord, encodeEvent, encodeSnapshot, type Snapshot } from '../../src/event-log/records.ts';
import { foldEvents, look, shows, type View } from '../../src/event-log/view.ts';

const NOW_MS = 1_700_000_000_000;
const GRACE_MS = 1_000;

let store: ReturnType<typeof memoryAppendStore>;
beforeEach(() => {
  store = memoryAppendStore({ pageSize: 2 });
});

const positionAt = (ms: number, writer: string): string => `${ms.toString(36).padStart(9, '0')}000-${writer}`;
/** Position of an old event, by its name. */
const p = (name: string): string => positionAt(NOW_MS - 10_000, name);

const events = (...names: readonly string[]): void => {
  for (const name of names) store.records.set(eventsOf('k') + p(name), encodeEvent('k', undefined, name));
};

interface Plan {
  readonly holds: readonly string[];
  readonly gone?: Readonly<Record<string, number>>;
  readonly supersedes?: readonly string[];
  readonly atMs?: number;
  /** Whole positions. */
  readonly also?: readonly string[];
}

const nameOf = (name: string): string => positionAt(NOW_MS - 5_000, name);

function snapshot(name: string, { holds, gone = {}, supersedes = [], atMs = NOW_MS - 5_000, also = [] }: Plan): void {
  const made: Snapshot = {
    name: nameOf(name),
    atMs,
    count: holds.length,
    forgot: '',
    folded: new Map([
      ...holds.map((one) => [p(one), { id: undefined, goneMs: gone[one] ?? 0 }] as const),
      ...also.map((position) => [position, { id: undefined, goneMs: 0 }] as const),
    ]),
    supersedes: new Map(supersedes.map((one) => [nameOf(one), 0])),
    state: { seen: holds },
  };
  store.records.set(snapshotsOf('k') + nameOf(name), encodeSnapshot('k', made));
}

const see = (o: { compacts?: boolean; through?: Partial<AppendStore> } = {}): Promise<View | undefined> =>
  look({
    calls: new LogCalls({ ...store, ...o.through }, new VirtualClock()),
    key: 'k',
    nowMs: NOW_MS,
    graceMs: GRACE_MS,
    known: new Map(),
    compacts: o.compacts ?? false,
  });

const seen = (view: View | undefined): unknown =>
  view &&
  foldEvents(view.base, view.events, {
    initial: () => ({ seen: [] as string[] }),
    reduce: (state, event: string) => void state.seen.push(event),
  }).state.seen;

/** A store that lists what `lists` says and cannot give what `hides` says. */
const hiding = (...hidden: readonly string[]): Partial<AppendStore> => ({
  get: async (key) => (hidden.some((name) => key.endsWith(`-${name}`)) ? undefined : store.get(key)),
});

describe('look', () => {
  test('starts from the snapshot, leaves out what is in it, and keeps the order', async () => {
    events('c', 'a', 'b');
    snapshot('S', { holds: ['a'] });
    expect(seen(await see())).toEqual(['a', 'b', 'c']);
  });

  test('does not fetch what a snapshot supersedes, unless it is to compact', async () => {
    snapshot('R', { holds: ['a'] });
    snapshot('S', { holds: ['a', 'b'], supersedes: ['R'] });
    const got: string[] = [];
    const through = {
      get: async (key: string) => {
        got.push(key);
        return store.get(key);
      },
    };
    expect((await see({ through }))?.snapshots.length).toBe(1);
    expect(got).toEqual([snapshotsOf('k') + nameOf('S')]);
    const view = await see({ through, compacts: true });
    expect([view?.snapshots.length, view?.heads.length, got.length]).toEqual([2, 1, 3]);
  });

  test('a superseded snapshot that is listed and gone is no matter', async () => {
    snapshot('R', { holds: ['a'] });
    snapshot('S', { holds: ['a', 'b'], supersedes: ['R'] });
    expect(seen(await see({ through: hiding('R'), compacts: true }))).toEqual(['a', 'b']);
  });

  test('of two heads, takes the one to which it can add the rest', async () => {
    snapshot('R', { holds: ['a', 'b', 'c'] });
    snapshot('S', { holds: ['d', 'e'] });
    events('d', 'e');
    expect(seen(await see())).toEqual(['a', 'b', 'c', 'd', 'e']);
    store.records.clear();
    snapshot('R', { holds: ['a', 'b', 'c'] });
    snapshot('S', { holds: ['d', 'e'] });
    events('a', 'b', 'c');
    const view = await see();
    expect(seen(view)).toEqual(['d', 'e', 'a', 'b', 'c']);
    expect([...(view?.owed ?? [])].sort()).toEqual([p('a'), p('b'), p('c')]);
  });

  test('of two heads of which each lacks something of the other: looks again', async () => {
    snapshot('R', { holds: ['a', 'b'] });
    snapshot('S', { holds: ['b', 'c'] });
    expect(await see()).toBeUndefined();
    events('c');
    expect(seen(await see())).toEqual(['a', 'b', 'c']);
    // It is listed and cannot be had.
    expect(await see({ through: hiding('c') })).toBeUndefined();
  });

  test('what was known to be deleted before a head was made is in it, forgotten or not', async () => {
    snapshot('R', { holds: ['a', 'b'], gone: { a: NOW_MS - 9_000 } });
    snapshot('S', { holds: ['c', 'd'], atMs: NOW_MS - 8_000 });
    events('b');
    expect(seen(await see())).toEqual(['c', 'd', 'b']);
    store.records.clear();
    snapshot('R', { holds: ['a', 'b'], gone: { a: NOW_MS - 7_000 } });
    snapshot('S', { holds: ['c', 'd'], atMs: NOW_MS - 8_000 });
    events('b');
    expect(await see()).toBeUndefined();
  });

  test('an event that is listed and cannot be had is left out when no other snapshot has come', async () => {
    events('a', 'b');
    expect(seen(await see({ through: hiding('b') }))).toEqual(['a']);
    snapshot('S', { holds: ['a'] });
    expect(seen(await see({ through: hiding('S') }))).toEqual(['a', 'b']);
  });

  test('and looks again when one has: then it may have been deleted', async () => {
    events('a', 'b');
    const through: Partial<AppendStore> = {
      get: async (key) => {
        if (!key.endsWith('-b')) return store.get(key);
        snapshot('S', { holds: ['a', 'b'] });
        store.records.delete(eventsOf('k') + p('b'));
        return undefined;
      },
    };
    expect(await see({ through })).toBeUndefined();
    expect(seen(await see())).toEqual(['a', 'b']);
  });

  test('events are listed before snapshots: what is deleted meanwhile is in one', async () => {
    events('a', 'b');
    const through: Partial<AppendStore> = {
      list: async (prefix, cursor) => {
        const page = await store.list(prefix, cursor);
        snapshot('S', { holds: ['a', 'b'] });
        for (const name of ['a', 'b']) store.records.delete(eventsOf('k') + p(name));
        return page;
      },
    };
    expect(seen(await see({ through }))).toEqual(['a', 'b']);
  });

  test('to compact, the young are left alone, those owed to a head are not', async () => {
    const young = positionAt(NOW_MS - GRACE_MS + 1, 'y');
    const old = positionAt(NOW_MS - GRACE_MS, 'o');
    for (const position of [young, old]) {
      store.records.set(eventsOf('k') + position, encodeEvent('k', undefined, position));
    }
    expect((await see({ compacts: true }))?.events.map(({ position }) => position)).toEqual([old]);
    expect((await see())?.events.length).toBe(2);
    expect((await see({ compacts: true }))?.positions.size).toBe(2);
    // By a compactor whose clock is ahead.
    snapshot('R', { holds: ['a', 'b', 'c'] });
    snapshot('S', { holds: [], also: [young] });
    const view = await see({ compacts: true });
    expect([...(view?.owed ?? [])]).toEqual([young]);
    expect(view?.events.map(({ position }) => position)).toEqual([old, young]);
  });

  test('marks say since when a snapshot has been seen', async () => {
    snapshot('S', { holds: [] });
    for (const ms of [NOW_MS, NOW_MS + 1]) store.records.set(snapshotsOf('k') + markAt(nameOf('S'), ms), '1');
    const view = await see();
    expect([...(view?.names ?? [])]).toEqual([nameOf('S')]);
    expect([...(view?.marks.get(nameOf('S')) ?? [])].sort()).toEqual([NOW_MS, NOW_MS + 1]);
  });
});

describe('foldEvents', () => {
  const record = (position: string, id: string, event: string): EventRecord => ({ position, id, event });
  const reducer = {
    initial: () => ({ seen: '' }),
    reduce: (state: { seen: string }, event: string) => ({ seen: state.seen + event }),
  };

  test('takes each id once, the first of them, and not what the base has', () => {
    const all = [record('1', 'x', 'a'), record('2', 'y', 'b'), record('3', 'x', 'c')];
    expect(foldEvents(undefined, all, reducer)).toEqual({ state: { seen: 'ab' }, count: 2 });
    const base: Snapshot = {
      name: 's',
      atMs: 1,
      count: 7,
      forgot: '',
      folded: new Map([['0', { id: 'y', goneMs: 5 }]]),
      supersedes: new Map(),
      state: { seen: '…' },
    };
    expect(foldEvents(base, all, reducer)).toEqual({ state: { seen: '…a' }, count: 8 });
  });
});

describe('shows', () => {
  test('an event among the events, in the base, or forgotten by it', async () => {
    events('b');
    snapshot('S', { holds: ['a'] });
    const view = (await see()) as View;
    expect([shows(view, p('a')), shows(view, p('b')), shows(view, p('c'))]).toEqual([true, true, false]);
    const base = { ...(view.base as Snapshot), forgot: p('m') };
    expect([
      shows({ ...view, base }, p('c')),
      shows({ ...view, base }, p('z')),
      shows({ ...view, base }, 'own'),
    ]).toEqual([true, false, false]);
  });
});
