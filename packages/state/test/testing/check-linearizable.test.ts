import { seededRandom } from '@chunks/base/testing';
import {
  type CounterInput,
  checkLinearizable,
  counterModel,
  type HistoryOperation,
  type RegisterInput,
  registerModel,
} from '@chunks/state/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../../.ci/testing/runs.ts';
import { isLinearizableByForce, simulated } from './simulated-history.ts';

type Register = HistoryOperation<RegisterInput<string>, string | boolean | undefined>;
type Counter = HistoryOperation<CounterInput, number | undefined>;

const span = (start: number, end: number) => ({ outcome: 'done', start, end }) as const;
const read = (output: string, start: number, end: number): Register => ({
  ...span(start, end),
  input: { type: 'read' },
  output,
});
const write = (value: string, start: number, end: number): Register => ({
  ...span(start, end),
  input: { type: 'write', value },
  output: undefined,
});
const swap = (expected: string, value: string, output: boolean, start: number, end: number): Register => ({
  ...span(start, end),
  input: { type: 'compare-and-set', expected, value },
  output,
});
const lost = ({ input, start, end }: Register): Register => ({ input, start, end, outcome: 'unknown' });

const check = (...history: Register[]) => checkLinearizable(history, registerModel('0'));

describe('a register', () => {
  test.each<[string, Register[]]>([
    ['nothing', []],
    ['reads while a write is under way see either', [write('a', 1, 9), read('0', 2, 3), read('a', 4, 5)]],
    ['an unknown write that never was', [lost(write('a', 1, 2)), read('0', 3, 4)]],
    ['an unknown write long after its end', [lost(write('a', 1, 2)), read('0', 3, 4), read('a', 5, 6)]],
    ['a failed write', [{ ...lost(write('a', 1, 2)), outcome: 'failed' }, read('0', 3, 4)]],
    ['a compare-and-set that lost', [write('a', 1, 2), swap('0', 'b', false, 3, 4), read('a', 5, 6)]],
    ['an end at the moment of a start', [write('a', 1, 2), read('0', 2, 3)]],
    [
      'each key by itself',
      [
        { ...write('a', 1, 2), key: 'one' },
        { ...read('0', 3, 4), key: 'two' },
      ],
    ],
  ])('%s is fine', (_, history) => {
    expect(check(...history)).toEqual({ ok: true });
  });

  test.each<[string, Register[], number]>([
    ['a stale read', [write('a', 1, 2), read('0', 3, 4)], 1],
    ['a read that goes back', [write('a', 1, 9), read('a', 2, 3), read('0', 4, 5)], 2],
    ['a lost update', [swap('0', 'a', true, 1, 4), swap('0', 'b', true, 2, 5)], 1],
    ['a value out of nowhere', [write('a', 1, 2), read('b', 1, 4)], 1],
    [
      'a failed write that was done',
      [{ ...lost(write('a', 1, 2)), outcome: 'failed' }, read('a', 3, 4), write('b', 5, 6)],
      1,
    ],
    ['an unknown write before its start', [read('a', 1, 2), lost(write('a', 3, 4))], 0],
    ['an unknown write done twice', [lost(write('a', 1, 2)), read('a', 3, 4), write('b', 5, 6), read('a', 7, 8)], 3],
    [
      // Told apart by who wrote it, for the values are equal.
      'a compare-and-set on a value that went and came back',
      [
        write('A by 1', 1, 2),
        swap('A by 1', 'B', true, 3, 4),
        swap('B', 'A by 2', true, 5, 6),
        swap('A by 1', 'C', true, 7, 8),
      ],
      3,
    ],
  ])('%s is found', (_, history, culprit) => {
    const found = check(...history);
    if (found.ok) throw new Error('not found');
    expect(found.culprit).toEqual(history[culprit]);
    expect(found.explanation).toContain(JSON.stringify(history[culprit]?.input));
    // What is said to fit, does.
    expect(isLinearizableByForce(found.linearized, registerModel('0'))).toBe(true);
  });
});

