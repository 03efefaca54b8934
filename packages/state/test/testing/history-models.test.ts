import { expect, test } from 'vitest';
import {
  type BareInput,
  type BareOutput,
  bareModel,
  type RecordInput,
  type RecordOutput,
  recordModel,
} from '../../src/testing/history-models.ts';

const span = { start: 0, end: 1 };
const record = (input: RecordInput, output: RecordOutput) => ({ ...span, outcome: 'done', input, output }) as const;
const bare = (input: BareInput, output: BareOutput) => ({ ...span, outcome: 'done', input, output }) as const;

test('a record: versions go on over deletions, and ifVersion 0 means that there is none', () => {
  const { init, step } = recordModel;
  const put = (value: string, ifVersion?: number) => ({ type: 'put', value, ifVersion }) as const;
  const one = { version: 1, value: 'a' };
  expect(step(init, record(put('a', 0), { version: 1, before: null }))).toEqual({ state: one, ok: true });
  expect(step(one, record(put('b', 0), 'conflict'))).toEqual({ state: one, ok: true });
  expect(step(one, record(put('b', 1), 'conflict')).ok).toBe(false);
  expect(step(one, record(put('b'), { version: 2, before: 'x' })).ok).toBe(false);
  expect(step(one, record(put('b'), { version: 3, before: 'a' })).ok).toBe(false);
  expect(step(one, record({ type: 'delete' }, true))).toEqual({ state: { version: 2, value: null }, ok: true });
  const gone = { version: 2, value: null };
  expect(step(gone, record({ type: 'delete' }, false))).toEqual({ state: gone, ok: true });
  expect(step(gone, record({ type: 'get' }, null)).ok).toBe(true);
  expect(step(gone, record({ type: 'get' }, one)).ok).toBe(false);
  expect(step(gone, record(put('c', 0), { version: 3, before: null })).state).toEqual({ version: 3, value: 'c' });
  expect(step(gone, { ...span, outcome: 'unknown', input: put('c', 2) }).state).toEqual(gone);
});

test('a record: what only looks, and what comes too late', () => {
  const state = { version: 3, value: 'c' };
  const put = record({ type: 'put', value: 'x' }, { version: 3, before: null });
  const get = record({ type: 'get' }, { version: 3, value: 'c' });
  const all = [
    put,
    get,
    record({ type: 'put', value: 'x' }, 'conflict'),
    record({ type: 'delete' }, true),
    record({ type: 'delete' }, false),
  ];
  expect(all.map((one) => recordModel.onlyLooks?.(one))).toEqual([false, true, true, false, true]);
  expect(all.map((one) => recordModel.isTooLate?.(state, one))).toEqual([true, false, false, false, false]);
  expect(recordModel.isTooLate?.({ ...state, version: 4 }, get)).toBe(true);
  expect(recordModel.isTooLate?.({ ...state, version: 4 }, record({ type: 'get' }, null))).toBe(false);
});

test('a bare store: a revision fits one write, and shows with the first read if its writer did not hear it', () => {
  const { init, step } = bareModel;
  const write = (id: string, on: { expected?: string; over?: string }) =>
    ({ type: 'write', id, value: 'A', expected: undefined, ...on }) as const;
  const first = step(init, bare(write('1', {}), { revision: 'r1' }));
  expect(first).toEqual({ state: { by: '1', value: 'A', revision: 'r1' }, ok: true });
  expect(step(first.state, bare(write('2', {}), 'conflict')).ok).toBe(true);
  expect(step(first.state, bare(write('2', {}), { revision: 'r2' })).ok).toBe(false);
  expect(step(first.state, bare(write('2', { expected: 'r1' }), 'conflict')).ok).toBe(false);
  // Equal revisions do not make it that write.
  expect(step(first.state, bare(write('2', { expected: 'r1', over: '0' }), { revision: 'r2' })).ok).toBe(false);
  const lost = step(first.state, { ...span, outcome: 'unknown', input: write('2', { expected: 'r1', over: '1' }) });
  expect(lost.state).toEqual({ by: '2', value: 'A', revision: null });
  expect(step(lost.state, bare({ type: 'read' }, { value: 'B', revision: 'r2' })).ok).toBe(false);
  const seen = step(lost.state, bare({ type: 'read' }, { value: 'A', revision: 'r2' }));
  expect(seen).toEqual({ state: { by: '2', value: 'A', revision: 'r2' }, ok: true });
  expect(step(seen.state, bare({ type: 'read' }, { value: 'A', revision: 'r1' })).ok).toBe(false);
  expect(step(seen.state, bare({ type: 'read' }, null)).ok).toBe(false);
  expect(
    [bare({ type: 'read' }, null), bare(write('3', {}), 'conflict'), bare(write('3', {}), { revision: 'r' })].map(
      (one) => bareModel.onlyLooks?.(one),
    ),
  ).toEqual([true, true, false]);
});
