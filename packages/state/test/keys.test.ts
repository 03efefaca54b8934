import { countListeners, settle, VirtualClock } from '@chunks/base/testing';
import { createState, memoryStore, type State, type VersionedStore } from '@chunks/state';
import { faultyStore, type StoreFault } from '@chunks/state/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../.ci/testing/runs.ts';
import { passOn } from '../src/testing/pass-on.ts';
import { codeOf, drive, recording } from './support/stores.ts';

const HOUR_MS = 3_600_000;
interface Doc {
  n: number;
}
const make = (store: VersionedStore, clock = new VirtualClock()): State<Doc> =>
  createState<Doc>({ store, initial: () => ({ n: 0 }), clock, random: () => 0.5, attemptTimeoutMs: 200 });
const all = async (keys: AsyncIterable<string>): Promise<string[]> => {
  const found: string[] = [];
  for await (const key of keys) found.push(key);
  return found;
};

/** Counts what is asked, and how many reads are under way at most. */
function counting(inner: VersionedStore, before: () => Promise<unknown> = async () => undefined) {
  const counts = { listed: 0, reads: 0, under: 0, most: 0, left: 0, removes: 0 };
  const store: VersionedStore = {
    ...passOn(inner),
    async *list(prefix, o) {
      try {
        for await (const key of inner.list?.(prefix, o) ?? []) {
          counts.listed++;
          yield key;
        }
      } finally {
        counts.left++;
      }
    },
    read: async (...o) => {
      counts.reads++;
      counts.most = Math.max(counts.most, ++counts.under);
      await before();
      counts.under--;
      return inner.read(...o);
    },
    remove: async (...o) => {
      counts.removes++;
      return (await inner.remove?.(...o)) ?? false;
    },
  };
  return { store, counts };
}

describe('against a model', () => {
  const step = fc.record({
    call: fc.constantFrom('update', 'delete', 'list', 'purge', 'get', 'wait'),
    key: fc.constantFrom('a', 'a/1', 'a/1/x', ''),
    prefix: fc.constantFrom('', '', 'a', 'a/', 'b'),
    instance: fc.nat({ max: 1 }),
    ms: fc.integer({ min: 0, max: 3 * HOUR_MS }),
  });
  // Long ones on few keys: a tombstone has to come about and grow old before it is purged.
  const steps = fc.array(step, { maxLength: 60 });
  const reads: fc.Arbitrary<StoreFault> = fc.constantFrom('none', 'none', 'lose-request', 'hang-before', 'delay');

  test('list gives what is there, purge takes what was deleted long enough ago, whatever the store loses', async () => {
    const met = { purged: 0, kept: 0, listed: 0, 'deleted twice': 0, 'created again': 0 };
    await fc.assert(
      fc.asyncProperty(steps, fc.array(reads, { minLength: 1, maxLength: 9 }), async (program, faults) => {
        const clock = new VirtualClock();
        const inner = memoryStore();
        let asked = 0;
        const next = (call: string) => (call === 'read' ? (faults[asked++ % (faults.length + 1)] ?? 'none') : 'none');
        const states = [0, 1].map(() => make(faultyStore(inner, { next, clock }), clock));
        // The version, and when it was deleted.
        const model = new Map<string, { version: number; deletedMs?: number }>();
        const live = (key: string) => model.has(key) && model.get(key)?.deletedMs === undefined;
        const under = (prefix: string) => [...model.keys()].filter((key) => key.startsWith(prefix));
        for (const { call, key, prefix, instance, ms } of program) {
          const state = states[instance] as State<Doc>;
          if (call === 'wait') await clock.advance(ms);
          if (call === 'update') {
            const end = await drive(
              clock,
              state.update(key, (draft) => void draft.n++),
            );
            if (model.has(key) && !live(key)) met['created again']++;
            model.set(key, { version: (model.get(key)?.version ?? 0) + 1 });
            expect(end.version).toBe(model.get(key)?.version);
          }
          if (call === 'delete') {
            const before = clock.now();
            const was = live(key);
            expect(await drive(clock, state.delete(key))).toBe(was);
            const version = (model.get(key)?.version ?? 0) + 1;
            if (was) model.set(key, { version, deletedMs: before });
            else if (model.has(key)) met['deleted twice']++;
          }
          if (call === 'get') {
            const { version } = model.get(key) ?? {};
            expect((await drive(clock, state.get(key)))?.version).toBe(live(key) ? version : undefined);
          }
          if (call === 'list') {
            const listed = await drive(clock, all(state.list(prefix)));
            expect(listed.sort()).toEqual(under(prefix).filter(live).sort());
            met.listed += listed.length;
          }
          if (call === 'purge') {
            // Never less than an hour, for then the other instance may know better.
            const olderThanMs = HOUR_MS + ms / 3;
            const limitMs = clock.now() - olderThanMs;
            const old = under(prefix).filter((name) => (model.get(name)?.deletedMs ?? Infinity) <= limitMs - 20_000);
            const sure = under(prefix).filter((name) => (model.get(name)?.deletedMs ?? Infinity) <= limitMs + 20_000);
            const count = await drive(clock, state.purge(prefix, { olderThanMs }));
            expect(count).toBeGreaterThanOrEqual(old.length);
            expect(count).toBeLessThanOrEqual(sure.length);
            met.purged += count;
            met.kept += under(prefix).length - count;
            // What became of those in between the store knows.
            for (const name of sure) if (!(await inner.read(name, o))) model.delete(name);
            for (const name of old) expect(model.has(name)).toBe(false);
          }
        }
        expect(clock.pending).toBe(0);
      }),
      { numRuns: runs(150) },
    );
    // What is seldom met shows little.
    for (const [what, times] of Object.entries(met)) expect(times, what).toBeGreaterThan(0);
  });
  const o = { signal: new AbortController().signal };
});

