import { VirtualClock } from '@chunks/base/testing';
import { createState, memoryStore, type StandardSchema, type State, type StateOptions } from '@chunks/state';
import fc from 'fast-check';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { describeIssues } from '../src/schema.ts';
import { codeOf, drive, outcomes, recording } from './support/stores.ts';

interface Doc {
  n: number;
  tags: string[];
}

// One list for all, as libraries hand out defaults.
const noTags: string[] = [];
const answer = (value: unknown) => {
  const { n, tags = noTags } = value as { n?: unknown; tags?: string[] };
  if (typeof n !== 'number' || n < 0) return { issues: [{ message: 'expected a number ≥ 0', path: [{ key: 'n' }] }] };
  return { value: { n, tags } };
};
const schemaOf = (validate: StandardSchema<Doc>['~standard']['validate'] = answer): StandardSchema<Doc> => ({
  '~standard': { version: 1, vendor: 'test', validate },
});
const make = (o: Partial<StateOptions<Doc>> & { schema?: StandardSchema<Doc> } = {}): State<Doc> =>
  createState({ store: memoryStore(), initial: () => ({ n: 0, tags: [] }), schema: schemaOf(), ...o });

/** A store that holds a state as other code wrote it. */
async function holding(state: object) {
  const store = recording(memoryStore());
  await createState({ store, initial: () => state }).update('k', () => undefined);
  return store;
}

const ways = {
  'at once': schemaOf(),
  later: schemaOf(async (value) => answer(value)),
};

describe.each(Object.entries(ways))('a schema that answers %s', (_, schema) => {
  test('an updater whose result fails is rejected alone, with the issues; no other one notices', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 1, maxLength: 20 }), async (steps) => {
        const state = make({ schema });
        const ends = await outcomes(steps.map((step) => state.update('k', (draft) => (draft.n += step))));
        let n = 0;
        let index = 0;
        for (const [i, step] of steps.entries()) {
          if (n + step < 0) expect(ends[i]).toBe('INVALID_STATE');
          else {
            n += step;
            expect(ends[i]).toMatchObject({ result: n, version: 1, index: index++, attempts: 1 });
          }
        }
        expect((await state.get('k'))?.state.n).toBe(index === 0 ? undefined : n);
      }),
    );
  });

  test('the error tells what the schema said', async () => {
    const state = make({ schema });
    const error = await state.update('k', (draft) => void (draft.n = -1)).catch((error) => error);
    expect(error).toMatchObject({
      code: 'INVALID_STATE',
      issues: [{ message: 'expected a number ≥ 0', path: [{ key: 'n' }] }],
      why: 'what the updater made: n: expected a number ≥ 0',
      retryable: false,
    });
    expect(await state.get('k')).toBeUndefined();
    await expect(state.update('k', (_, { replace }) => replace({ n: -1, tags: [] }))).rejects.toMatchObject(error);
  });

  test('what is stored and fails is told by every call, and left untouched', async () => {
    const store = await holding({ n: 'seven' });
    const state = make({ schema, store });
    const invalid = { code: 'INVALID_STATE', issues: [{ message: 'expected a number ≥ 0' }] };
    await expect(state.get('k')).rejects.toMatchObject(invalid);
    await expect(state.update('k', (draft) => void draft.n++)).rejects.toMatchObject(invalid);
    await expect(state.delete('k')).rejects.toMatchObject(invalid);
    expect(store.history).toHaveLength(1);
  });

  test('initial() is asked for it too', async () => {
    const state = make({ schema, initial: () => ({ n: -1, tags: [] }) });
    await expect(state.update('k', (draft) => void draft.n++)).rejects.toMatchObject({
      why: 'initial(): n: expected a number ≥ 0',
    });
  });

  test('its output is the state, after a load and before a write', async () => {
    const store = await holding({ n: 1, more: 'than asked for' });
    const state = make({ schema, store });
    expect((await state.get('k'))?.state).toEqual({ n: 1, tags: [] });
    // What is only seen is not written.
    expect(await state.update('k', (draft) => draft.tags.length)).toMatchObject({
      index: -1,
      state: { n: 1, tags: [] },
    });
    expect(store.history).toHaveLength(1);
    const end = await state.update('k', (draft) => {
      draft.tags.push('a');
      Object.assign(draft, { more: 1 });
    });
    expect(end.state).toEqual({ n: 1, tags: ['a'] });
    expect(JSON.parse(store.history[1]?.value ?? '').state).toEqual({ n: 1, tags: ['a'] });
    // Nor did anybody get hold of the schema's own values.
    expect(noTags).toEqual([]);
  });

  test('each updater of a commit sees what the schema made of the one before', async () => {
    const state = make({ schema });
    const remove = state.update('k', (draft) => void Reflect.deleteProperty(draft, 'tags'));
    const push = state.update('k', (draft) => draft.tags.push('a'));
    expect(await Promise.all([remove, push])).toMatchObject([{ version: 1 }, { version: 1, index: 1, result: 1 }]);
  });
});

