import { deferred, onAbort } from '@chunks/base';
import { expect, test } from 'vitest';

test('calls back once when the signal aborts, at once when it already has', () => {
  const controller = new AbortController();
  let calls = 0;
  onAbort(controller.signal, () => void calls++);
  expect(calls).toBe(0);
  controller.abort();
  expect(calls).toBe(1);
  onAbort(controller.signal, () => void calls++);
  expect(calls).toBe(2);
});

test('taking it off leaves nothing on the signal', () => {
  const controller = new AbortController();
  const added: unknown[] = [];
  const removed: unknown[] = [];
  const { signal } = controller;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...all: Parameters<typeof add>) => {
    added.push(all[1]);
    add(...all);
  };
  signal.removeEventListener = (...all: Parameters<typeof remove>) => {
    removed.push(all[1]);
    remove(...all);
  };
  let calls = 0;
  onAbort(signal, () => void calls++)();
  controller.abort();
  expect(calls).toBe(0);
  expect(removed).toEqual(added);
  expect(added).toHaveLength(1);
});

test('no signal, no call, and taking it off is harmless', () => {
  onAbort(undefined, () => expect.unreachable())();
});

test('a deferred is settled from outside, by the first who does it', async () => {
  const kept = deferred<number>();
  kept.resolve(7);
  kept.reject(new Error('too late'));
  expect(await kept.promise).toBe(7);
  const broken = deferred<number>();
  const reason = new Error('no');
  broken.reject(reason);
  await expect(broken.promise).rejects.toBe(reason);
});
