import { createState, LossyStateError, memoryStore } from '@chunks/state';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../.ci/testing/runs.ts';
import { codecOf, encodeJson, lossyPath } from '../src/codec.ts';

const cycle: Record<string, unknown> = { deep: {} };
(cycle['deep'] as Record<string, unknown>)['up'] = cycle;
const sparse = [1, 2, 3];
delete sparse[1];
class Point {
  x = 1;
}

describe('lossyPath', () => {
  test.each<[string, unknown, string]>([
    ['undefined', { a: { b: undefined } }, '.a.b'],
    ['undefined in a list', { a: [1, undefined] }, '.a[1]'],
    ['NaN', { n: Number.NaN }, '.n'],
    ['Infinity', [Number.POSITIVE_INFINITY], '[0]'],
    ['−Infinity', [Number.NEGATIVE_INFINITY], '[0]'],
    ['−0', { n: [{ zero: -0 }] }, '.n[0].zero'],
    ['Date', { at: new Date(0) }, '.at'],
    ['BigInt', { big: 1n }, '.big'],
    ['Map', { map: new Map() }, '.map'],
    ['Set', { set: new Set() }, '.set'],
    ['bytes', { bytes: new Uint8Array(2) }, '.bytes'],
    ['a cycle', cycle, '.deep.up'],
    ['a sparse list', { list: sparse }, '.list[1]'],
    ['a list with more on it', { list: Object.assign([1, 2], { more: 1 }) }, '.list.more'],
    ['a list with a symbol', { list: Object.assign([1], { [Symbol('s')]: 1 }) }, '.list[Symbol(s)]'],
    ['a symbol as key', { [Symbol('s')]: 1 }, '[Symbol(s)]'],
    ['a symbol as value', { s: Symbol('s') }, '.s'],
    ['a function', { f: () => 1 }, '.f'],
    ['a class instance', { p: new Point() }, '.p'],
    ['a subclass of Array', { list: new (class extends Array {})() }, '.list'],
    ['toJSON', { a: { toJSON: () => 1 } }, '.a.toJSON'],
    ['a hidden property', { a: Object.defineProperty({}, 'hidden', { value: 1 }) }, '.a.hidden'],
    ['a boxed number', { n: Object(1) }, '.n'],
    ['an error', { e: new Error('x') }, '.e'],
    ['keys that are no names', { 'a b': { '0': { é: { '': undefined } } } }, '["a b"][0].é[""]'],
  ])('%s', (_, value, path) => {
    expect(lossyPath(value)).toBe(path);
    expect(() => encodeJson('k', value, 'state')).toThrow(LossyStateError);
  });

  test('accepts exactly what JSON brings back', () => {
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSparseArray: true,
      withNullPrototype: true,
    });
    fc.assert(
      fc.property(anything, (value) => {
        if (lossyPath(value) !== undefined) return;
        // toEqual looks at no prototype: null-prototype objects are data like any other.
        expect(JSON.parse(JSON.stringify(value))).toEqual(value);
        expect(Object.is(JSON.parse(JSON.stringify(value)), -0)).toBe(Object.is(value, -0));
      }),
      { numRuns: runs(300) },
    );
  });

  test('accepts every JSON value, also with odd keys, lone surrogates and one object in two places', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(lossyPath(JSON.parse(JSON.stringify(value)))).toBeUndefined();
      }),
    );
    const shared = { a: 1 };
    const odd = JSON.parse('{"__proto__":{"x":1},"toString":1,"\\ud800":"\\udfff","":[[]]}');
    expect(lossyPath({ one: shared, two: shared, odd, none: Object.create(null) })).toBeUndefined();
    expect(JSON.parse(encodeJson('k', odd, 'state'))).toEqual(odd);
  });

  test('nested deeper than the stack: refused, not crashed', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 200_000; i++) deep = [deep];
    expect(() => encodeJson('k', deep, 'state')).toThrow(LossyStateError);
  });
});

