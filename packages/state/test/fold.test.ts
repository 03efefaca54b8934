import { seededRandom, settle, VirtualClock } from '@chunks/base/testing';
import { createState, memoryStore, type UpdateOptions, type Updater } from '@chunks/state';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../.ci/testing/runs.ts';
import { codeOf, drive, outcomes, recording, scripted } from './support/stores.ts';

interface Doc {
  n: number;
  items: string[];
  extra?: unknown;
}

const make = (store = memoryStore(), clock?: VirtualClock) =>
  createState<Doc>({ store, initial: () => ({ n: 0, items: [] }), ...(clock && { clock }) });

const push = (name: string) => (draft: Doc) => void draft.items.push(name);

describe('a batch', () => {
  test('an updater that throws is rejected alone, with its very error, and leaves nothing behind', async () => {
    const state = make();
    const boom = new Error('boom');
    const ends = await Promise.allSettled([
      state.update('k', push('a')),
      state.update('k', (draft) => {
        draft.items.push('half-way');
        throw boom;
      }),
      state.update('k', push('c')),
    ]);
    expect(ends[1]).toEqual({ status: 'rejected', reason: boom });
    expect((ends[1] as PromiseRejectedResult).reason).toBe(boom);
    expect(ends[2]).toMatchObject({ value: { version: 1, index: 1, batched: 2, state: { items: ['a', 'c'] } } });
  });

  test('whatever its members do, the others are as if they had come alone', async () => {
    const kinds = [
      'push',
      'throw',
      'skip',
      'replace',
      'async',
      'async-throw',
      'lossy',
      'return-draft',
      'query',
    ] as const;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...kinds), { minLength: 1, maxLength: 25 }), async (program) => {
        const state = make();
        const updaters: Record<(typeof kinds)[number], (name: string) => Updater<Doc, unknown>> = {
          push: (name) => (draft) => draft.items.push(name),
          throw: (name) => (draft) => {
            draft.items.push(`${name}!`);
            throw new Error('thrown');
          },
          skip:
            (name) =>
            (draft, { skip }) => {
              draft.items.push(`${name}!`);
              return skip(draft.items.length);
            },
          replace: (name) => (draft, context) => {
            const next = { ...draft, items: [...draft.items, name] };
            context.replace(next);
            queueMicrotask(() => next.items.push(`${name}, later`));
            return next.items.length;
          },
          async: (name) => async (draft) => {
            draft.items.push(name);
            await Promise.resolve();
            draft.n += 0;
            return draft.items.length;
          },
          'async-throw': (name) => async (draft) => {
            draft.items.push(`${name}!`);
            await Promise.resolve();
            throw new Error('thrown');
          },
          lossy: (name) => (draft) => {
            draft.items.push(`${name}!`);
            draft.extra = undefined;
          },
          'return-draft': (name) => (draft) => {
            draft.items.push(name);
            return draft;
          },
          query: () => (draft) => ({ length: draft.items.length }),
        };
        const ends = await outcomes(
          program.map((kind, i) => state.update('k', updaters[kind](`u${i}`), { maxAttempts: 1 })),
        );

        // The same program, one by one, on a plain list.
        const log: string[] = [];
        const indexed = program.filter((kind) => !['throw', 'async-throw', 'lossy', 'skip'].includes(kind)).length;
        let index = 0;
        for (const [i, kind] of program.entries()) {
          const end = ends[i];
          if (kind === 'throw' || kind === 'async-throw') expect(end).toBe('thrown');
          else if (kind === 'lossy') expect(end).toBe('LOSSY_STATE');
          else if (kind === 'skip') expect(end).toMatchObject({ result: log.length + 1, index: -1, batched: 0 });
          else {
            if (kind !== 'query') log.push(`u${i}`);
            const result =
              kind === 'return-draft'
                ? { n: 0, items: [...log] }
                : kind === 'query'
                  ? { length: log.length }
                  : log.length;
            expect(end).toMatchObject({ version: 1, index: index++, batched: indexed, attempts: 1 });
            expect((end as { result: unknown }).result).toEqual(result);
          }
        }
        const record = await state.get('k');
        expect(record).toEqual(indexed === 0 ? undefined : { version: 1, state: { n: 0, items: log } });
        for (const end of ends) if (typeof end === 'object') expect(end.state).toEqual({ n: 0, items: log });
      }),
      { numRuns: runs(200) },
    );
  });

  test('drafts, results and states that callers change later change nothing else', async () => {
    const state = make();
    const leaked: Doc[] = [];
    const [one, two] = await Promise.all([
      state.update('k', (draft) => {
        leaked.push(draft);
        draft.items.push('a');
        return draft.items;
      }),
      state.update('k', push('b')),
    ]);
    // A part of the draft given as result stays as it was when its updater returned.
    expect(one.result).toEqual(['a']);
    one.state.items.push('poison');
    one.result.push('poison');
    two.state = { n: -1, items: [] };
    for (const draft of leaked) draft.items.push('poison');
    expect(await state.get('k')).toEqual({ version: 1, state: { n: 0, items: ['a', 'b'] } });
    expect((await state.update('k', push('c'))).state.items).toEqual(['a', 'b', 'c']);
  });

  test('a draft that leaked does not reach an updater that waits', async () => {
    const clock = new VirtualClock();
    const state = make(memoryStore(), clock);
    const all = Promise.all([
      state.update('k', (draft) => {
        draft.items.push('a');
        clock.after(5, () => draft.items.push('too late'));
      }),
      state.update('k', async (draft) => {
        await clock.sleep(10);
        draft.items.push('b');
      }),
    ]);
    expect((await drive(clock, all))[1].state.items).toEqual(['a', 'b']);
  });

  test('an updater that waits has a copy of its own: what it does after its deadline is lost', async () => {
    const clock = new VirtualClock();
    const state = make(memoryStore(), clock);
    let reason: unknown;
    const slow = state.update(
      'k',
      async (draft, { signal }) => {
        draft.items.push('slow');
        signal.addEventListener('abort', () => {
          reason = signal.reason;
        });
        await clock.sleep(500);
        draft.items.push('slow, later');
      },
      { timeoutMs: 100 },
    );
    const quick = state.update('k', push('quick'));
    expect(await drive(clock, slow.catch(codeOf))).toBe('UPDATE_TIMEOUT');
    expect(codeOf(reason)).toBe('UPDATE_TIMEOUT');
    expect(await drive(clock, quick)).toMatchObject({ state: { items: ['quick'] }, attempts: 1 });
    await clock.advance(1_000);
    expect((await state.get('k'))?.state.items).toEqual(['quick']);
  });

  test('one that leaves while another waits is not written', async () => {
    const clock = new VirtualClock();
    const store = recording(memoryStore());
    const state = make(store, clock);
    const controller = new AbortController();
    const reason = new Error('gone');
    const ends = outcomes([
      state.update('k', push('a'), { signal: controller.signal }),
      state.update('k', push('b'), { timeoutMs: 40 }),
      state.update('k', (draft) => clock.sleep(100).then(() => push('slow')(draft))),
      state.update('k', push('d')),
    ]);
    clock.after(20, () => controller.abort(reason));
    const [a, b, slow, d] = await drive(clock, ends);
    expect([a, b]).toEqual(['gone', 'UPDATE_TIMEOUT']);
    expect([slow, d]).toMatchObject([{ index: 0 }, { index: 1, batched: 2, state: { items: ['slow', 'd'] } }]);
    expect(store.history).toHaveLength(1);
  });

  test.each<[string, () => unknown, boolean]>([
    [
      'cannot be asked whether it is a promise',
      () =>
        new Proxy(
          {},
          {
            get: () => {
              throw new Error('no then');
            },
          },
        ),
      false,
    ],
    [
      'cannot be looked into',
      () =>
        new Proxy(
          {},
          {
            getOwnPropertyDescriptor: () => {
              throw new Error('no look');
            },
          },
        ),
      true,
    ],
  ])('a result that %s takes nobody along', async (_, result, passes) => {
    const state = make();
    const ends = await Promise.allSettled([
      state.update('k', push('a')),
      state.update('k', result),
      state.update('k', push('c')),
    ]);
    expect(ends.map(({ status }) => status === 'fulfilled')).toEqual([true, passes, true]);
    expect(ends[2]).toMatchObject({ value: { state: { items: ['a', 'c'] } } });
  });

  test('an updater that inherits nothing is one like any other', async () => {
    const updater: Updater<Doc, void> = Object.setPrototypeOf(push('a'), null);
    expect(await make().update('k', updater)).toMatchObject({ state: { items: ['a'] } });
  });

  test('each attempt gets a fresh draft', async () => {
    const inner = memoryStore();
    const other = make(inner);
    const state = make(scripted(inner, []));
    let calls = 0;
    const end = await state.update('k', async (draft, { attempt, version }) => {
      calls++;
      draft.items.push(`${attempt} on ${version}`);
      if (calls === 1) await other.update('k', push('other'));
    });
    expect(end).toMatchObject({ attempts: 2, version: 2, state: { items: ['other', '2 on 1'] } });
  });

  test('thousands of throwing and skipping updaters stay cheap: each runs a few times at most', async () => {
    const state = make();
    let calls = 0;
    const random = seededRandom(7);
    await Promise.allSettled(
      Array.from({ length: 1_000 }, () => {
        const throws = random() < 0.5;
        return state.update('k', (draft) => {
          calls++;
          draft.n++;
          if (throws) throw new Error('no');
        });
      }),
    );
    expect(calls).toBeLessThan(3_000);
  });
});

