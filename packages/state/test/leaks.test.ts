import { settle, VirtualClock } from '@chunks/base/testing';
import { createState, memoryStore, type Updater } from '@chunks/state';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runs } from '../../../.ci/testing/runs.ts';
import { drive } from './support/stores.ts';

interface Doc {
  items: string[];
}

// Updaters that keep hold of their draft, or of what they gave for it, and change it when they like.

const leaks = {
  sync: (draft, name) => draft.items.push(name),
  result: (draft, name) => {
    draft.items.push(name);
    return draft.items;
  },
  async: async (draft, name, wait) => {
    await wait();
    draft.items.push(name);
  },
  // No async function, but a promise all the same.
  promise: (draft, name, wait) => wait().then(() => draft.items.push(name)),
  replace: (draft, name, _, { replace }) => {
    const next = { items: [...draft.items, name] };
    replace(next);
    return next;
  },
  throw: (draft, name, wait) => {
    draft.items.push(`${name}!`);
    if (name.length % 2 === 0) return wait().then(() => Promise.reject(new Error('thrown')));
    throw new Error('thrown');
  },
} satisfies Record<
  string,
  (draft: Doc, name: string, wait: () => Promise<void>, context: Parameters<Updater<Doc, unknown>>[1]) => unknown
>;

const program = fc.array(
  fc.record({
    kind: fc.constantFrom(...(Object.keys(leaks) as (keyof typeof leaks)[])),
    atMs: fc.nat({ max: 30 }),
    waitMs: fc.nat({ max: 20 }),
    // Below 0: in the very next step; else on the clock.
    poisonMs: fc.integer({ min: -1, max: 40 }),
  }),
  { minLength: 1, maxLength: 15 },
);

test('what an updater does to its draft after it has returned reaches nothing', async () => {
  await fc.assert(
    fc.asyncProperty(program, async (calls) => {
      const clock = new VirtualClock();
      const inner = memoryStore();
      const slow = (ms: number) => clock.sleep(ms);
      const store = {
        ...inner,
        read: (...o: Parameters<typeof inner.read>) => slow(3).then(() => inner.read(...o)),
        write: (...o: Parameters<typeof inner.write>) => slow(3).then(() => inner.write(...o)),
      };
      const state = createState<Doc>({ store, initial: () => ({ items: [] }), clock });
      const order: string[] = [];
      const ends = calls.map(async ({ kind, atMs, waitMs, poisonMs }, i) => {
        await clock.sleep(atMs);
        const name = `u${i}`;
        if (kind !== 'throw') order.push(name);
        await state
          .update<unknown>('k', (draft, context) => {
            const result: unknown = leaks[kind](draft, name, () => clock.sleep(waitMs), context);
            const poison = () => {
              draft.items.push('poison');
              if (Array.isArray(result)) result.push('poison');
              else (result as Partial<Doc> | undefined)?.items?.push('poison');
            };
            // One that waits has returned when its promise has settled; until that is noticed the draft is its own.
            const later = () => void clock.after(poisonMs + 1, poison);
            if (result instanceof Promise) result.then(later, later);
            else if (poisonMs < 0) queueMicrotask(poison);
            else later();
            return result;
          })
          .catch(() => undefined);
      });
      await drive(clock, Promise.all(ends));
      await clock.advance(1_000);
      expect((await drive(clock, state.get('k')))?.state.items ?? []).toEqual(order);
    }),
    { numRuns: runs(200) },
  );
});

test('one that returns a promise without being async gets a draft of its own: it is called once more', async () => {
  const clock = new VirtualClock();
  const state = createState<Doc>({ store: memoryStore(), initial: () => ({ items: [] }), clock });
  let calls = 0;
  let leaked: Doc | undefined;
  const all = Promise.all([
    state.update('k', (draft) => {
      leaked = draft;
      draft.items.push('a');
    }),
    state.update('k', (draft) => {
      calls++;
      return clock.sleep(10).then(() => {
        leaked?.items.push('poison');
        draft.items.push('b');
        if (calls > 2) throw new Error('called too often');
      });
    }),
  ]);
  expect((await drive(clock, all))[1]).toMatchObject({ state: { items: ['a', 'b'] }, index: 1, attempts: 1 });
  expect(calls).toBe(2);
});

test('an async function is called once, whoever ran before it', async () => {
  const state = createState<Doc>({ store: memoryStore(), initial: () => ({ items: [] }) });
  let calls = 0;
  await Promise.all([
    state.update('k', (draft) => void draft.items.push('a')),
    state.update('k', async (draft) => {
      calls++;
      draft.items.push('b');
    }),
  ]);
  expect(calls).toBe(1);
});

test('a failure of the call that was given up is nobody’s', async () => {
  const state = createState<Doc>({ store: memoryStore(), initial: () => ({ items: [] }) });
  let calls = 0;
  const [, end] = await Promise.all([
    state.update('k', (draft) => void draft.items.push('a')),
    state.update('k', (draft) =>
      ++calls === 1 ? Promise.reject(new Error('first')) : settle().then(() => draft.items.push('b')),
    ),
  ]);
  expect(end).toMatchObject({ result: 2, state: { items: ['a', 'b'] } });
});

test('on an empty record an object is a result like any other; a list is not, where the state is one', async () => {
  const store = memoryStore();
  const state = createState<Record<string, number>>({ store, initial: () => ({}) });
  expect(await state.update('k', (draft) => ({ found: 'a' in draft }))).toMatchObject({
    result: { found: false },
    state: {},
  });
  const lists = createState<number[]>({ store, initial: () => [] });
  await expect(lists.update('l', (draft) => [...draft, 1])).rejects.toThrow('context.replace');
});
