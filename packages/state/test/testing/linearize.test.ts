import { seededRandom } from '@chunks/base/testing';
import {
  type CounterInput,
  counterModel,
  type HistoryOperation,
  type RegisterInput,
  registerModel,
  type SequentialModel,
} from '@chunks/state/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../../.ci/testing/runs.ts';
import { Linearizer } from '../../src/testing/linearize.ts';
import { isLinearizableByForce, simulated } from './simulated-history.ts';

type Register = RegisterInput<number>;

/** Small times and few values, so that much is concurrent, equal and wrong. */
const operationsOf = <I, O>(input: fc.Arbitrary<I>, output: (input: I) => fc.Arbitrary<O>, unknown = 1) => {
  const operation = input.chain((one) =>
    fc.record({
      input: fc.constant(one),
      output: output(one),
      start: fc.nat({ max: 8 }),
      lasts: fc.nat({ max: 6 }),
      outcome: fc.oneof(
        { weight: 3, arbitrary: fc.constant('done' as const) },
        { weight: unknown, arbitrary: fc.constant('unknown' as const) },
      ),
    }),
  );
  return fc.array(
    operation.map(({ lasts, ...rest }): HistoryOperation<I, O> => ({ ...rest, end: rest.start + lasts })),
    { maxLength: 7 },
  );
};

const value = fc.nat({ max: 2 });
const registerHistories = (unknown?: number) =>
  operationsOf<Register, number | boolean | undefined>(
    fc.oneof(
      fc.constant({ type: 'read' as const }),
      fc.record({ type: fc.constant('write' as const), value }),
      fc.record({ type: fc.constant('compare-and-set' as const), expected: value, value }),
    ),
    ({ type }) => (type === 'read' ? value : type === 'write' ? fc.constant(undefined) : fc.boolean()),
    unknown,
  );
const counterHistories = operationsOf<CounterInput, number | undefined>(
  fc.oneof(
    fc.constant({ type: 'read' as const }),
    fc.record({ type: fc.constant('add' as const), by: fc.nat({ max: 2 }) }),
  ),
  ({ type }) => (type === 'read' ? fc.nat({ max: 4 }) : fc.option(fc.nat({ max: 4 }), { nil: undefined })),
);

describe('against a search of every order', () => {
  const agree = <S, I, O>(model: SequentialModel<S, I, O>, histories: fc.Arbitrary<HistoryOperation<I, O>[]>): void => {
    const seen = { fits: 0, fails: 0 };
    fc.assert(
      fc.property(histories, (history) => {
        const isFine = isLinearizableByForce(history, model);
        seen[isFine ? 'fits' : 'fails']++;
        const found = new Linearizer(model, history, 100_000).run();
        expect(found !== undefined).toBe(isFine);
        if (found) checkOrder(model, history, found);
      }),
      { numRuns: runs(4_000) },
    );
    // Both must be met, or nothing is shown.
    expect(Math.min(seen.fits, seen.fails)).toBeGreaterThan(runs(4_000) / 20);
  };

  test('a register: the same verdict, and an order that fits', () => agree(registerModel(0), registerHistories()));
  test('a register of which little is heard', () => agree(registerModel(0), registerHistories(4)));
  test('a counter: the same verdict, and an order that fits', () => agree(counterModel(), counterHistories));
  test('a model that tells nothing of what only looks', () => {
    const { init, step } = registerModel(0);
    agree({ init, step }, registerHistories());
  });
});

/** The order holds every known operation once, keeps real time, and is what the model says. */
function checkOrder<S, I, O>(
  model: SequentialModel<S, I, O>,
  history: readonly HistoryOperation<I, O>[],
  { order, state }: { order: readonly HistoryOperation<I, O>[]; state: S },
): void {
  expect(new Set(order).size).toBe(order.length);
  expect(history.filter((one) => one.outcome === 'done' && !order.includes(one))).toEqual([]);
  let now = model.init;
  let latestStart = Number.NEGATIVE_INFINITY;
  for (const one of order) {
    if (one.outcome === 'done') expect(one.end).toBeGreaterThanOrEqual(latestStart);
    latestStart = Math.max(latestStart, one.start);
    const step = model.step(now, one);
    expect(step.ok).toBe(true);
    now = step.state;
  }
  expect(state).toEqual(now);
}

describe('thousands of operations, twenty at once, dozens that heard nothing', () => {
  const big = { operations: 2_000, processes: 20, unknown: 0.025 };

  test.each([1, 2, 3])('a register, seed %i', (seed) => {
    const random = seededRandom(seed);
    const model = registerModel(0);
    const one = (i: number): Register => {
      const draw = random();
      if (draw < 0.5) return { type: 'read' };
      if (draw < 0.8) return { type: 'write', value: i + 1 };
      return { type: 'compare-and-set', expected: Math.floor(random() * i), value: i + 1 };
    };
    const history = simulated(model, { ...big, random, input: one }, (input, before) => {
      if (input.type === 'read') return before;
      return input.type === 'write' ? undefined : before === input.expected;
    });
    expect(history.filter(({ outcome }) => outcome === 'unknown').length).toBeGreaterThan(24);
    const found = new Linearizer(model, history, 2_000_000).run();
    if (found === undefined) throw new Error('not found');
    checkOrder(model, history, found);
  });

  test.each([1, 2, 3])('a counter, seed %i', (seed) => {
    const random = seededRandom(seed);
    const model = counterModel();
    const input = (): CounterInput => (random() < 0.3 ? { type: 'read' } : { type: 'add', by: 1 });
    const history = simulated(model, { ...big, random, input }, (_, __, after) => after);
    const found = new Linearizer(model, history, 2_000_000).run();
    if (found === undefined) throw new Error('not found');
    checkOrder(model, history, found);
  });
});

test('gives up when it was given too few steps', () => {
  const history: HistoryOperation<CounterInput, number | undefined>[] = Array.from({ length: 12 }, (_, i) => ({
    input: { type: 'add', by: 2 ** i },
    outcome: 'done',
    output: undefined,
    start: 0,
    end: 1,
  }));
  const wrong = { input: { type: 'read' }, outcome: 'done', output: -1, start: 2, end: 3 } as const;
  const model = counterModel();
  expect(new Linearizer(model, [...history, wrong], 5_000).run()).toBeUndefined();
  expect(() => new Linearizer(model, [...history, wrong], 4_000).run()).toThrow('maxSteps is too low');
});