describe('list', () => {
  const filled = async (count: number) => {
    const inner = memoryStore();
    const state = make(inner);
    for (let i = 0; i < count; i++) await state.update(`k${i}`, () => undefined);
    return inner;
  };

  test('asks for nothing before it must: sixteen ahead at most, and lets the store go when it is left', async () => {
    const clock = new VirtualClock();
    const { store, counts } = counting(await filled(100), () => clock.sleep(10));
    const state = make(store, clock);
    const keys = state.list('k');
    await settle();
    expect(counts).toMatchObject({ listed: 0, reads: 0 });
    const first = (async () => {
      for await (const key of keys) return key;
      return undefined;
    })();
    for (let i = 0; i < 20; i++) await settle();
    expect(await drive(clock, first)).toBe('k0');
    await settle();
    expect(counts).toMatchObject({ listed: 16, reads: 16, most: 16, left: 1 });
    expect(await drive(clock, all(state.list('k')))).toHaveLength(100);
    expect(counts.most).toBe(16);
  });

  test('does not push what is in use out of memory: versions seen stay known', async () => {
    const inner = await filled(1_100);
    let regressed = false;
    const store: VersionedStore = {
      ...passOn(inner),
      read: async (key, o) => (regressed && key === 'k0' ? undefined : inner.read(key, o)),
    };
    const state = make(store);
    await state.get('k0');
    expect(await all(state.list('k'))).toHaveLength(1_100);
    regressed = true;
    expect(await state.get('k0').catch(codeOf)).toBe('STORE_REGRESSED');
  });

  test('a record that cannot be read is listed, and not purged', async () => {
    const inner = await filled(2);
    const signal = new AbortController().signal;
    await inner.write('k-bad', 'damaged', undefined, { signal });
    await inner.write('k-new', '{"format":7}', undefined, { signal });
    const state = make(inner);
    expect(await all(state.list('k'))).toEqual(['k0', 'k1', 'k-bad', 'k-new']);
    expect(await state.purge('', { olderThanMs: 0 })).toBe(0);
    expect(await all(state.list('k-'))).toHaveLength(2);
  });

  test('an abort ends it with the reason, also while the store hangs; nothing stays on the signal', async () => {
    const inner = await filled(3);
    const controller = new AbortController();
    const listeners = countListeners(controller.signal);
    const reason = new Error('gone');
    const never = <T>(): Promise<T> => new Promise(() => undefined);
    for (const store of [
      { ...passOn(inner), read: never<undefined> },
      { ...passOn(inner), list: () => ({ [Symbol.asyncIterator]: () => ({ next: never<IteratorResult<string>> }) }) },
    ]) {
      const own = new AbortController();
      const end = all(make(store).list('k', { signal: own.signal }));
      await settle();
      own.abort(reason);
      await expect(end).rejects.toBe(reason);
    }
    await expect(all(make(inner).list('k', { signal: AbortSignal.abort(reason) }))).rejects.toBe(reason);
    await all(make(inner).list('k', controller));
    expect(listeners()).toBe(0);
  });

  test('a listing that breaks or hangs is STORE_UNAVAILABLE; a read that does is tried again', async () => {
    const clock = new VirtualClock();
    const inner = await filled(3);
    const broken: VersionedStore = {
      ...passOn(inner),
      async *list() {
        yield 'k0';
        throw new Error('cut');
      },
    };
    const end = await drive(
      clock,
      all(make(broken, clock).list('k')).catch((error) => error),
    );
    expect(end).toMatchObject({ code: 'STORE_UNAVAILABLE', key: 'k', cause: { message: 'cut' } });
    const hangs = {
      ...passOn(inner),
      list: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) }),
    };
    expect(await drive(clock, all(make(hangs, clock).list('k')).catch(codeOf))).toBe('STORE_UNAVAILABLE');
    const faults: StoreFault[] = ['lose-request', 'none', 'hang-before'];
    const flaky = faultyStore(inner, { next: () => faults.shift() ?? 'none', clock });
    expect(await drive(clock, all(make(flaky, clock).list('k')))).toEqual(['k0', 'k1', 'k2']);
    expect(clock.pending).toBe(0);
  });

  test('close ends it with STATE_CLOSED, in the middle too', async () => {
    const state = make(await filled(40));
    const keys = state.list('k')[Symbol.asyncIterator]();
    expect(await keys.next()).toEqual({ done: false, value: 'k0' });
    await state.close();
    expect(await keys.next().catch(codeOf)).toBe('STATE_CLOSED');
    expect(await all(state.list('k')).catch(codeOf)).toBe('STATE_CLOSED');
  });
});

