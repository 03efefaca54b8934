import { createState, memoryStore } from '@chunks/state';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../.ci/testing/runs.ts';
import { OwnObjects } from '../src/own-objects.ts';

interface Node {
  tries: number;
  inner?: Node;
}
interface Doc {
  first?: Node;
  all: Node[];
}

describe('OwnObjects', () => {
  test('what is new is copied, what was there is left where it is', () => {
    const draft: Doc = { first: { tries: 1 }, all: [{ tries: 2 }] };
    const own = new OwnObjects(draft);
    const [first, all, second] = [draft.first, draft.all, draft.all[0]];
    const mine: Node = { tries: 3, inner: { tries: 4 } };
    draft.all.push(mine);
    expect(own.adopt(draft)).toBe(true);
    expect([draft.first === first, draft.all === all, draft.all[0] === second]).toEqual([true, true, true]);
    const copy = draft.all[1];
    expect(copy).toEqual(mine);
    expect([copy === mine, copy?.inner === mine.inner]).toEqual([false, false]);
    // From now on it is one's own.
    expect(own.adopt(draft)).toBe(true);
    expect(draft.all[1]).toBe(copy);
  });

  test('one that stands in two places becomes two, as JSON would have it', () => {
    const draft: Doc = { all: [{ tries: 1 }] };
    const own = new OwnObjects(draft);
    draft.first = draft.all[0] as Node;
    expect(own.adopt(draft)).toBe(true);
    expect(draft.first === draft.all[0]).toBe(false);
    expect(draft).toEqual({ first: { tries: 1 }, all: [{ tries: 1 }] });
  });

  test.each([
    ['an instance of a class', new Date(0)],
    [
      'a cycle',
      (() => {
        const cycle: Record<string, unknown> = {};
        cycle['self'] = cycle;
        return cycle;
      })(),
    ],
    ['a hidden property', Object.defineProperty({}, 'hidden', { value: 1 })],
    ['a symbol', { [Symbol('s')]: 1 }],
    ['a list with a name', Object.assign([1], { name: 1 })],
    [
      'a getter that throws',
      Object.defineProperty({}, 'bad', {
        enumerable: true,
        get: () => {
          throw new Error('no');
        },
      }),
    ],
  ])('%s is left to the codec', (_, value) => {
    const draft = { all: [] as unknown[] };
    const own = new OwnObjects(draft);
    draft.all.push(value);
    expect(own.adopt(draft)).toBe(false);
  });

  test('so is what an updater has frozen', () => {
    const draft: Doc = { all: [] };
    const own = new OwnObjects(draft);
    Object.freeze(draft.all);
    expect(own.adopt(draft)).toBe(false);
  });
});

/** Things that the callers hold, and what they do with them. */
type Step =
  | { readonly kind: 'push' | 'first' | 'into'; readonly mine: number }
  | { readonly kind: 'count' | 'again' | 'drop' | 'throw' };

const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constantFrom('push' as const, 'first' as const, 'into' as const), mine: fc.nat({ max: 2 }) }),
    fc.record({ kind: fc.constantFrom('count' as const, 'again' as const, 'drop' as const, 'throw' as const) }),
  ),
  { minLength: 2, maxLength: 12 },
);

const visit = (node: Node | undefined): void => {
  if (node === undefined) return;
  node.tries++;
  visit(node.inner);
};

function change(draft: Doc, step: Step, held: readonly Node[]): void {
  if (step.kind === 'push') draft.all.push(held[step.mine] as Node);
  else if (step.kind === 'first') draft.first = held[step.mine] as Node;
  else if (step.kind === 'into') {
    if (draft.all[0]) draft.all[0].inner = held[step.mine] as Node;
  } else if (step.kind === 'count') {
    visit(draft.first);
    for (const node of draft.all) visit(node);
  } else if (step.kind === 'again') {
    if (draft.first) draft.all.push(draft.first);
  } else if (step.kind === 'drop') draft.all.shift();
  else throw new Error('not this one');
}

test('updates that share a commit come to what they come to one by one, and leave alone what their callers hold', async () => {
  let shared = 0;
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 0, max: 3 }), async (program, conflicts) => {
      const fresh = (): Node[] => [{ tries: 0 }, { tries: 10, inner: { tries: 20 } }, { tries: 30 }];
      let expected: Doc = { all: [] };
      for (const step of program) {
        const draft = structuredClone(expected);
        try {
          change(draft, step, structuredClone(fresh()));
          expected = JSON.parse(JSON.stringify(draft));
        } catch {
          // Leaves nothing behind.
        }
      }
      const held = fresh();
      const store = memoryStore();
      let left = conflicts;
      const state = createState<Doc>({
        store: {
          ...store,
          write: async (...all) => (left-- > 0 ? { conflict: true } : store.write(...all)),
        },
        initial: () => ({ all: [] }),
        retry: { baseMs: 0.001, maxMs: 0.001 },
      });
      const ends = await Promise.allSettled(
        program.map((step) => state.update('key', (draft) => change(draft, step, held))),
      );
      expect(ends.map(({ status }) => status === 'fulfilled')).toEqual(program.map(({ kind }) => kind !== 'throw'));
      expect((await state.get('key'))?.state ?? { all: [] }).toEqual(expected);
      expect(held).toEqual(fresh());
      const inserts = program.findIndex((step) => 'mine' in step);
      if (inserts >= 0 && program.findLastIndex(({ kind }) => kind === 'count') > inserts) shared++;
    }),
    { numRuns: runs(300) },
  );
  expect(shared).toBeGreaterThan(runs(300) / 10);
});

test('what one record was given does not turn up in another', async () => {
  const none: string[] = [];
  const state = createState<{ tags: string[] }>({ store: memoryStore(), initial: () => ({ tags: [] }) });
  await Promise.all([
    state.update('a', (draft) => void (draft.tags = none)),
    state.update('a', (draft) => void draft.tags.push('of a alone')),
  ]);
  await state.update('b', (draft) => void (draft.tags = none));
  expect((await state.get('a'))?.state.tags).toEqual(['of a alone']);
  expect((await state.get('b'))?.state.tags).toEqual([]);
});