describe('ifVersion', () => {
  const ends = async (
    versions: (number | undefined)[],
    prepare?: (state: ReturnType<typeof make>) => Promise<unknown>,
  ) => {
    const state = make();
    await prepare?.(state);
    return (await outcomes(versions.map((ifVersion, i) => state.update('k', push(`u${i}`), { ifVersion })))).map(
      (end) => (typeof end === 'string' ? end : 'OK'),
    );
  };

  test('0 is: must not exist, and of many only one is the first', async () => {
    expect(await ends([0, 0, 0])).toEqual(['OK', 'UPDATE_CONFLICT', 'UPDATE_CONFLICT']);
  });
  test('a deleted record does not exist', async () => {
    const prepare = async (state: ReturnType<typeof make>) => {
      await state.update('k', push('x'));
      await state.delete('k');
    };
    expect(await ends([2, 0], prepare)).toEqual(['UPDATE_CONFLICT', 'OK']);
  });
  test('fails when an earlier update of the same commit changed the draft, passes when it did not', async () => {
    const prepare = (state: ReturnType<typeof make>) => state.update('k', push('x'));
    expect(await ends([undefined, 1], prepare)).toEqual(['OK', 'UPDATE_CONFLICT']);
    expect(await ends([1, 1, 1], prepare)).toEqual(['OK', 'UPDATE_CONFLICT', 'UPDATE_CONFLICT']);
    const state = make();
    await prepare(state);
    const unchanged = state.update('k', () => 'looked');
    const passes = state.update('k', push('y'), { ifVersion: 1 });
    expect(await unchanged).toMatchObject({ version: 2, index: 0 });
    expect(await passes).toMatchObject({ version: 2, index: 1 });
  });
  test('its error says which version stood there and that the same call cannot succeed', async () => {
    const state = make();
    await state.update('k', push('x'));
    let called = false;
    const end = state.update('k', () => (called = true), { ifVersion: 4 });
    await expect(end).rejects.toMatchObject({ code: 'UPDATE_CONFLICT', lastVersion: 1, retryable: false, key: 'k' });
    expect(called).toBe(false);
  });
  test('of delete', async () => {
    const state = make();
    await state.update('k', push('x'));
    await expect(state.delete('k', { ifVersion: 2 })).rejects.toMatchObject({ code: 'UPDATE_CONFLICT' });
    expect(await state.delete('k', { ifVersion: 1 })).toBe(true);
  });
});

