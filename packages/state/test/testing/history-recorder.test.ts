import { deferred } from '@chunks/base';
import { type CounterInput, counterModel } from '@chunks/state/testing';
import { expect, test } from 'vitest';
import { HistoryRecorder } from '../../src/testing/history-recorder.ts';

const told = { key: 'key', process: 'client', input: { type: 'read' } } as const;
const fail = async (): Promise<number> => Promise.reject(new Error('gone'));

test('starts and ends are in the order in which they happened', async () => {
  const recorder = new HistoryRecorder<CounterInput, number | undefined>();
  const [slow, quick] = [deferred<number>(), deferred<number>()];
  const both = [slow, quick].map(({ promise }) =>
    recorder.record(
      told,
      () => promise,
      () => 'failed',
    ),
  );
  quick.resolve(2);
  await both[1];
  slow.resolve(1);
  expect(await both[0]).toEqual({ output: 1, outcome: 'done', start: 1, end: 4 });
  expect(recorder.history).toEqual([
    { ...told, start: 2, end: 3, outcome: 'done', output: 2 },
    { ...told, start: 1, end: 4, outcome: 'done', output: 1 },
  ]);
});

test('failures are what they are judged to be, and a judge may throw', async () => {
  const recorder = new HistoryRecorder<CounterInput, number | undefined>();
  for (const outcome of ['failed', 'unknown', 'ignored'] as const) {
    expect((await recorder.record(told, fail, () => outcome)).outcome).toBe(outcome);
  }
  expect(recorder.history.map(({ outcome }) => outcome)).toEqual(['failed', 'unknown']);
  const judge = (error: unknown): never => {
    throw error;
  };
  await expect(recorder.record(told, fail, judge)).rejects.toThrow('gone');
});

test('a check says what is wrong, also that nothing can be seen', async () => {
  const recorder = new HistoryRecorder<CounterInput, number | undefined>();
  const model = counterModel();
  await recorder.record(
    told,
    async () => 0,
    () => 'failed',
  );
  recorder.check(model);
  for (let i = 0; i < 3; i++) await recorder.record(told, fail, () => 'failed');
  expect(() => recorder.check(model)).toThrow('only 1 of 4 operations came through');
  await recorder.record(
    told,
    async () => 7,
    () => 'failed',
  );
  expect(() => recorder.check(model)).toThrow('client: {"type":"read"} → 7, from 9 to 10');
});