describe('a counter', () => {
  const add = (output: number | undefined, start: number, end: number): Counter => ({
    ...span(start, end),
    input: { type: 'add', by: 1 },
    output,
  });
  const get = (output: number, start: number, end: number): Counter => ({
    ...span(start, end),
    input: { type: 'read' },
    output,
  });
  const gone = ({ input, start, end }: Counter): Counter => ({ input, start, end, outcome: 'unknown' });
  const isFine = (...history: Counter[]): boolean => checkLinearizable(history, counterModel()).ok;

  test('what was lost, done twice or told twice is found', () => {
    expect(isFine(add(1, 1, 2), add(2, 1, 2), get(2, 3, 4))).toBe(true);
    expect(isFine(add(undefined, 1, 2), add(undefined, 1, 2), get(2, 3, 4))).toBe(true);
    expect(isFine(gone(add(1, 1, 2)), add(2, 3, 4), get(2, 5, 6))).toBe(true);
    expect(isFine(add(undefined, 1, 2), add(undefined, 1, 2), get(1, 3, 4)), 'lost').toBe(false);
    expect(isFine(add(1, 1, 2), add(1, 1, 2)), 'told twice').toBe(false);
    expect(isFine(gone(add(1, 1, 2)), get(2, 5, 6)), 'done twice').toBe(false);
    expect(isFine(gone(add(1, 1, 2)), get(1, 5, 6), get(0, 7, 8)), 'taken back').toBe(false);
  });
});

test('the explanation is short, and says who, what, when and what was there', () => {
  const history: Register[] = Array.from({ length: 30 }, (_, i) => ({
    ...write(`v${i}`, 2 * i, 2 * i + 1),
    process: i % 3,
  }));
  const found = check(...history, { ...read('v7', 60, 61), process: 'reader', key: '' }, write('later', 70, 71));
  if (found.ok) throw new Error('not found');
  expect(found.linearized.length).toBe(30);
  const lines = found.explanation.split('\n');
  expect(lines.length).toBe(16);
  expect(lines[1]).toBe('  reader: {"type":"read"} → "v7", from 60 to 61');
  expect(lines[2]).toBe('what had ended before it fits, in this order (the last 12 of 30):');
  expect(lines.at(-2)).toBe('  2: {"type":"write","value":"v29"} → undefined, from 58 to 59');
  expect(lines.at(-1)).toBe('and leaves "v29"');
});

test('the beginning that is blamed is the shortest: up to the end before it all is fine', () => {
  fc.assert(
    fc.property(fc.integer(), fc.nat(), fc.nat({ max: 3 }), (seed, at, off) => {
      const random = seededRandom(seed);
      const input = (): CounterInput => (random() < 0.4 ? { type: 'read' } : { type: 'add', by: 1 });
      const o = { operations: 60, processes: 5, unknown: 0.1, random, input };
      const history = simulated(counterModel(), o, (_, __, after) => after);
      const place = at % history.length;
      const wrong = history.map(
        (one, i): Counter =>
          i === place && one.outcome === 'done' ? { ...one, output: (one.output ?? 0) - off } : one,
      );
      const found = checkLinearizable(wrong, counterModel());
      if (found.ok) return;
      const ends = found.culprit.end ?? Number.POSITIVE_INFINITY;
      const before = wrong.flatMap((one): Counter[] => {
        if (one.start > ends) return [];
        return [one.outcome === 'done' && one.end < ends ? one : gone(one)];
      });
      expect(checkLinearizable(before, counterModel()).ok).toBe(true);
      expect(checkLinearizable(before.with(culpritAt(before, found.culprit), found.culprit), counterModel()).ok).toBe(
        false,
      );
    }),
    { numRuns: runs(100) },
  );
});

const gone = ({ input, start, end }: Counter): Counter => ({ input, start, end, outcome: 'unknown' });

const culpritAt = (history: readonly Counter[], { start, end }: Counter): number =>
  history.findIndex((one) => one.start === start && one.end === end);

test('bad input is refused', () => {
  expect(() => check(write('a', 2, 1))).toThrow('an operation starts at 2 and ends at 1');
  expect(() => check(write('a', Number.NaN, 1))).toThrow('starts at NaN');
  expect(() => checkLinearizable([], counterModel(), { maxSteps: 0 })).toThrow('maxSteps must be an integer ≥ 1');
});