describe('purge', () => {
  test('by the clock and to the millisecond; the deletion’s time is in the record', async () => {
    const clock = new VirtualClock();
    const store = recording(memoryStore());
    const state = make(store, clock);
    await state.update('k', () => undefined);
    const deletedAtMs = clock.now();
    await state.delete('k');
    expect(JSON.parse(store.history[1]?.value ?? '')).toMatchObject({ state: null, version: 2, deletedAtMs });
    await clock.advance(99);
    expect(await state.purge('', { olderThanMs: 100 })).toBe(0);
    await clock.advance(1);
    expect(await state.purge('other', { olderThanMs: 100 })).toBe(0);
    expect(await state.purge('', { olderThanMs: 100 })).toBe(1);
    expect(await store.read('k', { signal: new AbortController().signal })).toBeUndefined();
    // The one who purged forgets at once: the record begins anew.
    expect(await state.get('k')).toBeUndefined();
    expect(await state.update('k', () => undefined)).toMatchObject({ version: 1 });
  });

  test('the one who purges forgets at once what it saw, whoever deleted', async () => {
    const store = memoryStore();
    const [purger, other] = [make(store), make(store)];
    await purger.update('k', () => undefined);
    await other.delete('k');
    expect(await purger.purge('', { olderThanMs: 0 })).toBe(1);
    expect(await purger.get('k')).toBeUndefined();
    await other.update('k', () => undefined);
    await other.delete('k');
    await other.get('k');
    await purger.get('k');
    expect(await purger.purge('', { olderThanMs: 0 })).toBe(1);
    await make(store).update('k', () => undefined);
    expect(await purger.get('k')).toMatchObject({ version: 1 });
  });

  test('a tombstone without a time counts as old', async () => {
    const store = recording(memoryStore());
    const state = make(store);
    await state.update('k', () => undefined);
    await state.delete('k');
    const { deletedAtMs, ...rest } = JSON.parse(store.history[1]?.value ?? '');
    expect(deletedAtMs).toBeGreaterThan(0);
    const old = memoryStore();
    await old.write('k', JSON.stringify(rest), undefined, { signal: new AbortController().signal });
    expect(await make(old).purge('', { olderThanMs: 100 * HOUR_MS })).toBe(1);
  });

  test('what is created again meanwhile stays', async () => {
    const inner = memoryStore();
    const other = make(inner);
    await other.update('k', () => undefined);
    await other.delete('k');
    const store = {
      ...passOn(inner),
      remove: async (...o: Parameters<NonNullable<typeof inner.remove>>) => {
        await other.update('k', (draft) => void (draft.n = 7));
        return (await inner.remove?.(...o)) ?? false;
      },
    };
    expect(await make(store).purge('', { olderThanMs: 0 })).toBe(0);
    expect(await other.get('k')).toEqual({ version: 3, state: { n: 7 } });
  });

  test('a removal whose reply was lost is counted once', async () => {
    const clock = new VirtualClock();
    const inner = memoryStore();
    const other = make(inner);
    for (const key of ['a', 'b']) {
      await other.update(key, () => undefined);
      await other.delete(key);
    }
    let lose = 2;
    const store = {
      ...passOn(inner),
      remove: async (...o: Parameters<NonNullable<typeof inner.remove>>) => {
        const done = await inner.remove?.(...o);
        if (lose-- > 0) throw new Error('the reply was lost');
        return done ?? false;
      },
    };
    expect(await drive(clock, make(store, clock).purge('', { olderThanMs: 0 }))).toBe(2);
  });

  test('an update under way on what is purged goes through', async () => {
    const inner = memoryStore();
    const purger = make(inner);
    await purger.update('k', () => undefined);
    await purger.delete('k');
    let once = true;
    const store = {
      ...passOn(inner),
      write: async (...o: Parameters<typeof inner.write>) => {
        if (once) {
          once = false;
          expect(await purger.purge('', { olderThanMs: 0 })).toBe(1);
        }
        return inner.write(...o);
      },
    };
    expect(await make(store).update('k', (draft) => void draft.n++)).toMatchObject({ version: 1, state: { n: 1 } });
  });

  test('close waits for it; an abort ends it; bad input', async () => {
    const clock = new VirtualClock();
    const inner = memoryStore();
    const other = make(inner);
    for (let i = 0; i < 40; i++) {
      await other.update(`k${i}`, () => undefined);
      await other.delete(`k${i}`);
    }
    const { store, counts } = counting(inner, () => clock.sleep(10));
    const state = make(store, clock);
    const purged = state.purge('', { olderThanMs: 0 });
    const closed = state.close();
    expect([await drive(clock, purged), counts.removes]).toEqual([40, 40]);
    await closed;
    expect(await state.purge('', { olderThanMs: 0 }).catch(codeOf)).toBe('STATE_CLOSED');
    const reason = new Error('gone');
    await expect(other.purge('', { olderThanMs: 0, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await expect(other.purge('', { olderThanMs: -1 })).rejects.toThrow('olderThanMs must be a number ≥ 0');
    await expect(other.purge(7 as never, { olderThanMs: 0 })).rejects.toThrow('prefix must be a string');
    await expect(all(other.list(7 as never))).rejects.toThrow('prefix must be a string');
  });
});

test.each([
  ['list', 'list'],
  ['purge', 'list'],
  ['purge', 'remove'],
] as const)('%s without %s is UNSUPPORTED', async (call, capability) => {
  const inner = memoryStore();
  const state = make({ ...inner, capabilities: { ...inner.capabilities, [capability]: false } });
  const end = call === 'list' ? all(state.list('p')) : state.purge('p', { olderThanMs: 0 });
  await expect(end).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    capability,
    store: 'memory',
    key: 'p',
    retryable: false,
  });
});
