import { VirtualClock } from '@chunks/base';
import { seededRandom } from '@chunks/base/testing';
import type { AppendStore } from '@chunks/state/event-log';
import { memoryAppendStore, staleKv } from '@chunks/state/testing';
import { workersKvLog } from '@chunks/state/workers-kv';
import { describe, expect, test } from 'vitest';
import { isSoak } from '../../../../.ci/testing/runs.ts';
import { snapshotsOf } from '../../src/event-log/names.ts';
import { compactOrDie, drive, faultless, faultsOf, tallyLog } from '../support/event-logs.ts';

const LAG_MS = 60_000;
const GRACE_MS = 90_000;

const WRITERS = 100;
const EACH = 100;

/** Steps after which compactions are made to die: each of the first, then farther apart. */
const next = (step: number): number => (step < 6 ? step + 1 : Math.ceil(step * (isSoak ? 1.2 : 5)));

test('100 writers × 100 events under 60 s of lag, reordering and write limits, ten compactions, each after crashes step by step: 0 lost, 0 doubled', async () => {
  const clock = new VirtualClock();
  const random = seededRandom(1);
  const kv = staleKv({ clock, random, colos: 5, pageSize: 300, lagMs: LAG_MS });
  const stores = kv.colos.map(workersKvLog);
  const at = (i: number): AppendStore => stores[i % stores.length] as AppendStore;
  const appended = new Map<string, number>();

  async function write(writer: number): Promise<void> {
    const [here, elsewhere] = [tallyLog(at(writer), clock), tallyLog(at(writer + 1), clock)];
    for (let i = 0; i < EACH; i++) {
      await clock.sleep(random() * 8_000);
      const name = `${writer}-${i}`;
      // Every third one by a caller who gets no reply, and asks again at another place.
      const id = i % 3 === 0 ? `id of ${name}` : undefined;
      await here.append('log', { name }, { id });
      if (id !== undefined) await elsewhere.append('log', { name }, { id });
      appended.set(name, clock.now());
    }
  }

  async function readFrom(store: AppendStore): Promise<number> {
    const startedMs = clock.now();
    const { state, events } = await drive(clock, tallyLog(store, clock).read('log'));
    const { doubled } = faultsOf(state, appended.keys());
    const due = [...appended].filter(([, ms]) => ms + LAG_MS <= startedMs).map(([name]) => name);
    expect({ doubled, lost: faultsOf(state, due).lost }).toEqual(faultless);
    return events;
  }

  const writing = Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
  let crashes = 0;
  for (let round = 0; round < 10; round++) {
    await clock.advance(30_000);
    for (let step = 1; !(await compactOrDie(at(round + step), clock, 'log', step)); step = next(step)) crashes++;
    await readFrom(at(round));
  }
  await drive(clock, writing, 1_000);
  await clock.advance(LAG_MS);
  for (const store of stores) expect(await readFrom(store)).toBe(WRITERS * EACH);
  // It was folded and deleted in earnest.
  expect(crashes).toBeGreaterThan(40);
  expect(kv.counts.delete).toBeGreaterThan(5_000);
});

/** Events that are old enough, on a store that lags. */
async function aged(seed: number, events = 12) {
  const clock = new VirtualClock();
  const kv = staleKv({ clock, random: seededRandom(seed), latencyMs: 10, pageSize: 5 });
  const stores = kv.colos.map(workersKvLog) as [AppendStore, AppendStore, AppendStore];
  const names: string[] = [];
  const write = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const name = `event ${names.length}`;
      names.push(name);
      await drive(
        clock,
        tallyLog(stores[i % 3] as AppendStore, clock).append('log', { name }, i % 2 ? { id: name } : {}),
      );
    }
    await clock.advance(GRACE_MS);
  };
  const check = async (): Promise<void> => {
    for (const store of stores) {
      const { state } = await drive(clock, tallyLog(store, clock).read('log'));
      expect(faultsOf(state, names)).toEqual(faultless);
    }
  };
  await write(events);
  return { clock, kv, stores, write, check };
}

