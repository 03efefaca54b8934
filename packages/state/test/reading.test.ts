import { exponentialBackoff } from '@chunks/base';
import { countListeners, VirtualClock } from '@chunks/base/testing';
import { CorruptRecordError } from '@chunks/state';
import { expect, test } from 'vitest';
import { Patience, persist, untilAbort } from '../src/reading.ts';
import { drive } from './support/stores.ts';

const make = () => {
  const clock = new VirtualClock();
  return {
    clock,
    waits: { clock, random: () => 0.5, backoff: exponentialBackoff({ baseMs: 2, maxMs: 200, jitter: 'full' }) },
  };
};
const failing = (times: number) => {
  let asked = 0;
  return async () => {
    if (asked++ < times) throw new Error(`failure ${asked}`);
    return asked;
  };
};

test('persist asks until there is an answer, twenty times at most', async () => {
  const { clock, waits } = make();
  const ask = (times: number) => persist({ key: 'k', waits, signal: undefined, ask: failing(times) });
  expect(await drive(clock, ask(19))).toBe(20);
  expect(
    await drive(
      clock,
      ask(20).catch((error) => error),
    ),
  ).toMatchObject({
    code: 'STORE_UNAVAILABLE',
    key: 'k',
    attempts: 20,
    cause: { message: 'failure 20' },
  });
});

test('not again for what the record is to blame for; an abort ends the wait', async () => {
  const { clock, waits } = make();
  const corrupt = new CorruptRecordError({ key: 'k' });
  const broken = persist({ key: 'k', waits, signal: undefined, ask: () => Promise.reject(corrupt) });
  await expect(broken).rejects.toBe(corrupt);
  const controller = new AbortController();
  const waiting = persist({ key: 'k', waits, signal: controller.signal, ask: failing(9) });
  const reason = new Error('gone');
  const ended = expect(waiting).rejects.toBe(reason);
  await clock.advance(0);
  controller.abort(reason);
  await ended;
  expect(clock.pending).toBe(0);
});

test('patience ends after 30 s too, and once renewed they begin with the next failure', async () => {
  const { clock, waits } = make();
  const patience = new Patience('k', waits);
  const fail = () => patience.bear(new Error('late'), undefined);
  await clock.advance(29_999);
  await drive(clock, fail());
  patience.renew();
  // All is well for an hour.
  await clock.advance(3_600_000);
  await drive(clock, fail());
  await clock.advance(29_000);
  await drive(clock, fail());
  await clock.advance(1_000);
  await expect(fail()).rejects.toMatchObject({ attempts: 3 });
});

test('untilAbort leaves nothing on the signal', async () => {
  const controller = new AbortController();
  const listeners = countListeners(controller.signal);
  expect(await untilAbort(controller.signal, Promise.resolve(1))).toBe(1);
  await expect(untilAbort(controller.signal, Promise.reject(new Error('no')))).rejects.toThrow('no');
  await Promise.resolve();
  expect(listeners()).toBe(0);
  const reason = new Error('gone');
  const never = untilAbort(controller.signal, new Promise(() => undefined));
  controller.abort(reason);
  await expect(never).rejects.toBe(reason);
  expect(await untilAbort(undefined, Promise.resolve(2))).toBe(2);
});
