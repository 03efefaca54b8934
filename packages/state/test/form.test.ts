import { CorruptRecordError, createState, memoryStore, type StateOptions } from '@chunks/state';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { codeOf, recording } from './support/stores.ts';

type Shape = NonNullable<StateOptions<Doc>['shape']>;
interface Doc {
  name?: string;
  names?: string[];
  n?: number;
}

// 0: { name }, 1: { names: [name] }, 2: { names, n }
const steps: Shape['migrate'] = {
  0: (old) => ({ names: [(old as { name: string }).name] }),
  1: (old) => Object.assign(old as object, { n: 1 }),
};
const at = (store = recording(memoryStore()), shape?: Shape | undefined, more: object = {}) =>
  createState<Doc>({ store, initial: () => ({ names: [], n: 0 }), shape, ...more });

/** A store with a record of shape 0, at version 2, that remembers a request. */
async function old() {
  const store = recording(memoryStore());
  const state = at(store, undefined, { initial: () => ({ name: '' }) });
  await state.update('k', (draft) => void (draft.name = 'a'));
  await state.update('k', () => 'done', { idempotencyKey: 'request' });
  return store;
}

test('a record in which a field stands twice is CORRUPT_RECORD for whoever needs its text, and left untouched', async () => {
  const store = recording(memoryStore());
  const head = '{"format":1,"shape":0,"version":3,"writeId":"a.1","recent":[],"forgotten":0,"applied":[]';
  const { signal } = new AbortController();
  await store.write('k', `${head},"state":{"n":1},"state":{"n":2}}`, undefined, { signal });
  const state = at(store);
  expect(await state.get('k')).toEqual({ state: { n: 2 }, version: 3 });
  const fail = () => {
    throw new Error('the updater failed');
  };
  const ends = [state.update('k', fail), state.update('k', (draft) => void (draft.n = 5))];
  expect(await Promise.all(ends.map((end) => end.catch(codeOf)))).toEqual(['CORRUPT_RECORD', 'CORRUPT_RECORD']);
  const skipped = await state.update('k', (_, { skip }) => skip(1));
  expect(() => skipped.state).toThrow(CorruptRecordError);
  expect(store.history).toHaveLength(1);
});

