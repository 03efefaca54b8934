import { countListeners, seededRandom, settle, VirtualClock } from '@chunks/base/testing';
import { createState, memoryStore, type StateOptions, type VersionedStore } from '@chunks/state';
import type { StoreFault } from '@chunks/state/testing';
import { describe, expect, test } from 'vitest';
import { codeOf, drive, outcomes, recording, scripted } from './support/stores.ts';

interface Doc {
  log: string[];
}

const make = (store: VersionedStore, o: Partial<StateOptions<Doc>> = {}) =>
  createState<Doc>({ store, initial: () => ({ log: [] }), random: () => 0.5, ...o });
const push = (name: string) => (draft: Doc) => void draft.log.push(name);
const tick = () => new Promise((resolve) => setTimeout(resolve));
const signal = new AbortController().signal;

describe('what it costs', () => {
  test('a single updater: one read and one write; one that writes nothing: one read', async () => {
    const store = scripted(memoryStore(), []);
    const state = make(store);
    await state.update('k', push('a'));
    expect(store.counts).toEqual({ reads: 1, writes: 1 });
    await state.update('k', push('b'));
    // Right after a commit that commit's record is still at hand.
    expect(store.counts).toEqual({ reads: 1, writes: 2 });
    await tick();
    await state.update('k', push('c'));
    expect(store.counts).toEqual({ reads: 2, writes: 3 });
    await state.update('k', (_, { skip }) => skip(1));
    await expect(state.update('k', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    await state.update('k', () => 'looked');
    expect(store.counts).toEqual({ reads: 5, writes: 3 });
  });

  test.each([50, 200, 1_000])('%i at once: one read and one write', async (updaters) => {
    const store = scripted(memoryStore(), []);
    const state = make(store);
    const ends = await Promise.all(Array.from({ length: updaters }, (_, i) => state.update('k', push(`${i}`))));
    expect(store.counts).toEqual({ reads: 1, writes: 1 });
    expect(ends.map(({ version, index, batched, attempts }) => [version, index, batched, attempts])).toEqual(
      ends.map((_, i) => [1, i, updaters, 1]),
    );
  });

  test('those that come during a write share the next one, which needs no read', async () => {
    const clock = new VirtualClock();
    const inner = memoryStore();
    const store = scripted({ ...inner, write: (...all) => clock.sleep(10).then(() => inner.write(...all)) }, []);
    const state = make(store, { clock });
    const first = state.update('k', push('a'));
    await clock.advance(5);
    const more = Promise.all(['b', 'c', 'd'].map((name) => state.update('k', push(name))));
    expect(await drive(clock, first)).toMatchObject({ version: 1, batched: 1 });
    expect((await drive(clock, more)).map(({ version, index, state }) => [version, index, state.log.join('')])).toEqual(
      [
        [2, 0, 'abcd'],
        [2, 1, 'abcd'],
        [2, 2, 'abcd'],
      ],
    );
    expect(store.counts).toEqual({ reads: 1, writes: 2 });
  });

  test('maxBatch bounds a commit; coalesce: false makes one commit each, in order', async () => {
    const three = make(memoryStore(), { coalesce: { maxBatch: 3 } });
    const ends = await Promise.all(Array.from({ length: 7 }, (_, i) => three.update('k', push(`${i}`))));
    expect(ends.map(({ version, index }) => `${version}.${index}`)).toEqual([
      '1.0',
      '1.1',
      '1.2',
      '2.0',
      '2.1',
      '2.2',
      '3.0',
    ]);
    const store = scripted(memoryStore(), []);
    const single = make(store, { coalesce: false });
    const each = await Promise.all(Array.from({ length: 5 }, (_, i) => single.update('k', push(`${i}`))));
    expect(each.map(({ version, batched }) => `${version}.${batched}`)).toEqual(['1.1', '2.1', '3.1', '4.1', '5.1']);
    expect(store.counts).toEqual({ reads: 1, writes: 5 });
  });

  test('a deletion commits by itself, in its turn', async () => {
    const state = make(memoryStore());
    const ends = await Promise.all([
      state.update('k', push('a')),
      state.update('k', push('b')),
      state.delete('k'),
      state.delete('k'),
      state.update('k', push('c')),
    ]);
    expect(ends).toMatchObject([{ version: 1 }, { version: 1 }, true, false, { version: 3, state: { log: ['c'] } }]);
  });

  test('keys do not wait for each other', async () => {
    const clock = new VirtualClock();
    const state = make(memoryStore(), { clock });
    void state.update('slow', () => clock.sleep(10_000));
    expect(await state.update('quick', push('a'))).toMatchObject({ version: 1 });
  });
});

describe('one’s own write, unseen', () => {
  const found = { version: 1, attempts: 1, recovered: true, index: 0 };
  test.each<[StoreFault, object, object]>([
    ['lose-reply', found, { reads: 2, writes: 1 }],
    ['hang-after', found, { reads: 2, writes: 1 }],
    // The conflict says what stands there: no read is needed.
    ['resend', found, { reads: 1, writes: 1 }],
    ['resend-blind', found, { reads: 2, writes: 1 }],
    ['lose-request', { version: 1, attempts: 2, recovered: false }, { reads: 2, writes: 2 }],
    ['hang-before', { version: 1, attempts: 2, recovered: false }, { reads: 2, writes: 2 }],
    ['refuse', { version: 1, attempts: 2, recovered: false }, { reads: 2, writes: 2 }],
    ['land-late', { version: 1, attempts: 2, recovered: false }, { reads: 2, writes: 2 }],
  ])('%s: applied once', async (fault, expected, counts) => {
    const clock = new VirtualClock();
    const inner = recording(memoryStore());
    const store = scripted(inner, [fault], [], clock);
    const state = make(store, { clock });
    expect(await drive(clock, state.update('k', push('a')))).toMatchObject({ ...expected, state: { log: ['a'] } });
    await clock.advance(1_000);
    expect(inner.history).toHaveLength(1);
    expect(store.counts).toEqual(counts);
    expect(state.stats().recovered).toBe('recovered' in expected && expected.recovered ? 1 : 0);
  });

  test('a write that lands between the look and the next try is found, not repeated', async () => {
    const clock = new VirtualClock();
    const inner = recording(memoryStore());
    // Lands 100 ms later; the second try is lost too, and the third finds the first.
    const store = scripted(inner, ['land-late', 'hang-before'], [], clock);
    const state = make(store, { clock, attemptTimeoutMs: 300 });
    expect(await drive(clock, state.update('k', push('a')))).toMatchObject({
      recovered: true,
      version: 1,
      attempts: 2,
    });
    expect(inner.history).toHaveLength(1);
  });

  test('a later try that surely failed says nothing about the first one', async () => {
    const clock = new VirtualClock();
    const inner = recording(memoryStore());
    const store = scripted(inner, ['land-late', 'refuse', 'hang-before'], [], clock);
    const state = make(store, { clock, attemptTimeoutMs: 300 });
    expect(await drive(clock, state.update('k', push('a')))).toMatchObject({ recovered: true, state: { log: ['a'] } });
    expect(inner.history).toHaveLength(1);
  });

  test('found under later commits of others, as the version it was', async () => {
    const inner = memoryStore();
    const other = make(inner);
    const store = scripted(inner, []);
    const write = store.write;
    let first = true;
    store.write = async (...all) => {
      const reply = await write(...all);
      if (!first) return reply;
      first = false;
      for (let i = 0; i < 100; i++) await other.update('k', push(`other ${i}`));
      throw new Error('lost');
    };
    const end = await make(store).update('k', push('mine'));
    // 100 commits later: one busy writer does not drive the memory of the others out.
    expect(end).toMatchObject({ version: 1, recovered: true, state: { log: ['mine'] } });
  });

  test('gone past the memory: UPDATE_AMBIGUOUS, never applied again, and the next one goes on', async () => {
    const inner = recording(memoryStore());
    const remember = { commits: 2 };
    for (const applied of [true, false]) {
      const key = `k${applied}`;
      const store = scripted(inner, []);
      const write = store.write;
      let first = true;
      store.write = async (...all) => {
        if (!first) return write(...all);
        first = false;
        if (applied) await write(...all);
        for (let i = 0; i < 4; i++) await make(inner, { remember }).update(key, push(`other ${i}`));
        throw new Error('lost');
      };
      const state = make(store, { remember });
      const mine = state.update(key, push('mine'));
      const thrower = state.update(key, (draft) => {
        throw new Error(`saw ${draft.log.length}`);
      });
      await expect(mine).rejects.toMatchObject({ code: 'UPDATE_AMBIGUOUS', lastVersion: 0, retryable: false });
      // Who wrote nothing is tried again on what stands there, and is not misled by what may never have been.
      await expect(thrower).rejects.toThrow(`saw ${applied ? 5 : 4}`);
      const next = await state.update(key, push('next'));
      expect(next.state.log.filter((name) => name === 'mine')).toHaveLength(applied ? 1 : 0);
      expect(state.stats()).toMatchObject({ ambiguous: 1, rejected: 2 });
    }
  });

  test('a record that breaks after the send cannot tell: ambiguous for what was sent, corrupt for who waits', async () => {
    const inner = memoryStore();
    const state = make({
      ...inner,
      write: async (key, value, expected, o) => {
        void waits();
        await inner.write(key, value, expected, o);
        const record = await inner.read(key, o);
        await inner.write(key, 'broken', record?.revision, o);
        throw new Error('lost');
      },
    });
    let waiting: Promise<unknown> = Promise.resolve();
    const waits = () => (waiting = state.update('k', push('b')).catch((error) => error));
    const sent = await state.update('k', push('a')).catch((error) => error);
    expect(sent).toMatchObject({ code: 'UPDATE_AMBIGUOUS', cause: { code: 'CORRUPT_RECORD' } });
    expect(await waiting).toMatchObject({ code: 'CORRUPT_RECORD' });
  });

  test('a plain conflict is no ambiguity, however many commits one other writer was ahead', async () => {
    const inner = memoryStore();
    const other = make(inner);
    let first = true;
    const state = make(scripted(inner, []));
    const end = await state.update('k', async (draft) => {
      if (first) for (let i = 0; i < 200; i++) await other.update('k', push('other'));
      first = false;
      draft.log.push('mine');
    });
    expect(end).toMatchObject({ version: 201, attempts: 2, recovered: false });
  });
});

describe('giving up', () => {
  test('others always first: UPDATE_CONFLICT after maxAttempts, nothing written', async () => {
    const clock = new VirtualClock();
    const inner = memoryStore();
    const other = make(inner, { clock });
    const state = make(inner, { clock });
    let calls = 0;
    const end = state.update(
      'k',
      async (draft) => {
        calls++;
        draft.log.push('mine');
        await other.update('k', push('other'));
      },
      { maxAttempts: 3 },
    );
    const error = await drive(
      clock,
      end.catch((error) => error),
    );
    expect(error).toMatchObject({ code: 'UPDATE_CONFLICT', attempts: 3, lastVersion: 3, retryable: true, key: 'k' });
    expect(calls).toBe(3);
    expect(state.stats()).toMatchObject({ conflicts: 3, attempts: 3, commits: 0, rejected: 1 });
    expect((await state.get('k'))?.state.log).toEqual(['other', 'other', 'other']);
  });

  test('a store that fails: STORE_UNAVAILABLE with the last error as cause', async () => {
    const clock = new VirtualClock();
    for (const [writes, reads] of [
      [['refuse', 'refuse'], []],
      [[], ['lose-request', 'lose-request']],
      [['refuse'], ['none', 'lose-request']],
    ] satisfies [StoreFault[], StoreFault[]][]) {
      const state = make(scripted(memoryStore(), writes, reads, clock), { clock });
      const error = await drive(
        clock,
        state.update('k', push('a'), { maxAttempts: 2 }).catch((error) => error),
      );
      expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE', attempts: 2, retryable: true });
      expect(error.cause.message).toBe(writes.length === 2 ? 'refused' : 'the connection was cut');
      expect(await drive(clock, state.update('k', push('b')))).toMatchObject({ state: { log: ['b'] } });
    }
  });

  test('in doubt to the last: UPDATE_AMBIGUOUS with the last error as cause', async () => {
    const clock = new VirtualClock();
    const lost: StoreFault[] = Array(9).fill('lose-request');
    const state = make(scripted(memoryStore(), lost, ['none', ...lost], clock), { clock });
    const error = await drive(
      clock,
      state.update('k', push('a'), { maxAttempts: 4 }).catch((error) => error),
    );
    expect(error).toMatchObject({ code: 'UPDATE_AMBIGUOUS', attempts: 4 });
    expect(error.cause.message).toBe('the connection was cut');
  });

  test('the deadline covers everything: queue, calls that never settle, waits, the updater', async () => {
    const clock = new VirtualClock();
    const hang: StoreFault[] = Array(200).fill('hang-before');
    const cases: [StoreFault[], StoreFault[], string][] = [
      [[], hang, 'UPDATE_TIMEOUT'],
      [hang, [], 'UPDATE_AMBIGUOUS'],
      [Array(200).fill('refuse'), [], 'UPDATE_TIMEOUT'],
    ];
    for (const [writes, reads, code] of cases) {
      const state = make(scripted(memoryStore(), writes, reads, clock), { clock, attemptTimeoutMs: 100 });
      const startedMs = clock.now();
      const ends = outcomes(
        [300, 777].map((timeoutMs) =>
          state
            .update('k', push('a'), { timeoutMs, maxAttempts: 1_000 })
            .catch((error) => Promise.reject(new Error(`${error.code} after ${clock.now() - startedMs}`))),
        ),
      );
      expect(await drive(clock, ends)).toEqual([`${code} after 300`, `${code} after 777`]);
    }
    const state = make(memoryStore(), { clock });
    const slow = state.update('k', () => clock.sleep(10_000), { timeoutMs: 50 });
    await expect(drive(clock, slow)).rejects.toMatchObject({ code: 'UPDATE_TIMEOUT', timeoutMs: 50, retryable: true });
  });

  test('a timeout tells the trouble on the way as its cause', async () => {
    const clock = new VirtualClock();
    const state = make(scripted(memoryStore(), [], Array(99).fill('lose-request'), clock), { clock });
    const error = await drive(
      clock,
      state.update('k', push('a'), { timeoutMs: 30 }).catch((error) => error),
    );
    expect(error).toMatchObject({ code: 'UPDATE_TIMEOUT', cause: { message: 'the connection was cut' } });
  });

  test('timeoutMs: Infinity sets no timer of its own', async () => {
    const clock = new VirtualClock();
    const state = make(memoryStore(), { clock });
    void state.update('k', () => new Promise(() => undefined), { timeoutMs: Number.POSITIVE_INFINITY });
    await settle();
    expect(clock.pending).toBe(0);
  });
});

describe('abort', () => {
  const reason = new Error('gone');

  test('before the send: leaves at once with the very reason, and nothing of it is written', async () => {
    const clock = new VirtualClock();
    const inner = memoryStore();
    const state = make({ ...inner, read: (...all) => clock.sleep(50).then(() => inner.read(...all)) }, { clock });
    const controller = new AbortController();
    const gone = state.update('k', push('a'), { signal: controller.signal }).catch((error) => [error, clock.now()]);
    const stays = state.update('k', push('b'));
    await clock.advance(10);
    const abortedMs = clock.now();
    controller.abort(reason);
    expect(await gone).toEqual([reason, abortedMs]);
    expect(await drive(clock, stays)).toMatchObject({ state: { log: ['b'] }, index: 0, batched: 1 });
  });

  test.each<[string, (abort: () => void) => void]>([
    ['by the updater of a later one', (abort) => abort()],
    ['when all have run and nothing is sent yet', queueMicrotask],
  ])('%s: leaves, and nothing of it is written', async (_, soon) => {
    const controller = new AbortController();
    const state = make(memoryStore());
    const ends = await Promise.allSettled([
      state.update('k', push('a'), { signal: controller.signal }),
      state.update('k', (draft) => {
        soon(() => controller.abort(reason));
        draft.log.push('b');
      }),
    ]);
    expect(ends[0]).toEqual({ status: 'rejected', reason });
    expect(ends[1]).toMatchObject({ value: { version: 1, index: 0, batched: 1, state: { log: ['b'] } } });
  });

  test('an aborted signal: never begun', async () => {
    const store = scripted(memoryStore(), []);
    await expect(make(store).update('k', push('a'), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await settle();
    expect(store.counts).toEqual({ reads: 0, writes: 0 });
  });

  test.each<[StoreFault[], string | object]>([
    [['none'], { version: 1 }],
    [['lose-reply'], { version: 1, recovered: true }],
    [['lose-request'], { version: 1, recovered: false }],
    [['refuse'], 'gone'],
  ])('after the send (%s): settles with the true outcome', async (writes, expected) => {
    const clock = new VirtualClock();
    const store = scripted(memoryStore(), writes, [], clock);
    const write = store.write;
    store.write = (...all) => clock.sleep(50).then(() => write(...all));
    const state = make(store, { clock });
    const controller = new AbortController();
    const [end] = await drive(
      clock,
      (async () => {
        const ends = outcomes([state.update('k', push('a'), { signal: controller.signal })]);
        await clock.sleep(20);
        controller.abort(reason);
        return ends;
      })(),
    );
    if (typeof expected === 'string') expect(end).toBe(expected);
    else expect(end).toMatchObject(expected);
    expect((await drive(clock, state.get('k')))?.state.log ?? []).toEqual(typeof expected === 'string' ? [] : ['a']);
  });

  test('a conflict after the abort: leaves, and is not tried again', async () => {
    const clock = new VirtualClock();
    const inner = memoryStore();
    const controller = new AbortController();
    const state = make(
      {
        ...inner,
        write: async (...all) => {
          await make(inner).update('k', push('other'));
          controller.abort(reason);
          return inner.write(...all);
        },
      },
      { clock },
    );
    await expect(drive(clock, state.update('k', push('a'), { signal: controller.signal }))).rejects.toBe(reason);
  });

  test('leaves no listener on the signal', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const listeners = countListeners(signal);
    const state = make(memoryStore());
    await state.update('k', push('a'), { signal });
    await state.update('k', () => Promise.reject(new Error('no')), { signal }).catch(codeOf);
    await state.get('k', { signal });
    expect(listeners()).toBe(0);
  });
});

describe('records that cannot be worked on', () => {
  const record = { format: 1, shape: 0, version: 3, writeId: 'a.1', recent: [], forgotten: 0, applied: [], state: {} };
  test.each([
    ['not JSON', 'CORRUPT_RECORD'],
    ['null', 'CORRUPT_RECORD'],
    ['[]', 'CORRUPT_RECORD'],
    ['{"n":1}', 'CORRUPT_RECORD'],
    [JSON.stringify({ ...record, version: -1 }), 'CORRUPT_RECORD'],
    [JSON.stringify({ ...record, recent: [1] }), 'CORRUPT_RECORD'],
    [JSON.stringify({ ...record, applied: [{}] }), 'CORRUPT_RECORD'],
    [JSON.stringify({ ...record, state: undefined }), 'CORRUPT_RECORD'],
    [JSON.stringify({ ...record, format: 2 }), 'INVALID_STATE'],
    [JSON.stringify({ ...record, shape: 1 }), 'INVALID_STATE'],
    [JSON.stringify({ ...record, state: 7 }), 'INVALID_STATE'],
  ])('%s: %s for everybody, and left untouched', async (value, code) => {
    const inner = memoryStore();
    await inner.write('k', value, undefined, { signal });
    const store = recording(inner);
    const state = make(store);
    const ends = await Promise.allSettled([
      state.update('k', push('a')),
      state.update('k', push('b')),
      state.delete('k'),
      state.get('k'),
    ]);
    const errors = ends.map((end) => (end as PromiseRejectedResult).reason);
    expect(errors.map(codeOf)).toEqual([code, code, code, code]);
    // No two callers share an error.
    expect(new Set(errors).size).toBe(4);
    expect(errors[0]).toMatchObject({ key: 'k', retryable: false, name: errors[1].name, message: errors[1].message });
    expect(store.history).toEqual([]);
    expect(await state.update('other', push('a'))).toMatchObject({ version: 1 });
  });

  test('truncated anywhere: CORRUPT_RECORD, and left untouched', async () => {
    const inner = memoryStore();
    await make(inner).update('whole', push('a'), { idempotencyKey: 'request' });
    const text = (await inner.read('whole', { signal }))?.value ?? '';
    expect(text.length).toBeGreaterThan(100);
    const store = recording(inner);
    const state = make(store);
    for (let length = 0; length < text.length; length++) {
      await inner.write(`k${length}`, text.slice(0, length), undefined, { signal });
      const ends = [state.get(`k${length}`), state.update(`k${length}`, push('b')), state.delete(`k${length}`)];
      expect(await outcomes<unknown>(ends), `${length} letters`).toEqual(Array(3).fill('CORRUPT_RECORD'));
    }
    expect(store.history).toEqual([]);
  });

  test('initial that throws or cannot be stored', async () => {
    const boom = new Error('boom');
    const broken = createState<Doc>({
      store: memoryStore(),
      initial: () => {
        throw boom;
      },
    });
    await expect(broken.update('k', push('a'))).rejects.toBe(boom);
    const lossy = createState({ store: memoryStore(), initial: () => ({ at: new Date(0) }) });
    await expect(lossy.update('k', () => 1)).rejects.toMatchObject({ code: 'LOSSY_STATE', path: 'state.at' });
  });

  test('a store that went back: STORE_REGRESSED, for get, update and delete, and nothing is written', async () => {
    const inner = memoryStore();
    let backup: { value: string; revision: string } | undefined;
    let restored = false;
    const store = recording({ ...inner, read: async (key, o) => (restored ? backup : inner.read(key, o)) });
    const state = make(store);
    await state.update('k', push('a'));
    for (const restore of [inner.read('k', { signal }), undefined]) {
      backup = await restore;
      restored = false;
      await state.update('k', push('b'));
      await tick();
      restored = true;
      const written = store.history.length;
      const ends = await Promise.allSettled([state.get('k'), state.update('k', push('c')), state.delete('k')]);
      const version = restore === undefined ? 0 : 1;
      for (const end of ends) {
        expect((end as PromiseRejectedResult).reason).toMatchObject({
          code: 'STORE_REGRESSED',
          version,
          lastVersion: written,
        });
      }
      expect(store.history).toHaveLength(written);
    }
    restored = false;
    expect(await state.update('k', push('d'))).toMatchObject({ version: 4 });
  });

  test('a read that was overtaken by a commit is no regression', async () => {
    const clock = new VirtualClock();
    const inner = memoryStore();
    let slow = false;
    const state = make(
      {
        ...inner,
        read: async (...all) => {
          const answer = inner.read(...all);
          if (slow) await clock.sleep(100);
          return answer;
        },
      },
      { clock },
    );
    await state.update('k', push('a'));
    slow = true;
    const old = state.get('k');
    slow = false;
    await state.update('k', push('b'));
    expect(await drive(clock, old)).toMatchObject({ version: 1 });
  });
});

describe('what is decided without a write', () => {
  test('is decided on a record read after the call', async () => {
    const clock = new VirtualClock();
    const inner = memoryStore();
    const store = scripted({ ...inner, write: (...all) => clock.sleep(10).then(() => inner.write(...all)) }, []);
    const state = make(store, { clock });
    const first = state.update('k', push('a'));
    await clock.advance(5);
    const looks = state.update('k', (draft, { skip }) => skip(draft.log.length));
    await drive(clock, first);
    // Another process, after the commit whose record the next round builds on.
    await drive(clock, make(inner).update('k', push('other')));
    expect((await drive(clock, looks)).version).toBeGreaterThanOrEqual(1);
    expect(store.counts.reads).toBe(2);
  });

  test('an updater that fails because of what never came to be is tried again', async () => {
    const inner = memoryStore();
    const other = make(inner);
    let raced = false;
    const state = make({
      ...inner,
      write: async (...all) => {
        if (!raced) await other.update('k', push('free'));
        raced = true;
        return inner.write(...all);
      },
    });
    const takes = state.update('k', (draft) => {
      if (draft.log.includes('free')) throw new Error('not needed');
      draft.log.push('taken');
    });
    const fails = state.update('k', (draft) => {
      if (draft.log.includes('taken')) throw new Error('taken by one that was never written');
      return draft.log.length;
    });
    await expect(takes).rejects.toThrow('not needed');
    expect(await fails).toMatchObject({ result: 1, version: 1 });
  });
});

describe('fairness between processes', () => {
  /** Every call takes about 20 ms. @returns how the updates of each process ended */
  async function rivals(seed: number, tellsCurrent: boolean, processes = 2) {
    const clock = new VirtualClock();
    const random = seededRandom(seed);
    const inner = memoryStore();
    const away = () => clock.sleep(8 + 4 * random());
    const there = async <R>(call: () => Promise<R>): Promise<R> => {
      await away();
      const answer = await call();
      await away();
      return answer;
    };
    const store: VersionedStore = {
      ...inner,
      read: (...all) => there(() => inner.read(...all)),
      write: async (...all) => {
        const reply = await there(() => inner.write(...all));
        return 'revision' in reply || tellsCurrent ? reply : { conflict: true };
      },
    };
    const ends = Array.from({ length: processes }, async () => {
      const state = make(store, { clock, random });
      const codes = await Promise.all(
        Array.from({ length: 3 }, async (_, i) => {
          const all: string[] = [];
          for (let n = 0; n < 200; n++) all.push(await state.update('k', push(`${i}`)).then(() => 'OK', codeOf));
          return all;
        }),
      );
      return codes.flat();
    });
    return drive(clock, Promise.all(ends));
  }

  test.each([true, false])(
    'of two that never rest, hardly an update loses twenty times (conflicts tell: %s)',
    async (tellsCurrent) => {
      const codes: string[] = [];
      for (let seed = 1; seed <= 6; seed++) codes.push(...(await rivals(seed, tellsCurrent)).flat());
      expect(codes).toHaveLength(7_200);
      const lost = codes.filter((code) => code === 'UPDATE_CONFLICT').length;
      expect(codes.filter((code) => code === 'OK')).toHaveLength(7_200 - lost);
      // 9 to 18 without any one of the three measures.
      expect(lost).toBeLessThanOrEqual(3);
    },
  );

  test('of four about one in a hundred loses twenty times', async () => {
    const codes = (await rivals(7, true, 4)).flat();
    const lost = codes.filter((code) => code === 'UPDATE_CONFLICT').length;
    expect(codes.filter((code) => code === 'OK')).toHaveLength(2_400 - lost);
    expect(lost).toBeLessThanOrEqual(48);
  });

  test('one that never rests reads again after every eighth commit', async () => {
    const store = scripted(memoryStore(), []);
    const state = make(store);
    for (let i = 0; i < 40; i++) await state.update('k', push(`${i}`));
    expect(store.counts).toEqual({ reads: 5, writes: 40 });
  });
});

describe('waits', () => {
  async function waits(roundTripMs: number, writes: StoreFault[], conflicts = 7): Promise<number[]> {
    const clock = new VirtualClock();
    const slept: number[] = [];
    const inner = memoryStore();
    const faulty = scripted(inner, writes, [], clock);
    const other = make(inner);
    let calls = 0;
    const state = make(
      {
        ...faulty,
        read: (...all) => clock.sleep(roundTripMs).then(() => inner.read(...all)),
        write: async (...all) => {
          await clock.sleep(roundTripMs);
          if (writes.length === 0 && calls++ < conflicts) await other.update('k', push('other'));
          return faulty.write(...all);
        },
      },
      {
        clock: {
          now: () => clock.now(),
          after: (ms, call) => clock.after(ms, call),
          sleep: (ms, s) => {
            slept.push(ms);
            return clock.sleep(ms, s);
          },
        },
        retry: { jitter: 'none' },
        random: () => 0.999,
      },
    );
    await drive(clock, state.update('k', push('a')));
    return slept;
  }
  test('after the third conflict in a row they begin with the measured round trip, and end with maxMs', async () => {
    expect(await waits(2, [], 3)).toEqual([]);
    expect(await waits(2, [])).toEqual([2, 4, 8, 16]);
    expect(await waits(50, [])).toEqual([50, 100, 200, 200]);
    expect(await waits(1, [])).toEqual([1, 2, 4, 8]);
    expect(await waits(0, [])).toEqual([0, 0, 0, 0]);
  });
  test('after failures are not: a store that is down must not be hammered', async () => {
    expect(await waits(0, ['refuse', 'refuse', 'refuse'])).toEqual([2, 4, 8]);
  });
  test('spreadMs: one random wait before the first attempt of a key', async () => {
    const clock = new VirtualClock();
    const state = make(memoryStore(), { clock, retry: { spreadMs: 100 } });
    const startedMs = clock.now();
    await drive(clock, Promise.all([state.update('k', push('a')), state.update('k', push('b'))]));
    expect(clock.now() - startedMs).toBeGreaterThanOrEqual(50);
    expect(state.stats().latency.max).toBe(50);
  });
});
