import { VirtualClock } from '@chunks/base';
import { seededRandom } from '@chunks/base/testing';
import { type AppendStore, EventLog } from '@chunks/state/event-log';
import { memoryAppendStore, staleKv } from '@chunks/state/testing';
import { type KvNamespace, workersKvLog } from '@chunks/state/workers-kv';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../../.ci/testing/runs.ts';
import { opaqueKeys } from '../../src/testing/opaque-keys.ts';
import { drive, tallyLog } from '../support/event-logs.ts';
import { play, steps } from './event-log-model.ts';

const GRACE_MS = 1_000;

function world() {
  const clock = new VirtualClock();
  const store = memoryAppendStore();
  return { clock, store, open: (o = {}) => tallyLog(store, clock, { graceMs: GRACE_MS, ...o }) };
}

/** A log of texts in the order in which they were folded. */
const inOrder = (store: AppendStore, clock: VirtualClock) =>
  new EventLog({
    store,
    clock,
    graceMs: GRACE_MS,
    initial: () => ({ seen: [] as string[] }),
    reduce: (state, event: string) => ({ seen: [...state.seen, event] }),
  });

test('random programs of appends, reads, compactions and crashes at several places agree with a plain list', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.nat(), async (program, seed) => {
      expect(await play(program, seed)).toEqual([]);
    }),
    { numRuns: runs(150) },
  );
});

describe('append and read', () => {
  test('a log without events is the initial state', async () => {
    expect(await world().open().read('log')).toEqual({ state: { times: {} }, events: 0 });
  });

  test('events fold in the order of time and writer, also over a snapshot, and when the clock goes back', async () => {
    const { clock, store: inner } = world();
    // Its lists are in no order.
    const store: AppendStore = {
      ...inner,
      list: async (prefix, cursor) => {
        const page = await inner.list(prefix, cursor);
        return { ...page, keys: page.keys.reverse() };
      },
    };
    const log = inOrder(store, clock);
    for (const event of ['a', 'b', 'c']) await log.append('log', event);
    clock.jump(-500);
    await log.append('log', 'd');
    await clock.advance(2_000);
    expect((await log.read('log')).state.seen).toEqual(['a', 'b', 'c', 'd']);
    await log.compact('log');
    await log.append('log', 'e', { id: 'zzz' });
    await clock.advance(1);
    await log.append('log', 'f', { id: 'aaa' });
    expect(await inOrder(store, clock).read('log')).toEqual({
      state: { seen: ['a', 'b', 'c', 'd', 'e', 'f'] },
      events: 6,
    });
  });

  test('a late event folds after the snapshot that missed it', async () => {
    const { clock, store } = world();
    const late: AppendStore = { ...store, put: (key, value) => clock.sleep(5_000).then(() => store.put(key, value)) };
    const appending = inOrder(late, clock).append('log', 'late');
    const log = inOrder(store, clock);
    await clock.advance(10);
    await log.append('log', 'early');
    await clock.advance(2_000);
    await log.compact('log');
    await drive(clock, appending);
    expect((await log.read('log')).state.seen).toEqual(['early', 'late']);
    await clock.advance(2_000);
    await log.compact('log');
    expect((await log.read('log')).state.seen).toEqual(['early', 'late']);
  });

  test('reads do not share a state', async () => {
    const { open } = world();
    await open().append('log', { name: 'a' });
    const log = open();
    (await log.read('log')).state.times['a'] = 7;
    expect((await log.read('log')).state.times).toEqual({ a: 1 });
  });

  test('an event that JSON would lose is refused with the path, nothing is written', async () => {
    const { clock, store } = world();
    const log = new EventLog({ store, clock, initial: () => ({}), reduce: (_, __: unknown) => undefined });
    await expect(log.append('log', { at: { when: new Date(0) } })).rejects.toMatchObject({
      code: 'LOSSY_STATE',
      path: 'event.at.when',
      key: 'log',
    });
    expect(store.records.size).toBe(0);
  });

  test('an abort before sending writes nothing', async () => {
    const { store, open } = world();
    await expect(
      open().append('log', { name: 'a' }, { signal: AbortSignal.abort(new Error('no more')) }),
    ).rejects.toThrow('no more');
    expect(store.records.size).toBe(0);
  });

  test('no key reaches the events of another', async () => {
    const { clock, store } = world();
    const log = inOrder(store, clock);
    const keys = opaqueKeys(600);
    for (const key of keys) await log.append(key, key);
    await clock.advance(GRACE_MS);
    for (const key of keys) expect(await log.compact(key)).toEqual({ folded: 1, removed: 0 });
    await clock.advance(GRACE_MS);
    for (const key of keys) expect(await log.compact(key)).toEqual({ folded: 0, removed: 1 });
    for (const key of keys) expect((await log.read(key)).state.seen).toEqual([key]);
  });

  test('the writer stands in the key, and two of one name do not meet', async () => {
    const { store, open } = world();
    const logs = [open({ writerId: 'a/b' }), open({ writerId: 'a/b' }), open()];
    await Promise.all(logs.map((log, i) => log.append('log', { name: `${i}` })));
    const keys = [...store.records.keys()];
    expect(keys.length).toBe(3);
    expect(keys.filter((key) => key.includes('-a%002fb-')).length).toBe(2);
  });
});

