import { type CounterInput, counterModel, type RegisterInput, registerModel } from '@chunks/state/testing';
import { expect, test } from 'vitest';

const span = { start: 0, end: 1 };

test('a register reads, writes and compares by JSON', () => {
  const { init, step, onlyLooks } = registerModel<{ a: number } | undefined>(undefined);
  const done = (input: RegisterInput<{ a: number } | undefined>, output: { a: number } | boolean | undefined) =>
    ({ ...span, outcome: 'done', input, output }) as never;
  const swap = { type: 'compare-and-set', expected: { a: 1 }, value: { a: 2 } } as const;
  expect(step(init, done({ type: 'read' }, undefined))).toEqual({ state: undefined, ok: true });
  expect(step(init, done({ type: 'read' }, { a: 1 })).ok).toBe(false);
  expect(step(init, done({ type: 'write', value: { a: 1 } }, undefined))).toEqual({ state: { a: 1 }, ok: true });
  expect(step({ a: 1 }, done(swap, true))).toEqual({ state: { a: 2 }, ok: true });
  expect(step({ a: 1 }, done(swap, false)).ok).toBe(false);
  expect(step({ a: 3 }, done(swap, false))).toEqual({ state: { a: 3 }, ok: true });
  const unknown = { ...span, outcome: 'unknown', input: swap } as const;
  expect(step({ a: 3 }, unknown)).toEqual({ state: { a: 3 }, ok: true });
  expect(
    [unknown, done(swap, true), done(swap, false), done({ type: 'read' }, undefined)].map((one) => onlyLooks?.(one)),
  ).toEqual([false, false, true, true]);
});

test('a counter adds, tells, and never goes down', () => {
  const { init, step, isTooLate } = counterModel(5);
  const done = (input: CounterInput, output: number | undefined) =>
    ({ ...span, outcome: 'done', input, output }) as const;
  const add = { type: 'add', by: 2 } as const;
  expect(step(init, done(add, 7))).toEqual({ state: 7, ok: true });
  expect(step(init, done(add, undefined))).toEqual({ state: 7, ok: true });
  expect(step(init, done(add, 5)).ok).toBe(false);
  expect(step(init, done({ type: 'read' }, 5))).toEqual({ state: 5, ok: true });
  expect(step(init, done({ type: 'read' }, undefined)).ok).toBe(false);
  expect(
    [done(add, 7), done(add, 6), done(add, undefined), done({ type: 'read' }, 4)].map((one) => isTooLate?.(5, one)),
  ).toEqual([false, true, false, true]);
  expect(() => step(init, done({ type: 'add', by: -1 }, 4))).toThrow('by must be a number ≥ 0, but is -1');
});