describe('what is not written', () => {
  test('an unchanged record, unless skipIfUnchanged is false; creating it is a change', async () => {
    const store = recording(memoryStore());
    const state = make(store);
    const first = await state.update('k', () => 'created');
    expect(first).toMatchObject({ version: 1, index: 0, batched: 1 });
    const same = await state.update('k', (draft) => {
      draft.n = 0;
      return 'same';
    });
    expect(same).toMatchObject({ version: 1, index: -1, batched: 0, result: 'same', state: { n: 0 } });
    expect(await state.update('k', () => 1, { skipIfUnchanged: false })).toMatchObject({ version: 2, index: 0 });
    expect(store.history).toHaveLength(2);
  });
  test('a skip creates nothing and sees the initial state as version 0', async () => {
    const store = recording(memoryStore());
    const state = make(store);
    expect(await state.update('k', (_, { skip }) => skip('no'))).toMatchObject({
      version: 0,
      result: 'no',
      state: { n: 0, items: [] },
    });
    expect(await state.get('k')).toBeUndefined();
    expect(store.history).toEqual([]);
  });
});

describe('idempotencyKey', () => {
  const once = (state: ReturnType<typeof make>, key: string, o: UpdateOptions = {}) =>
    state.update(
      'k',
      (draft) => {
        draft.n++;
        return { n: draft.n };
      },
      { idempotencyKey: key, ...o },
    );

  test('applied once, then replayed with the first result and the present state; also by another instance', async () => {
    const store = memoryStore();
    const [first, again] = await Promise.all([once(make(store), 'a'), once(make(store), 'a')]);
    expect([first.replayed, again.replayed].sort()).toEqual([false, true]);
    const state = make(store);
    await state.update('k', push('x'));
    const replay = await once(state, 'a');
    expect(replay).toEqual({
      version: 2,
      state: { n: 1, items: ['x'] },
      result: { n: 1 },
      attempts: 1,
      replayed: true,
    });
    // Two at once build on one record, and each has the result for itself.
    const [one, two] = await Promise.all([once(state, 'a'), once(state, 'a')]);
    (one.result as { n: number }).n = 99;
    expect(two.result).toEqual({ n: 1 });
  });
  test('twice in one commit is applied once', async () => {
    const state = make();
    const [a, b, c] = await Promise.all([once(state, 'a'), once(state, 'a'), once(state, 'b')]);
    expect([a?.replayed, b?.replayed, c?.replayed]).toEqual([false, true, false]);
    expect(b).toMatchObject({ version: 1, result: { n: 1 }, state: { n: 2 } });
  });
  test('twice in one commit, and the first one fails when it runs again: the second is applied, not replayed', async () => {
    const state = make();
    let runs = 0;
    const ends = await Promise.allSettled([
      state.update('k', () => (runs++ === 0 ? 'first' : Promise.reject(new Error('no'))), { idempotencyKey: 'a' }),
      state.update('k', push('second'), { idempotencyKey: 'a' }),
      state.update('k', () => {
        throw new Error('makes those before it run again');
      }),
    ]);
    expect(ends.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected']);
    expect(ends[1]).toMatchObject({ value: { replayed: false, version: 1, state: { items: ['second'] } } });
  });

  test('is remembered though nothing changed, and over a deletion', async () => {
    const state = make();
    await state.update('k', push('x'));
    await state.update('k', () => undefined, { idempotencyKey: 'look' });
    expect((await state.get('k'))?.version).toBe(2);
    expect(await state.update('k', () => 'other', { idempotencyKey: 'look' })).toMatchObject({
      result: undefined,
      replayed: true,
    });
    await state.delete('k');
    expect(await state.update('k', push('y'), { idempotencyKey: 'look' })).toMatchObject({ replayed: true });
    expect(await state.get('k')).toBeUndefined();
  });
  test('a failed update is not remembered', async () => {
    const state = make();
    const fails = state.update('k', () => Promise.reject(new Error('no')), { idempotencyKey: 'a' });
    await expect(fails).rejects.toThrow('no');
    expect(await once(state, 'a')).toMatchObject({ replayed: false });
  });
  describe('the memory is bounded', () => {
    const remembering = (remember: { keys?: number; maxBytes?: number }) => {
      const state = createState<Doc>({ store: memoryStore(), initial: () => ({ n: 0, items: [] }), remember });
      const run = async (key: string, result: unknown = 0) =>
        (await state.update('k', () => result, { idempotencyKey: key })).replayed;
      return { state, run };
    };
    test('by number', async () => {
      const { run } = remembering({ keys: 2 });
      for (const key of ['a', 'b', 'c']) await run(key);
      expect([await run('c'), await run('b'), await run('a')]).toEqual([true, true, false]);
    });
    test('by room: the oldest give way, and one that is too large alone is refused', async () => {
      const { state, run } = remembering({ maxBytes: 200 });
      for (const key of ['a', 'b', 'c']) await run(key);
      await run('long', 'x'.repeat(120));
      expect([await run('long'), await run('c'), await run('a')]).toEqual([true, true, false]);
      const tooLong = state.update('k', () => 'x'.repeat(300), { idempotencyKey: 'longer' });
      await expect(tooLong).rejects.toMatchObject({ code: 'VALUE_TOO_LARGE', limit: 200 });
    });
  });
  test('a result that cannot be remembered is refused, others pass', async () => {
    const state = make();
    const ends = outcomes([
      state.update<unknown>('k', push('a')),
      state.update('k', ({ n }) => ({ n, at: [new Date(0)] }), { idempotencyKey: 'a' }),
      state.update<unknown>('k', push('c')),
    ] as Promise<object>[]);
    expect(await ends).toMatchObject([{ index: 0 }, 'LOSSY_STATE', { state: { n: 0, items: ['a', 'c'] } }]);
    const lossy = state.update('k', () => ({ at: [new Date(0)] }), { idempotencyKey: 'a' });
    await expect(lossy).rejects.toMatchObject({ path: 'result.at[0]' });
  });
});

describe('a new state as return value', () => {
  test.each<[string, Updater<Doc, unknown>]>([
    ['copied', (draft) => ({ ...draft, n: draft.n + 1 })],
    ['copied with more', (draft) => ({ ...draft, n: draft.n + 1, more: true })],
    ['copied by a promise', async (draft) => ({ ...draft, n: draft.n + 1 })],
  ])('%s: a TypeError that names context.replace', async (_, updater) => {
    const state = make();
    await state.update('k', push('x'));
    const ends = await Promise.allSettled([
      state.update('k', push('a')),
      state.update('k', updater),
      state.update('k', push('b')),
    ]);
    const error = (ends[1] as PromiseRejectedResult).reason;
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain('context.replace(next)');
    expect(ends[2]).toMatchObject({ value: { state: { n: 0, items: ['x', 'a', 'b'] } } });
  });
  test('of a list', async () => {
    const lists = createState<number[]>({ store: memoryStore(), initial: () => [] });
    await expect(lists.update('k', (draft) => [...draft, 1])).rejects.toThrow('context.replace(next)');
    expect(await lists.update('k', (draft) => void draft.push(1))).toMatchObject({ state: [1] });
  });
  test('results that only look like it pass: the draft, a copy of it, the state before, an answer of another form', async () => {
    const state = make();
    await state.update('k', push('x'));
    expect(await state.update('k', (draft) => draft)).toMatchObject({ version: 1, result: { items: ['x'] } });
    expect(await state.update('k', (draft) => ({ ...draft }))).toMatchObject({ version: 1 });
    const before = await state.update('k', (draft) => {
      const old = { ...draft };
      draft.n++;
      return old;
    });
    expect(before).toMatchObject({ version: 2, result: { n: 0 }, state: { n: 1 } });
    expect(await state.update('k', () => ({ n: 7 }))).toMatchObject({ version: 2, result: { n: 7 } });
    expect(await state.update('k', (_, { skip }) => skip({ n: 9, items: [] }))).toMatchObject({ result: { n: 9 } });
  });
});

describe('what is too large', () => {
  const limited = (maxValueBytes: number) => {
    const inner = memoryStore();
    return make({ ...inner, capabilities: { ...inner.capabilities, maxValueBytes } });
  };
  test('is refused alone; the limit counts bytes of UTF-8', async () => {
    const state = limited(1_000);
    const ends = await outcomes([
      state.update('k', push('a')),
      state.update('k', push('é'.repeat(500))),
      state.update('k', push('c')),
    ]);
    expect(ends).toMatchObject([
      { index: 0 },
      'VALUE_TOO_LARGE',
      { index: 1, batched: 2, state: { items: ['a', 'c'] } },
    ]);
    const tooLarge = state.update('k', push('é'.repeat(500)));
    await expect(tooLarge).rejects.toMatchObject({ code: 'VALUE_TOO_LARGE', limit: 1_000, what: 'the record' });
    expect(await state.update('k', push('é'.repeat(300)))).toMatchObject({ version: 2 });
  });
});

test('the context says the attempt and the version; its signal is made when asked for', async () => {
  const clock = new VirtualClock();
  const state = make(memoryStore(), clock);
  const seen: unknown[] = [];
  await state.update('k', (draft, { attempt, version, signal }) => {
    seen.push([attempt, version, signal.aborted]);
    draft.n++;
  });
  await state.update('k', (draft, { attempt, version }) => {
    seen.push([attempt, version]);
    draft.n++;
  });
  await settle();
  expect(seen).toEqual([
    [1, 0, false],
    [1, 1],
  ]);
});