describe('a compactor that dies', () => {
  test('after any write leaves everything readable, at every moment, and the next one finishes its work', async () => {
    let deaths = 0;
    for (let step = 1; step < 40; step++) {
      const { clock, kv, stores, write, check } = await aged(step, 6);
      // In each of three rounds: fold; fold and delete; delete.
      for (let round = 0; round < 3; round++) {
        if (!(await compactOrDie(stores[round] as AppendStore, clock, 'log', step))) deaths++;
        await check();
        await clock.advance(GRACE_MS);
        await check();
        if (round === 0) await write(6);
      }
      for (let round = 0; round < 3; round++) {
        await drive(clock, tallyLog(stores[0], clock).compact('log'));
        await check();
        await clock.advance(GRACE_MS);
      }
      expect([...kv.truth().keys()].filter((key) => key.includes('/e/'))).toEqual([]);
      expect([...kv.truth().keys()].filter((key) => !key.includes('.')).length).toBe(1);
    }
    expect(deaths).toBeGreaterThan(12);
  });
});

describe('two compactors at once', () => {
  test('do no harm, whatever each is shown, and delete in the end', async () => {
    for (let seed = 0; seed < 10; seed++) {
      const { clock, kv, stores, write, check } = await aged(seed);
      for (let round = 0; round < 4; round++) {
        const both = stores.slice(0, 2).map((store) => tallyLog(store, clock).compact('log'));
        await check();
        await drive(clock, Promise.all(both));
        await check();
        await write(4);
      }
      for (let round = 0; round < 3; round++) {
        await drive(clock, Promise.all(stores.map((store) => tallyLog(store, clock).compact('log'))));
        await clock.advance(GRACE_MS);
      }
      await check();
      expect([...kv.truth().keys()].filter((key) => key.includes('/e/'))).toEqual([]);
    }
  });

  test('that fold and delete as often as they can lose nothing for those who see late', async () => {
    for (let seed = 0; seed < 25; seed++) {
      const { clock, stores, check } = await aged(seed, 6);
      for (let round = 0; round < 6; round++) {
        await drive(clock, tallyLog(stores[round % 2] as AppendStore, clock).compact('log'));
        await clock.advance(seed * 500);
        await check();
      }
    }
  });

  test('that each missed what the other folded delete nothing before a third has both', async () => {
    const clock = new VirtualClock();
    const store = memoryAppendStore();
    const o = { graceMs: 1_000 };
    const log = tallyLog(store, clock, o);
    const [a, b] = [await log.append('log', { name: 'a' }), await log.append('log', { name: 'b' })];
    await clock.advance(1_000);
    // What each is shown: all but one event, and no snapshot of the other.
    const without = (...ends: readonly string[]): AppendStore => ({
      ...store,
      list: async (prefix, cursor) => {
        const page = await store.list(prefix, cursor);
        return { ...page, keys: page.keys.filter((key) => !ends.some((end) => key.includes(end))) };
      },
    });
    const first = tallyLog(without(b.id), clock, o);
    expect(await first.compact('log')).toEqual({ folded: 1, removed: 0 });
    const other = [...store.records.keys()].filter((key) => key.startsWith('log/s/')).map((key) => key.slice(6));
    expect(await tallyLog(without(a.id, ...other), clock, o).compact('log')).toEqual({ folded: 1, removed: 0 });
    for (let round = 0; round < 4; round++) {
      await clock.advance(1_000);
      // One that only sees the events of its own does not delete them.
      const { removed } = await first.compact('log').catch(() => ({ removed: 0 }));
      expect(round > 0 || removed === 0).toBe(true);
      await log.compact('log');
      expect(await log.read('log', { timeoutMs: 10 })).toEqual({ state: { times: { a: 1, b: 1 } }, events: 2 });
    }
    expect([...store.records.keys()].filter((key) => key.startsWith('log/e/'))).toEqual([]);
  });
});

