import { isTrue } from '@chunks/base/testing';
import { isStateError } from '../errors.ts';
import type { State } from '../types.ts';
import { checkVersionOrder, type UpdateEnd } from './check-version-order.ts';
import {
  type BareInput,
  type BareOutput,
  bareModel,
  type RecordInput,
  type RecordOutput,
  recordModel,
} from './history-models.ts';
import { HistoryRecorder, type Judgement } from './history-recorder.ts';
import type { HistoryTrial } from './history-trial.ts';
import { type CounterInput, counterModel } from './models.ts';

const AT_ONCE = 3;
const UPDATES = { maxAttempts: 10, timeoutMs: 60_000 } as const;
// What a store that fails may do to an update. Whatever else comes is no outcome, but a bug.
const FAILED = ['UPDATE_CONFLICT', 'UPDATE_TIMEOUT', 'STORE_UNAVAILABLE'];

function judge(error: unknown): Judgement {
  if (isStateError(error) && error.code === 'UPDATE_AMBIGUOUS') return 'unknown';
  if (isStateError(error) && FAILED.includes(error.code)) return 'failed';
  throw error;
}

const look = (error: unknown): Judgement => {
  judge(error);
  return 'ignored';
};

/** Puts, gets and deletions of two keys; each client does one after the other, so that each has a commit of its own. */
export async function registerHistory(trial: HistoryTrial): Promise<void> {
  const recorder = new HistoryRecorder<RecordInput, RecordOutput>();
  await trial.run(async (client) => {
    const state = await trial.state<Register>(() => ({ value: null }));
    const process = `client ${client}`;
    const seen = new Map<string, number>();
    return async (step) => {
      const key = trial.pick(['a', 'b']);
      const draw = trial.random();
      if (draw < 0.3) {
        const { output } = await recorder.record({ key, process, input: { type: 'get' } }, () => get(state, key), look);
        if (output !== undefined) seen.set(key, versionIn(output));
      } else if (draw < 0.4) {
        await recorder.record({ key, process, input: { type: 'delete' } }, () => state.delete(key), judge);
      } else {
        const input = {
          type: 'put',
          value: `${client}.${step}`,
          ifVersion: draw < 0.7 ? seen.get(key) : undefined,
        } as const;
        const { output } = await recorder.record({ key, process, input }, () => put(state, key, input), judge);
        if (output !== undefined) seen.set(key, versionIn(output));
      }
    };
  });
  recorder.check(recordModel);
}

interface Register {
  value: string | null;
}

const versionIn = (output: RecordOutput): number =>
  typeof output === 'object' && output !== null && 'version' in output ? output.version : 0;

async function get(state: State<Register>, key: string): Promise<RecordOutput> {
  const found = await state.get(key);
  return found ? { version: found.version, value: found.state.value } : null;
}

async function put(state: State<Register>, key: string, input: { value: string; ifVersion: number | undefined }) {
  const updater = (draft: Register): string | null => {
    const before = draft.value;
    draft.value = input.value;
    return before;
  };
  try {
    const { version, result } = await state.update(key, updater, { ...UPDATES, ifVersion: input.ifVersion });
    return { version, before: result };
  } catch (error) {
    // That `ifVersion` did not hold is an answer.
    if (isStateError(error) && error.code === 'UPDATE_CONFLICT' && !error.retryable) return 'conflict' as const;
    throw error;
  }
}

