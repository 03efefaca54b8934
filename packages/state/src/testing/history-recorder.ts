import { isTrue } from '@chunks/base/testing';
import { checkLinearizable } from './check-linearizable.ts';
import type { HistoryOperation, SequentialModel } from './linearize.ts';

/** What a failure says: not applied, perhaps applied, or nothing, as of an operation that only looks. */
export type Judgement = 'failed' | 'unknown' | 'ignored';

/** Writes down what clients of one process ask and hear. Time is a count of starts and ends. */
export class HistoryRecorder<I, O> {
  readonly history: HistoryOperation<I, O>[] = [];
  #now = 0;

  /** @returns what came, with the times; undefined for a failure */
  async record(
    told: { key: string; process: string; input: I },
    call: () => Promise<O>,
    judge: (error: unknown) => Judgement,
  ): Promise<{ output: O | undefined; outcome: Judgement | 'done'; start: number; end: number }> {
    const start = ++this.#now;
    try {
      const output = await call();
      const end = ++this.#now;
      this.history.push({ ...told, start, end, outcome: 'done', output });
      return { output, outcome: 'done', start, end };
    } catch (error) {
      const end = ++this.#now;
      const outcome = judge(error);
      if (outcome !== 'ignored') this.history.push({ ...told, start, end, outcome });
      return { output: undefined, outcome, start, end };
    }
  }

  /** @throws when no order explains it, or when too little came through to show anything */
  check<S>(model: SequentialModel<S, I, O>): void {
    const done = this.history.filter(({ outcome }) => outcome === 'done').length;
    isTrue(done > this.history.length / 4, `only ${done} of ${this.history.length} operations came through`);
    const found = checkLinearizable(this.history, model);
    isTrue(found.ok, found.ok ? '' : found.explanation);
  }
}
