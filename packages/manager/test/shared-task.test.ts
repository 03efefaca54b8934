import { deferred } from '@chunks/base';
import { settle } from '@chunks/base/testing';
import { expect, test } from 'vitest';
import { SharedTask } from '../src/shared-task.ts';
import { outcomeOf } from './support/origin.ts';

const setUp = () => {
  const work = deferred<string>();
  let signal: AbortSignal | undefined;
  const task = new SharedTask<string>((own) => {
    signal = own;
    return work.promise;
  });
  return { isStopped: () => signal?.aborted, task, work };
};

test('everybody who joins gets the one result', async () => {
  const { task, work } = setUp();
  const joined = [task.join(undefined), task.join(new AbortController().signal)];
  work.resolve('done');
  expect(await Promise.all(joined)).toEqual(['done', 'done']);
});

test('who leaves gets the reason of their own; the work stops with the last', async () => {
  const { isStopped, task } = setUp();
  const signals = [new AbortController(), new AbortController()];
  const outcomes = signals.map(({ signal }) => outcomeOf(task.join(signal)));
  signals[0]?.abort('first');
  await settle();
  expect([outcomes[0]?.error, outcomes[1]?.state, isStopped()]).toEqual(['first', 'pending', false]);
  signals[1]?.abort('second');
  await settle();
  expect([outcomes[1]?.error, isStopped(), task.isAborted]).toEqual(['second', true, true]);
});

test('one who cannot leave keeps it going, and a failure nobody waits for is no unhandled rejection', async () => {
  const { isStopped, task, work } = setUp();
  const leaving = new AbortController();
  const gone = outcomeOf(task.join(leaving.signal));
  const stays = outcomeOf(task.join(undefined));
  leaving.abort('left');
  work.reject('failed');
  await settle();
  expect([gone.error, stays.error, isStopped()]).toEqual(['left', 'failed', false]);
  await task.over;
});
