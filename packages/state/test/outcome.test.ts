import { createState, memoryStore } from '@chunks/state';
import { expect, test } from 'vitest';

test('a commit of many makes no copy of the state for those who do not look', async () => {
  let decoded = 0;
  const codec = {
    encode: (state: { n: number }) => JSON.stringify(state),
    decode: (text: string) => {
      decoded++;
      return JSON.parse(text);
    },
  };
  const state = createState({ store: memoryStore(), initial: () => ({ n: 0 }), codec });
  const ends = await Promise.all(Array.from({ length: 100 }, () => state.update('k', (draft) => ++draft.n)));
  expect(decoded).toBe(1);
  const [first, second] = ends;
  expect(first?.state).toEqual({ n: 100 });
  // The same object each time, another one for each caller.
  expect(first?.state).toBe(first?.state);
  expect(first?.state).not.toBe(second?.state);
  expect(decoded).toBe(3);
});

test('results are plain objects: they spread, compare and turn into JSON with all their fields', async () => {
  const state = createState({ store: memoryStore(), initial: () => ({ n: 0 }) });
  const expected = {
    version: 1,
    result: 1,
    attempts: 1,
    index: 0,
    batched: 1,
    recovered: false,
    replayed: false,
    state: { n: 1 },
  };
  const end = await state.update('k', (draft) => ++draft.n);
  expect({ ...end }).toEqual(expected);
  expect(JSON.parse(JSON.stringify(end))).toEqual(expected);
  end.state = { n: 7 };
  expect(end.state).toEqual({ n: 7 });
});