test('while a schema waits nobody can change what it looks at', async () => {
  const clock = new VirtualClock();
  const leaked: Doc[] = [];
  const slow = schemaOf(async (value) => {
    await clock.sleep(10);
    for (const draft of leaked) draft.n = -7;
    return { value: value as Doc };
  });
  const state = make({ schema: slow, clock });
  const ends = ['a', 'b'].map((tag) =>
    state.update('k', (draft) => {
      leaked.push(draft);
      draft.tags.push(tag);
    }),
  );
  expect((await drive(clock, Promise.all(ends)))[1]?.state).toEqual({ n: 0, tags: ['a', 'b'] });
});

test('one that waits is asked once for each state, but for the very first', async () => {
  let asked = 0;
  const counting = schemaOf(async (value) => {
    asked++;
    return answer(value);
  });
  const state = make({ schema: counting });
  await state.update('k', (draft) => void draft.n++);
  const before = asked;
  await state.update('k', (draft) => void draft.n++);
  await state.get('k');
  // One loaded, one made, one loaded.
  expect([before, asked - before]).toEqual([3, 3]);
});

test('a schema that throws: the updater’s own fault, or everybody’s', async () => {
  const broken = new Error('broken schema');
  const state = make({
    schema: schemaOf((value) => {
      if ((value as Doc).n === 1) throw broken;
      return answer(value);
    }),
  });
  const ends = [state.update('k', (draft) => void draft.n++), state.update('k', (draft) => void (draft.n = 5))];
  expect(await Promise.allSettled(ends)).toMatchObject([{ reason: broken }, { value: { state: { n: 5 } } }]);
  const none = make({ schema: schemaOf(() => Promise.reject(broken)) });
  expect(await none.update('k', () => 1).catch((error) => error)).toBe(broken);
});

test('a schema that never answers keeps nobody longer than the update that it was asked about', async () => {
  const clock = new VirtualClock();
  const validate = (value: unknown) => ((value as Doc).n === 7 ? new Promise<never>(() => undefined) : answer(value));
  const state = make({ clock, schema: schemaOf(async (value) => validate(value)) });
  const ends = [
    state.update('k', (draft) => void (draft.n = 7), { timeoutMs: 100 }),
    state.update('k', (draft) => void (draft.n += 1)),
  ];
  expect(await drive(clock, outcomes(ends))).toMatchObject(['UPDATE_TIMEOUT', { state: { n: 1 }, version: 1 }]);
});

test('what comes from a schema must be an object, and survive being stored', async () => {
  const text = make({ schema: schemaOf(() => ({ value: 'text' as never })) });
  expect(await text.update('k', () => 1).catch(codeOf)).toBe('INVALID_STATE');
  const date = make({ schema: schemaOf((value) => ({ value: { ...(value as Doc), at: new Date(0) } })) });
  expect(await date.update('k', () => 1).catch((error) => error)).toMatchObject({
    code: 'LOSSY_STATE',
    path: 'state.at',
  });
});

test('describeIssues', () => {
  expect(describeIssues([{ message: 'no', path: ['a', 0, { key: Symbol('s') }] }, { message: 'more' }])).toBe(
    'a.0.Symbol(s): no',
  );
  expect(describeIssues([{ message: 'no' }])).toBe('no');
});

test('bad input, and types: the state is what the schema says', () => {
  expect(() => make({ schema: {} as never })).toThrow("schema['~standard'].validate must be a function");
  const types = () => {
    const state = createState({ store: memoryStore(), initial: () => ({ n: 0, tags: [] }), schema: schemaOf() });
    expectTypeOf(state).toEqualTypeOf<State<Doc>>();
    // @ts-expect-error What initial gives must fit.
    createState({ store: memoryStore(), initial: () => ({ n: 'seven' }), schema: schemaOf() });
    expectTypeOf(createState({ store: memoryStore(), initial: () => ({ m: 1 }) })).toEqualTypeOf<
      State<{ m: number }>
    >();
  };
  expect(types).toBeTypeOf('function');
});
