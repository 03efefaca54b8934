import type { HistoryOperation, SequentialModel } from '@chunks/state/testing';

export interface Simulation<I> {
  readonly operations: number;
  readonly processes: number;
  /** The share of operations that hear nothing. */
  readonly unknown: number;
  readonly random: () => number;
  input(i: number): I;
}

/**
 * A history that is linearizable by construction: each operation has its moment, at which a model did it.
 * @param output what is heard, from the state before and after that moment
 */
export function simulated<S, I, O>(
  model: SequentialModel<S, I, O>,
  { operations, processes, unknown, random, input }: Simulation<I>,
  output: (input: I, before: S, after: S) => O,
): HistoryOperation<I, O>[] {
  const freeAt = Array.from({ length: processes }, () => random());
  const plans = Array.from({ length: operations }, (_, i) => {
    const who = i % processes;
    const start = freeAt[who] as number;
    const isUnknown = random() < unknown;
    const isNever = isUnknown && random() < 0.3;
    // One that was given up may still happen later, or never.
    const moment = isNever ? Number.POSITIVE_INFINITY : start + random() * (isUnknown ? 5 : 1);
    const end = (isUnknown ? start : moment) + random();
    freeAt[who] = end + random() * 0.2;
    return { i, who, start, end, moment, isUnknown, input: input(i) };
  });
  let state = model.init;
  const history: HistoryOperation<I, O>[] = [];
  for (const plan of plans.toSorted((a, b) => a.moment - b.moment)) {
    const before = state;
    const told = { process: plan.who, input: plan.input, start: plan.start, end: plan.end };
    if (Number.isFinite(plan.moment)) state = model.step(before, { ...told, outcome: 'unknown' }).state;
    history[plan.i] = plan.isUnknown
      ? { ...told, outcome: 'unknown' }
      : { ...told, outcome: 'done', output: output(plan.input, before, state) };
  }
  return history;
}

/** Tries every order of every choice of unknown ones: slow, and too simple to be wrong. */
export function isLinearizableByForce<S, I, O>(
  history: readonly HistoryOperation<I, O>[],
  model: SequentialModel<S, I, O>,
): boolean {
  const search = (state: S, left: readonly HistoryOperation<I, O>[]): boolean => {
    if (left.every(({ outcome }) => outcome !== 'done')) return true;
    return left.some((next) => {
      if (left.some((other) => other.outcome === 'done' && other.end < next.start)) return false;
      const step = model.step(state, next);
      const rest = left.filter((other) => other !== next);
      return step.ok && search(step.state, rest);
    });
  };
  return search(
    model.init,
    history.filter(({ outcome }) => outcome !== 'failed'),
  );
}
