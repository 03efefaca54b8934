import { describe, expect, test } from 'vitest';
import { LeaseTrial, lives, queue, refused, take } from '../../src/testing/lease-bench.ts';
import { all } from './flaws.ts';
import { referenceBench } from './reference-leases.ts';

describe('the words of the cases', () => {
  test('take and queue insist on their answer; refused leaves the line again', async () => {
    const driver = await referenceBench(all)().open();
    await take(driver, 'key', 'a');
    await expect(take(driver, 'key', 'b')).rejects.toThrow('b must be given the free key "key"');
    await expect(queue(driver, 'key', 'a')).rejects.toThrow('a must find "key" busy');
    await driver.release('key', 'b', 0);
    expect(await refused(driver, 'key', 'c')).toMatchObject({ holder: 'a', queued: true });
    expect(await driver.renew('key', 'a', await take(driver, 'key', 'a'), 1)).toBe(true);
  });

  test('a contended lease is alive', () => {
    expect([true, { contended: true } as const, false].map(lives)).toEqual([true, true, false]);
  });

  test('until lets time pass until it is so, and not for ever', async () => {
    const bench = referenceBench(all)();
    const trial = new LeaseTrial(bench);
    const fromMs = await bench.now();
    const passed = async (): Promise<number> => (await bench.now()) - fromMs;
    let steps = 0;
    await trial.until(() => ++steps > 3, 'it must be so');
    expect(await passed()).toBeLessThan(200);
    await expect(trial.until(() => false, 'it must be so')).rejects.toThrow('it must be so');
  });
});
