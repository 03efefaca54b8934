import { checkNumber } from '@chunks/base';
import type { HistoryOperation, SequentialModel } from './linearize.ts';

const isSame = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** What is asked of a register. A read's output is the value, a compare-and-set's whether it was done. */
export type RegisterInput<V> =
  | { readonly type: 'read' }
  | { readonly type: 'write'; readonly value: V }
  | { readonly type: 'compare-and-set'; readonly expected: V; readonly value: V };

/**
 * One value that is read, written, and written if it is the expected one. Values are the same if their JSON is.
 * @example
 * checkLinearizable(history, registerModel<string | undefined>(undefined));
 */
export function registerModel<V>(initial: V): SequentialModel<V, RegisterInput<V>, V | boolean | undefined> {
  return {
    init: initial,
    step(state, operation) {
      const { input } = operation;
      if (input.type === 'read') return { state, ok: fits(operation, state) };
      if (input.type === 'write') return { state: input.value, ok: true };
      const holds = isSame(state, input.expected);
      return { state: holds ? input.value : state, ok: fits(operation, holds) };
    },
    onlyLooks: (operation) =>
      operation.input.type === 'read' || (operation.outcome === 'done' && operation.output === false),
  };
}

/** What is asked of a counter. The output is the value; of an addition, which is of 0 or more, the one after it, or undefined if it was not told. */
export type CounterInput = { readonly type: 'read' } | { readonly type: 'add'; readonly by: number };

/**
 * A number that is read and added to.
 * @example
 * checkLinearizable(history, counterModel());
 */
export function counterModel(initial = 0): SequentialModel<number, CounterInput, number | undefined> {
  return {
    init: initial,
    step(state, operation) {
      const { input } = operation;
      const next = input.type === 'add' ? state + checkNumber('by', input.by, 0) : state;
      const isTold = operation.outcome !== 'done' || input.type === 'read' || operation.output !== undefined;
      return { state: next, ok: !isTold || fits(operation, next) };
    },
    onlyLooks: ({ input }) => input.type === 'read',
    // It never goes down.
    isTooLate: (state, operation) =>
      operation.outcome === 'done' &&
      operation.output !== undefined &&
      operation.output < (operation.input.type === 'add' ? state + operation.input.by : state),
  };
}

/** What was heard is what is said here; of who heard nothing anything is true. */
const fits = <I, O>(operation: HistoryOperation<I, O>, output: unknown): boolean =>
  operation.outcome !== 'done' || isSame(operation.output, output);