describe('migrate', () => {
  test('step by step, in memory when it is only read; the next write stores it; versions and results go on', async () => {
    const store = await old();
    const shape = { version: 2, migrate: steps };
    const state = at(store, shape);
    expect(await state.get('k')).toEqual({ state: { names: ['a'], n: 1 }, version: 2 });
    const seen = await state.update('k', (draft) => draft.names?.length);
    expect(seen).toMatchObject({ result: 1, version: 2, index: -1, state: { names: ['a'], n: 1 } });
    expect(store.history).toHaveLength(2);
    const replayed = await state.update('k', () => 'again', { idempotencyKey: 'request' });
    expect(replayed).toMatchObject({ replayed: true, result: 'done', version: 2, state: { names: ['a'], n: 1 } });
    const [first] = await Promise.all([1, 2].map(() => state.update('k', (draft) => void draft.names?.push('b'))));
    expect(first).toMatchObject({ version: 3, state: { names: ['a', 'b', 'b'], n: 1 } });
    expect(JSON.parse(store.history[2]?.value ?? '')).toMatchObject({
      shape: 2,
      version: 3,
      state: first?.state,
      applied: [{ key: 'request', version: 2, result: 'done' }],
    });
    expect(await at(store, shape).get('k')).toEqual({ state: first?.state, version: 3 });
  });

  test('from whatever shape to whatever later one: each step once, in order', async () => {
    const migrate = Object.fromEntries(
      Array.from({ length: 5 }, (_, n) => [
        n,
        (draft: unknown) => ({ steps: [...(draft as { steps: number[] }).steps, n] }),
      ]),
    );
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 5 }), fc.nat({ max: 5 }), async (from, to) => {
        const store = memoryStore();
        const make = (version: number) =>
          createState({ store, initial: () => ({ steps: [] as number[] }), shape: { version, migrate } });
        await make(from).update('k', () => undefined);
        const end = make(to).get('k');
        if (to < from) await expect(end).rejects.toMatchObject({ code: 'INVALID_STATE' });
        else expect((await end)?.state.steps).toEqual([0, 1, 2, 3, 4].slice(from, to));
      }),
    );
  });

  test.each<[string, Shape | undefined, string]>([
    ['a missing step', { version: 2, migrate: { 0: steps[0] as never } }, 'there is no shape.migrate[1]'],
    [
      'a step that throws',
      {
        version: 1,
        migrate: {
          0: () => {
            throw new Error('broken step');
          },
        },
      },
      'shape.migrate[0] made no state',
    ],
    ['a step that returns nothing', { version: 1, migrate: { 0: () => undefined } }, 'shape.migrate[0] made no state'],
    ['a step that waits', { version: 1, migrate: { 0: async (old) => old } }, 'shape.migrate[0] made no state'],
  ])('%s: INVALID_STATE, and nothing is touched', async (_, shape, why) => {
    const store = await old();
    const state = at(store, shape);
    for (const call of [state.get('k'), state.update('k', (draft) => void draft.names?.push('b')), state.delete('k')]) {
      await expect(call).rejects.toMatchObject({
        code: 'INVALID_STATE',
        why: expect.stringContaining(why),
        issues: [],
      });
    }
    expect(store.history).toHaveLength(2);
  });

  test('a newer shape, also for code that knows of none', async () => {
    const store = await old();
    await at(store, { version: 2, migrate: steps }).update('k', (draft) => void draft.names?.push('b'));
    for (const shape of [undefined, { version: 1, migrate: steps }]) {
      const state = at(store, shape);
      expect(await state.get('k').catch(codeOf)).toBe('INVALID_STATE');
      expect(await state.update('k', (draft) => void draft.names?.push('c')).catch(codeOf)).toBe('INVALID_STATE');
    }
    expect(store.history).toHaveLength(3);
  });

  test('a write whose reply was lost is found also below a newer shape', async () => {
    const inner = await old();
    const newer = at(inner, { version: 2, migrate: steps });
    let lose = true;
    const store = {
      ...inner,
      write: async (...all: Parameters<typeof inner.write>) => {
        const reply = await inner.write(...all);
        if (!lose) return reply;
        lose = false;
        await newer.update('k', (draft) => void draft.names?.push('b'));
        throw new Error('the reply was lost');
      },
    };
    const end = await at(store).update('k', (draft) => void (draft.name = 'older code'));
    expect(end).toMatchObject({ version: 3, recovered: true, state: { name: 'older code' } });
  });

  test('with a schema: what the steps made is asked about; with a codec: they get what it decoded', async () => {
    const store = await old();
    const asked: unknown[] = [];
    const schema = {
      '~standard': {
        version: 1 as const,
        vendor: 'test',
        validate: (value: unknown) => {
          asked.push(structuredClone(value));
          return { value: value as Doc };
        },
      },
    };
    expect(await at(store, { version: 2, migrate: steps }, { schema }).get('k')).toMatchObject({ version: 2 });
    expect(asked).toEqual([{ names: ['a'], n: 1 }]);

    const codec = {
      encode: (state: Doc) => `v:${JSON.stringify(state)}`,
      decode: (text: string) => JSON.parse(text.slice(2)),
    };
    const other = recording(memoryStore());
    await at(other, undefined, { codec }).update('k', (draft) => void (draft.name = 'a'));
    const end = await at(other, { version: 1, migrate: steps }, { codec }).update(
      'k',
      (draft) => void draft.names?.push('b'),
    );
    expect(end.state).toEqual({ names: ['a', 'b'] });
    expect(JSON.parse(other.history[1]?.value ?? '').state).toBe('v:{"names":["a","b"]}');
  });

  test('a tombstone of an old shape, and one of a newer: there is nothing to migrate', async () => {
    const store = await old();
    await at(store, { version: 2, migrate: steps }).delete('k');
    const state = at(store, { version: 1, migrate: {} });
    expect(await state.get('k')).toBeUndefined();
    expect(await state.update('k', (draft) => void (draft.n = 7))).toMatchObject({ version: 4, state: { n: 7 } });
  });

  test.each<[string, object, string]>([
    ['version', { version: -1, migrate: {} }, 'shape.version must be an integer ≥ 0, but is -1'],
    ['a step', { version: 1, migrate: { 0: 'no' } }, 'shape.migrate[0] must be a function'],
    ['migrate', { version: 1 }, 'shape.migrate must be'],
  ])('bad input: %s', (_, shape, message) => {
    expect(() => at(undefined, shape as never)).toThrow(message);
  });
});

test('a record that another tool has set differently is read all the same', async () => {
  const store = await old();
  const packed = store.history[1]?.value ?? '';
  const { format, state, ...rest } = JSON.parse(packed);
  for (const value of [
    JSON.stringify({ state, ...rest, format }),
    JSON.stringify(JSON.parse(packed), undefined, 2),
    `${packed}\n`,
    packed.replace(/}$/, ' }'),
    packed.replace(/}$/, ',"added":{"state":1}}'),
  ]) {
    const other = memoryStore();
    await other.write('k', value, undefined, { signal: new AbortController().signal });
    const records = at(recording(other));
    expect(await records.get('k'), value).toEqual({ state: { name: 'a' }, version: 2 });
    const seen = await records.update('k', (_, { skip }) => skip('seen'));
    expect(seen.state, value).toEqual({ name: 'a' });
    expect(await records.update('k', (draft) => void (draft.n = 1)), value).toMatchObject({
      state: { name: 'a', n: 1 },
    });
  }
});
