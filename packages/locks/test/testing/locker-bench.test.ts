import { KeyedMutex } from '@chunks/locks';
import { VirtualClock } from '@chunks/locks/testing';
import { describe, expect, test } from 'vitest';
import { codeOf, LockerTrial } from '../../src/testing/locker-bench.ts';

const trialOf = (): LockerTrial => {
  const clock = new VirtualClock();
  return new LockerTrial({ open: (options) => new KeyedMutex({ ...options, clock }), pass: (ms) => clock.advance(ms) });
};

describe('the words of the cases', () => {
  test('a case that held must leave nobody behind', async () => {
    const [clean, holding, waiting] = [trialOf(), trialOf(), trialOf()];
    (await (await clean.open()).acquire('key')).release();
    await clean.end(true);
    await (await holding.open()).acquire('key');
    await expect(holding.end(true)).rejects.toThrow('what the case leaves behind');
    const locker = await waiting.open();
    const { signal } = await locker.acquire('key', { leaseMs: 1 });
    void locker.acquire('key', { leaseMs: 1 });
    await expect(waiting.end(true)).rejects.toThrow('got {"activeLocks":1,"waiting":1}');
    expect(signal.aborted).toBe(false);
  });

  test('a case that failed is cleared away without a word, whatever it left', async () => {
    const trial = trialOf();
    const locker = await trial.open();
    await locker.acquire('key');
    void locker.acquire('key');
    void trial.code(locker.acquire('key'), 'a waiter');
    await trial.end(false);
  });

  test('settled lets time pass until a promise has an end, and not for ever', async () => {
    const trial = trialOf();
    const locker = await trial.open();
    await trial.take(locker, 'key');
    expect(await trial.code(locker.acquire('key', { timeoutMs: 500 }), 'a waiter')).toBe('LOCK_TIMEOUT');
    await expect(trial.settled(new Promise(() => undefined), 'it')).rejects.toThrow('it must settle');
    await trial.end(false);
  });

  test('codeOf gives the code, or the name of what has none', () => {
    expect([codeOf({ code: 'LOCK_LOST', name: 'Error' }), codeOf(new RangeError())]).toEqual([
      'LOCK_LOST',
      'RangeError',
    ]);
  });
});