describe('what one compaction does', () => {
  const world = () => {
    const clock = new VirtualClock();
    const store = memoryAppendStore();
    const log = tallyLog(store, clock, { graceMs: 1_000 });
    const keys = (part: string): string[] => [...store.records.keys()].filter((key) => key.startsWith(`log/${part}/`));
    return { clock, store, log, keys };
  };

  test('folds what is old enough, and deletes it a grace later', async () => {
    const { clock, log, keys } = world();
    await log.append('log', { name: 'old' });
    await clock.advance(600);
    await log.append('log', { name: 'young' });
    await clock.advance(400);
    expect(await log.compact('log')).toEqual({ folded: 1, removed: 0 });
    expect([keys('e').length, keys('s').length]).toEqual([2, 2]);
    await clock.advance(999);
    expect(await log.compact('log')).toEqual({ folded: 1, removed: 0 });
    await clock.advance(1);
    // The first snapshot is settled, the second stands beside it and contains as much.
    expect(await log.compact('log')).toEqual({ folded: 0, removed: 1 });
    await clock.advance(999);
    expect(await log.compact('log')).toEqual({ folded: 0, removed: 1 });
    expect(keys('e')).toEqual([]);
    expect((await log.read('log')).events).toBe(2);
  });

  test('with nothing to do writes nothing', async () => {
    const { clock, store, log } = world();
    expect(await log.compact('log')).toEqual({ folded: 0, removed: 0 });
    await log.append('log', { name: 'a' });
    expect(await log.compact('log')).toEqual({ folded: 0, removed: 0 });
    expect(store.records.size).toBe(1);
    await clock.advance(1_000);
    await log.compact('log');
    const before = [...store.records.keys()];
    await log.compact('log');
    expect([...store.records.keys()]).toEqual(before);
  });

  test('takes the 1,000 oldest events', async () => {
    const { clock, log } = world();
    for (let i = 0; i < 1_001; i++) await log.append('log', { name: `${i}` });
    await clock.advance(1_000);
    expect(await log.compact('log')).toEqual({ folded: 1_000, removed: 0 });
    await clock.advance(1_000);
    expect(await log.compact('log')).toEqual({ folded: 1, removed: 1_000 });
    expect((await log.read('log')).events).toBe(1_001);
  });

  test('a log stays small: snapshots, marks, names and ids go in the end', async () => {
    const { clock, store, log, keys } = world();
    for (let round = 0; round < 300; round++) {
      await log.append('log', { name: 'the same' });
      await clock.advance(10_000);
      await log.compact('log');
    }
    expect([keys('e').length <= 3, keys('s').length <= 8]).toEqual([true, true]);
    const last = store.records.get(
      keys('s')
        .filter((key) => !key.includes('.'))
        .sort()
        .at(-1) as string,
    ) as string;
    const { folded, supersedes, count } = JSON.parse(last);
    expect(count).toBe(300);
    // 8 min and more of one every 10 s.
    expect(folded.length).toBeLessThan(70);
    expect(supersedes.length).toBeLessThan(70);
    expect((await log.read('log')).state.times).toEqual({ 'the same': 300 });
  });

  test('one that was held up after it looked writes no snapshot', async () => {
    const { clock, store, log, keys } = world();
    await log.append('log', { name: 'a' });
    await clock.advance(1_000);
    let isHeld = true;
    const slow: AppendStore = {
      ...store,
      get: async (key) => {
        // As a process that is stopped: time has gone by, and no timer has run.
        if (isHeld) clock.jump(121_000);
        return store.get(key);
      },
    };
    expect(await tallyLog(slow, clock, { graceMs: 1_000 }).compact('log')).toEqual({ folded: 0, removed: 0 });
    expect(keys('s')).toEqual([]);
    isHeld = false;
    expect(await tallyLog(slow, clock, { graceMs: 1_000 }).compact('log')).toEqual({ folded: 1, removed: 0 });
  });

  test('what cannot be kept is refused, and nothing is written or deleted', async () => {
    const { clock, store, log, keys } = world();
    await log.append('log', { name: 'a' });
    await clock.advance(1_000);
    const lossy = tallyLog(store, clock, { graceMs: 1_000, reduce: (state) => void (state.times['at'] = Number.NaN) });
    await expect(lossy.compact('log')).rejects.toMatchObject({ code: 'LOSSY_STATE', path: 'state.times.at' });
    const broken = new Error('reduce');
    const throwing = tallyLog(store, clock, {
      graceMs: 1_000,
      reduce: () => {
        throw broken;
      },
    });
    await expect(throwing.compact('log')).rejects.toBe(broken);
    expect([keys('s'), keys('e').length]).toEqual([[], 1]);
    expect(snapshotsOf('log')).toBe('log/s/');
  });
});