test('a lossy state is refused with the path, and nothing is written', async () => {
  const state = createState<{ items: unknown[] }>({ store: memoryStore(), initial: () => ({ items: [] }) });
  const update = state.update('k', (draft) => void draft.items.push({ at: new Date(0) }));
  await expect(update).rejects.toMatchObject({
    code: 'LOSSY_STATE',
    path: 'state.items[0].at',
    key: 'k',
    retryable: false,
  });
  await expect(state.update('k', (_, { replace }) => replace(7 as never))).rejects.toMatchObject({
    code: 'INVALID_STATE',
  });
  expect(await state.get('k')).toBeUndefined();
});

describe('a codec of one’s own', () => {
  const dates = {
    encode: (state: { at: Date }) => state.at.toISOString(),
    decode: (text: string) => ({ at: new Date(text) }),
  };
  test('carries what it can', async () => {
    const store = memoryStore();
    const state = createState({ store, initial: () => ({ at: new Date(0) }), codec: dates });
    const { state: after } = await state.update('k', (draft) => void draft.at.setFullYear(2001));
    expect(after.at.getFullYear()).toBe(2001);
    expect((await state.get('k'))?.state.at).toEqual(after.at);
    expect(await state.update('k', (draft) => void draft.at.setFullYear(2001))).toMatchObject({
      version: 1,
      index: -1,
    });
  });
  test('what it throws is LOSSY_STATE when writing, INVALID_STATE when reading', async () => {
    const store = memoryStore();
    const state = createState({ store, initial: () => ({ at: new Date(0) }), codec: dates });
    const lossy = state.update('k', (draft) => void draft.at.setTime(Number.NaN));
    await expect(lossy).rejects.toMatchObject({ code: 'LOSSY_STATE', cause: { name: 'RangeError' } });
    await state.update('k', () => 1);
    const other = createState({
      store,
      initial: () => ({}),
      codec: { encode: () => '', decode: () => JSON.parse('{') },
    });
    await expect(other.get('k')).rejects.toMatchObject({ code: 'INVALID_STATE', cause: { name: 'SyntaxError' } });
    await expect(other.update('k', () => 1)).rejects.toMatchObject({ code: 'INVALID_STATE' });
    const noText = codecOf({ encode: () => 7 as never, decode: () => ({}) });
    expect(() => noText.encode('k', {})).toThrow(LossyStateError);
  });

  test('a promise is no state, wherever it comes from: what stands there is left untouched', async () => {
    const store = memoryStore();
    type Doc = { n: number };
    const encode = (state: unknown) => JSON.stringify(state);
    const decode = (text: string) => JSON.parse(text);
    const initial = () => ({ n: 1 });
    const state = createState<Doc>({ store, initial, codec: { encode, decode } });
    await state.update('k', (draft) => ++draft.n);
    const later = createState<Doc>({ store, initial, codec: { encode, decode: async (text) => JSON.parse(text) } });
    await expect(later.get('k')).rejects.toThrow('it is a promise');
    await expect(later.update('k', (draft) => ++draft.n)).rejects.toMatchObject({ code: 'INVALID_STATE' });
    const given = state.update('k', (_, { replace }) => replace(Promise.resolve() as never));
    await expect(given).rejects.toMatchObject({ code: 'INVALID_STATE' });
    const made = createState({ store, initial: async () => ({ n: 1 }), codec: { encode, decode } });
    await expect(made.update('new', () => 1)).rejects.toMatchObject({ code: 'INVALID_STATE' });
    expect([await state.get('k'), await state.get('new')]).toEqual([{ state: { n: 2 }, version: 1 }, undefined]);
  });

  test('a record that is no text of its own kind is INVALID_STATE, and never handed to it', async () => {
    const store = memoryStore();
    await createState({ store, initial: () => ({ n: 0 }) }).update('k', (draft) => ++draft.n);
    const given: unknown[] = [];
    const decode = (text: string) => ({ raw: given.push(text) });
    const other = createState({ store, initial: () => ({ raw: 0 }), codec: { encode: () => '', decode } });
    await expect(other.get('k')).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await expect(other.update('k', () => 1)).rejects.toMatchObject({ code: 'INVALID_STATE' });
    expect(given).toEqual([]);
  });
});
