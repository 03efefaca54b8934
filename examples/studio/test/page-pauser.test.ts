import { expect, test } from 'vitest';
import { Pauser } from '../page/upload/pauser.ts';

const HOUR_MS = 3_600_000;
const never: AbortSignal = new AbortController().signal;

test('a wake ends every wait, and is not kept for later ones', async () => {
  const pauser = new Pauser();
  const ended: number[] = [];
  const waits = [1, 2].map((name) => pauser.wait(HOUR_MS, never).then(() => ended.push(name)));
  pauser.wake();
  await Promise.all(waits);
  expect(ended).toEqual([1, 2]);
  let woken = false;
  const abort = new AbortController();
  const later = pauser.wait(HOUR_MS, abort.signal).then(
    () => (woken = true),
    () => {},
  );
  abort.abort();
  await later;
  expect(woken).toBe(false);
});

test('an abort rejects with its own reason, at once or before it begins', async () => {
  const pauser = new Pauser();
  const abort = new AbortController();
  const waiting = pauser.wait(HOUR_MS, abort.signal);
  abort.abort(new Error('paused'));
  await expect(waiting).rejects.toThrow('paused');
  await expect(pauser.wait(HOUR_MS, abort.signal)).rejects.toThrow('paused');
});

test('without news it is over when its time is', async () => {
  await expect(new Pauser().wait(1, never)).resolves.toBeUndefined();
});