describe('ids', () => {
  test('one id counts once: at once, later, over a snapshot, and after its event was deleted', async () => {
    const { clock, store, open } = world();
    const append = () => open().append('log', { name: 'a' }, { id: 'request-1' });
    expect(await Promise.all([append(), append()])).toEqual([{ id: 'request-1' }, { id: 'request-1' }]);
    for (let round = 0; round < 6; round++) {
      await append();
      expect(await open().read('log')).toEqual({ state: { times: { a: 1 } }, events: 1 });
      await clock.advance(GRACE_MS);
      await open().compact('log');
    }
    await clock.advance(86_000_000);
    await open().compact('log');
    await append();
    expect((await open().read('log')).events).toBe(1);
    expect([...store.records.keys()].filter((key) => key.startsWith('log/e/')).length).toBe(1);
  });

  test('are forgotten after rememberMs, and not before', async () => {
    const { clock, open } = world();
    const log = open({ rememberMs: 1_000_000 });
    const again = async (): Promise<number> => {
      await log.append('log', { name: 'a' }, { id: 'request-1' });
      return (await log.read('log')).events;
    };
    const compactTwice = async (): Promise<void> => {
      for (let i = 0; i < 3; i++) {
        // Something to fold, or no snapshot would be written.
        await log.append('log', { name: 'b' }, { id: 'other' });
        await clock.advance(GRACE_MS);
        await log.compact('log');
      }
    };
    expect(await again()).toBe(1);
    await compactTwice();
    await clock.advance(900_000);
    await compactTwice();
    expect(await again()).toBe(2);
    await compactTwice();
    // Now both ids are listed no more; the duplicates of the other one keep that one alive.
    await clock.advance(1_100_000);
    await log.append('log', { name: 'c' });
    await clock.advance(GRACE_MS);
    await log.compact('log');
    await clock.advance(1_100_000);
    await log.append('log', { name: 'c' });
    await clock.advance(GRACE_MS);
    await log.compact('log');
    expect(await again()).toBe(5);
    expect((await log.read('log')).state.times).toMatchObject({ a: 2 });
  });

  test('the first event of an id counts, another one is ignored by everybody', async () => {
    const { clock, open } = world();
    await open().append('log', { name: 'first' }, { id: 'x' });
    await clock.advance(1);
    await open().append('log', { name: 'second' }, { id: 'x' });
    for (let round = 0; round < 4; round++) {
      expect((await open().read('log')).state.times).toEqual({ first: 1 });
      await clock.advance(GRACE_MS);
      await open().compact('log');
    }
  });

  test('an append whose reply was lost counts once, and one that may have landed says so', async () => {
    const { clock, store } = world();
    let puts = 0;
    const log = tallyLog(
      {
        ...store,
        put: async (key, value) => {
          await store.put(key, value);
          if (++puts < 4) throw new Error('the reply was lost');
        },
      },
      clock,
    );
    await drive(clock, log.append('log', { name: 'a' }));
    expect([puts, (await log.read('log')).events]).toEqual([4, 1]);
    const silent = tallyLog({ ...store, put: () => new Promise(() => undefined) }, clock);
    await expect(drive(clock, silent.append('log', { name: 'b' }))).rejects.toMatchObject({ code: 'UPDATE_AMBIGUOUS' });
  });
});

describe('atLeast', () => {
  test('waits until the event shows, wherever one reads', async () => {
    for (let seed = 0; seed < 10; seed++) {
      const clock = new VirtualClock();
      const kv = staleKv({ clock, random: seededRandom(seed) });
      const [here, there] = kv.colos.map(workersKvLog) as [AppendStore, AppendStore];
      for (const id of [undefined, 'own']) {
        const appended = await tallyLog(here, clock).append('log', { name: `${id}` }, { id });
        const { state } = await drive(clock, tallyLog(there, clock).read('log', { atLeast: appended.id }));
        expect(state.times[`${id}`]).toBe(1);
      }
    }
  });

  test('finds an event in a snapshot, and one of the log’s own ids that was forgotten', async () => {
    const { clock, store, open } = world();
    const log = open();
    const { id } = await log.append('log', { name: 'a' });
    for (let round = 0; round < 5; round++) {
      expect((await log.read('log', { atLeast: id, timeoutMs: 1 })).events).toBe(1 + round);
      await log.append('log', { name: 'b' });
      await clock.advance(round < 3 ? GRACE_MS : 600_000);
      await log.compact('log');
    }
    const last = [...store.records.keys()]
      .filter((key) => /\/s\/[^.]+$/.test(key))
      .sort()
      .at(-1) as string;
    expect(store.records.get(last)).not.toContain(id.slice(0, 12));
    expect((await log.read('log', { atLeast: id, timeoutMs: 1 })).events).toBe(6);
  });

  test('that never comes is UPDATE_TIMEOUT', async () => {
    const { clock, open } = world();
    await expect(drive(clock, open().read('log', { atLeast: 'never', timeoutMs: 5_000 }))).rejects.toMatchObject({
      code: 'UPDATE_TIMEOUT',
      key: 'log',
      timeoutMs: 5_000,
    });
    await expect(drive(clock, open().read('log', { atLeast: 'never' }))).rejects.toMatchObject({ timeoutMs: GRACE_MS });
    expect(clock.pending).toBe(0);
  });
});