/** Additions and looks, three at once on each client, so that they share commits; in the end the log is read. */
export async function counterHistory(trial: HistoryTrial): Promise<void> {
  const recorder = new HistoryRecorder<CounterInput, number | undefined>();
  const ends: UpdateEnd[] = [];
  const key = 'counter';
  const initial = () => ({ count: 0, log: [] as string[] });
  await trial.run(async (client) => {
    const state = await trial.state(initial);
    const process = `client ${client}`;
    const add = async (name: string): Promise<void> => {
      let [version, index] = [0, 0];
      const update = async (): Promise<number> => {
        const updated = await state.update(
          key,
          (draft) => {
            draft.log.push(name);
            return ++draft.count;
          },
          UPDATES,
        );
        ({ version, index } = updated);
        return updated.result;
      };
      const told = { key, process, input: { type: 'add', by: 1 } } as const;
      const { outcome, start, end } = await recorder.record(told, update, judge);
      if (outcome === 'done') ends.push({ name, process, start, end, outcome, version, index });
      else if (outcome !== 'ignored') ends.push({ name, process, start, end, outcome });
    };
    const see = async (name: string): Promise<void> => {
      let version = 0;
      const read = async (): Promise<number> => {
        const found = await state.get(key);
        version = found?.version ?? 0;
        return found?.state.count ?? 0;
      };
      const { outcome, start, end } = await recorder.record({ key, process, input: { type: 'read' } }, read, look);
      if (outcome === 'done') ends.push({ name, process, start, end, outcome, version, index: -1 });
    };
    return async (step) => {
      if (step % AT_ONCE > 0) return;
      const names = Array.from({ length: AT_ONCE }, (_, i) => `${client}.${step + i}`);
      await Promise.all(names.map((name) => (trial.random() < 0.3 ? see : add)(name)));
    };
  });
  recorder.check(counterModel());
  const last = await (await trial.state(initial)).get(key);
  const wrong = checkVersionOrder(ends, { version: last?.version, log: last?.state.log ?? [] });
  isTrue(wrong.length === 0, wrong.join('\n'));
}

/** Reads and conditional writes of few values, on revisions new and old: what `createState` rests on, without it. */
export async function bareHistory(trial: HistoryTrial): Promise<void> {
  const recorder = new HistoryRecorder<BareInput, BareOutput>();
  const key = 'bare';
  await trial.run(async (client) => {
    const store = await trial.open();
    const process = `client ${client}`;
    const own: { expected: string; over: string }[] = [];
    let last: string | undefined;
    const read = async (signal: AbortSignal): Promise<BareOutput> => {
      const found = await store.read(key, { signal });
      return found ? { value: found.value, revision: found.revision } : null;
    };
    return async (step) => {
      const draw = trial.random();
      if (draw < 0.35) {
        const { output } = await recorder.record(
          { key, process, input: { type: 'read' } },
          () => inTime(trial, read),
          lookBare,
        );
        if (output !== undefined) last = output === null || output === 'conflict' ? undefined : output.revision;
        return;
      }
      const on = draw < 0.6 || own.length === 0 ? { expected: last } : trial.pick(own.slice(-3));
      const input = { type: 'write', id: `${client}.${step}`, value: trial.pick(['"A"', '"B"']), ...on } as const;
      const write = async (signal: AbortSignal): Promise<BareOutput> => {
        const reply = await store.write(key, input.value, input.expected, { signal });
        if ('revision' in reply) return { revision: reply.revision };
        if (trial.mayResend) throw new Error('a conflict, perhaps with itself');
        return 'conflict';
      };
      const { output } = await recorder.record({ key, process, input }, () => inTime(trial, write), judgeBare);
      if (output === undefined || output === null || output === 'conflict') return;
      last = output.revision;
      own.push({ expected: output.revision, over: input.id });
    };
  });
  recorder.check(bareModel);
}

const judgeBare = (error: unknown): Judgement =>
  (error as { definite?: unknown } | undefined)?.definite === true ? 'failed' : 'unknown';
const lookBare = (): Judgement => 'ignored';

/** Gives up a call that does not settle. */
async function inTime<R>(
  { clock, attemptTimeoutMs }: HistoryTrial,
  call: (signal: AbortSignal) => Promise<R>,
): Promise<R> {
  const controller = new AbortController();
  let cancel = (): void => undefined;
  const late = new Promise<never>((_, reject) => {
    cancel = clock.after(attemptTimeoutMs, () => {
      const error = new Error(`no answer within ${attemptTimeoutMs} ms`);
      reject(error);
      controller.abort(error);
    });
  });
  try {
    return await Promise.race([call(controller.signal), late]);
  } finally {
    cancel();
  }
}
