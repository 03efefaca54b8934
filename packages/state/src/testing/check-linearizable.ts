import { checkInteger } from '@chunks/base';
import { type HistoryOperation, Linearizer, type SequentialModel } from './linearize.ts';

/** What became of a check: an order that fits for each key, or the shortest beginning of a history that has none. */
export type Linearizability<I, O> =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly key: string;
      /** What had ended before the culprit, and what of the rest had to be applied for it, in an order that fits. */
      readonly linearized: readonly HistoryOperation<I, O>[];
      /** The first, by its end, for which there is no place left. */
      readonly culprit: HistoryOperation<I, O>;
      /** All of this in words. */
      readonly explanation: string;
    };

// So many operations before the culprit are told in words.
const TOLD = 12;

/**
 * Whether each operation of a history can have happened at one moment between its start and its end, one after the
 * other, as the model says. Those that failed never did; those whose outcome is unknown may have at any time after their
 * start, or never. Thousands of operations of dozens of processes take a moment, as long as what they change can be told
 * from their outputs.
 *
 * @param o maxSteps: how much is tried for one key before it gives up @default 2_000_000
 * @throws RangeError when maxSteps was not enough, or an operation ends before it starts
 * @example
 * const history = [
 *   { input: { type: 'write', value: 'a' }, outcome: 'done', output: undefined, start: 1, end: 2 },
 *   { input: { type: 'read' }, outcome: 'done', output: 'b', start: 3, end: 4 },
 * ] as const;
 * const found = checkLinearizable(history, registerModel('initial'));
 * if (!found.ok) throw new Error(found.explanation);
 */
export function checkLinearizable<S, I, O>(
  history: readonly HistoryOperation<I, O>[],
  model: SequentialModel<S, I, O>,
  o: { maxSteps?: number | undefined } = {},
): Linearizability<I, O> {
  const maxSteps = checkInteger('maxSteps', o.maxSteps ?? 2_000_000, 1);
  for (const { start, end } of history) {
    if (!(start <= (end ?? start))) throw new RangeError(`an operation starts at ${start} and ends at ${end}`);
  }
  const byKey = new Map<string, HistoryOperation<I, O>[]>();
  for (const operation of history) {
    const { key = '', outcome } = operation;
    if (outcome === 'failed') continue;
    if (!byKey.has(key)) byKey.set(key, []);
    byKey.get(key)?.push(operation);
  }
  for (const [key, operations] of byKey) {
    const search = (some: readonly HistoryOperation<I, O>[]) => new Linearizer(model, some, maxSteps).run();
    if (search(operations) === undefined) return explain(key, operations, search);
  }
  return { ok: true };
}

type Search<S, I, O> = (
  operations: readonly HistoryOperation<I, O>[],
) => { order: HistoryOperation<I, O>[]; state: S } | undefined;

/** Finds the first end after which nothing fits any more: of what fits every beginning fits. */
function explain<S, I, O>(
  key: string,
  operations: readonly HistoryOperation<I, O>[],
  search: Search<S, I, O>,
): Linearizability<I, O> {
  const ends = operations.flatMap((one) => (one.outcome === 'done' ? [one] : [])).sort((a, b) => a.end - b.end);
  // With the first `fits` ends it fits, with the first `fails` it does not.
  let [fits, fails] = [0, ends.length];
  while (fails - fits > 1) {
    const middle = Math.floor((fits + fails) / 2);
    if (search(beginning(operations, ends, middle)) === undefined) fails = middle;
    else fits = middle;
  }
  const culprit = ends[fails - 1] as HistoryOperation<I, O>;
  const found = search(beginning(operations, ends, fits));
  const linearized = found?.order ?? [];
  const told = linearized.slice(-TOLD).map((one) => `  ${tell(one)}`);
  const explanation = [
    `key ${JSON.stringify(key)}: there is no moment at which this can have happened:`,
    `  ${tell(culprit)}`,
    `what had ended before it fits, in this order${linearized.length > TOLD ? ` (the last ${TOLD} of ${linearized.length})` : ''}:`,
    ...told,
    `and leaves ${JSON.stringify(found?.state)}`,
  ].join('\n');
  return { ok: false, key, linearized, culprit, explanation };
}

/** The history up to the n-th end: what was under way then may or may not have happened. */
function beginning<I, O>(
  operations: readonly HistoryOperation<I, O>[],
  ends: readonly (HistoryOperation<I, O> & { readonly end: number })[],
  n: number,
): HistoryOperation<I, O>[] {
  const known = new Set<HistoryOperation<I, O>>(ends.slice(0, n));
  const until = ends[n - 1]?.end ?? Number.NEGATIVE_INFINITY;
  return operations
    .filter(({ start }) => start <= until)
    .map((one) => (known.has(one) ? one : { ...one, outcome: 'unknown' as const }));
}

function tell<I, O>(operation: HistoryOperation<I, O>): string {
  const { process, input, start, end, outcome } = operation;
  const heard = outcome === 'done' ? JSON.stringify(operation.output) : 'unknown outcome';
  const who = process === undefined ? '' : `${process}: `;
  return `${who}${JSON.stringify(input)} → ${heard}, from ${start} to ${end ?? '?'}`;
}