describe('what stands in the store', () => {
  const truncated = (text: string): string => text.slice(0, -3);

  test.each([
    ['a damaged event', 'log/e/', truncated],
    ['a damaged snapshot', 'log/s/', truncated],
    ['a record of something else', 'log/e/', () => '{"version":3}'],
  ])('%s is CORRUPT_RECORD, and is left untouched', async (_, prefix, damage) => {
    const { clock, store, open } = world();
    await open().append('log', { name: 'a' });
    await clock.advance(GRACE_MS);
    if (prefix === 'log/s/') await open().compact('log');
    const key = [...store.records.keys()].filter((name) => name.startsWith(prefix) && !name.includes('.'))[0] as string;
    store.records.set(key, damage(store.records.get(key) as string));
    const before = [...store.records];
    await expect(open().read('log')).rejects.toMatchObject({ code: 'CORRUPT_RECORD', key: 'log' });
    await expect(open().compact('log')).rejects.toMatchObject({ code: 'CORRUPT_RECORD', key: 'log' });
    expect([...store.records]).toEqual(before);
  });

  test.each(['log/e/foreign', 'log/s/foreign'])('a key that is none of ours is CORRUPT_RECORD: %s', async (key) => {
    const { store, open } = world();
    store.records.set(key, '1');
    await expect(open().read('log')).rejects.toMatchObject({ cause: { message: `under ${key}` } });
    await expect(open().compact('log')).rejects.toMatchObject({ code: 'CORRUPT_RECORD' });
    expect([...store.records]).toEqual([[key, '1']]);
  });
});

describe('exclusively', () => {
  test('each compaction runs under it, for its key; its refusal comes through', async () => {
    const keys: string[] = [];
    const { clock, open } = world();
    const log = open({
      exclusively: async <T>(key: string, task: () => Promise<T>): Promise<T> => {
        keys.push(key);
        if (keys.length > 1) throw new Error('busy');
        return task();
      },
    });
    await log.append('log', { name: 'a' });
    await clock.advance(GRACE_MS);
    expect(await log.compact('log')).toEqual({ folded: 1, removed: 0 });
    await expect(log.compact('other')).rejects.toThrow('busy');
    expect(keys).toEqual(['log', 'other']);
  });
});

describe('input', () => {
  const store = memoryAppendStore();
  const good = { store, initial: () => ({}), reduce: () => undefined };
  test.each([
    [{ store: {} }, 'store must be an AppendStore'],
    [{ store: undefined }, 'store must be an AppendStore, but is undefined'],
    [{ initial: {} }, 'initial must be a function'],
    [{ reduce: 7 }, 'reduce must be a function, but is 7'],
    [{ writerId: '' }, 'writerId must be a non-empty string'],
    [{ graceMs: 0 }, 'graceMs must be a number ≥ 1, but is 0'],
    [{ rememberMs: -1 }, 'rememberMs must be a number ≥ 0, but is -1'],
    [{ exclusively: true }, 'exclusively must be a function, but is true'],
  ])('%j is refused', (wrong, message) => {
    expect(() => new EventLog({ ...good, ...wrong } as never)).toThrow(message);
  });

  test('of calls is refused', async () => {
    const log = new EventLog(good);
    await expect(log.append(7 as never, 1)).rejects.toThrow('key must be a string, but is 7');
    await expect(log.append('k', 1, { id: '' })).rejects.toThrow('id must be a non-empty string');
    await expect(log.read('k', { atLeast: 7 as never })).rejects.toThrow('atLeast must be a string, but is 7');
    await expect(log.read('k', { timeoutMs: 0 })).rejects.toThrow('timeoutMs must be a number ≥ 1, but is 0');
    await expect(log.compact(null as never)).rejects.toThrow('key must be a string');
  });

  test('the real binding’s shape fits', () => {
    const colo: KvNamespace = staleKv({ colos: 1 }).colos[0] as KvNamespace;
    expect(workersKvLog(colo).name).toBe('workers-kv');
  });
});
