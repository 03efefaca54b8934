import {
  faultyLeases,
  type LeaseBench,
  type LeaseFault,
  leaseDriverContract,
  VirtualClock,
} from '@chunks/locks/testing';
import { describe, expect, test } from 'vitest';
import type { LeaseDriver } from '../../src/lease-driver.ts';
import { all, bare } from './flaws.ts';
import { referenceBench } from './reference-leases.ts';

const request = { mode: 'exclusive', signal: new AbortController().signal } as const;

async function faulty(
  plan: (LeaseFault | undefined)[],
): Promise<{ driver: LeaseDriver; right: LeaseDriver; clock: VirtualClock }> {
  const bench = referenceBench(all)();
  const clock = new VirtualClock();
  const script = [...plan];
  return { driver: faultyLeases(await bench.open(), () => script.shift(), clock), right: await bench.open(), clock };
}

describe('faultyLeases', () => {
  test.each([
    ['with every ability', all],
    ['with none', bare],
  ])('without a fault it is the driver, %s', async (_, abilities) => {
    const make = (): LeaseBench => {
      const bench = referenceBench(abilities)();
      return { ...bench, open: async () => faultyLeases(await bench.open(), () => undefined) };
    };
    for (const { run } of leaseDriverContract(make, abilities)) await run();
  });

  test('a call that does not reach the store does nothing', async () => {
    const { driver, right } = await faulty(['unreachable', 'unreachable', 'unreachable']);
    await expect(driver.acquire('key', 'a', 1_000, request)).rejects.toThrow('acquire: the store was not reached');
    const { token } = (await right.acquire('key', 'b', 1_000, request)) as { token: number };
    await expect(driver.renew('key', 'b', token, 5_000)).rejects.toThrow('renew');
    await expect(driver.release('key', 'b', token)).rejects.toThrow('release');
    expect(await right.inspect?.('key')).toEqual({ holder: 'b', mode: 'exclusive', expiresInMs: 1_000 });
  });

  test('a call whose answer is lost is done', async () => {
    const { driver, right } = await faulty(['reply lost', undefined, 'reply lost', 'reply lost']);
    await expect(driver.acquire('key', 'a', 1_000, request)).rejects.toThrow('acquire: the answer was lost');
    const { token } = (await driver.acquire('key', 'a', 1_000, request)) as { token: number };
    await expect(driver.renew('key', 'a', token, 5_000)).rejects.toThrow('renew');
    expect(await right.inspect?.('key')).toMatchObject({ expiresInMs: 5_000 });
    await expect(driver.release('key', 'a', token)).rejects.toThrow('release');
    expect(await right.inspect?.('key')).toBeUndefined();
  });

  test('a slow request is done late, a slow answer is done at once', async () => {
    const { driver, right, clock } = await faulty([{ requestMs: 50 }, { replyMs: 70 }, { requestMs: Infinity }]);
    const seen: string[] = [];
    void driver.acquire('one', 'a', 1_000, request).then(() => seen.push('one'));
    void driver.acquire('two', 'a', 1_000, request).then(() => seen.push('two'));
    void driver.acquire('three', 'a', 1_000, request).then(() => seen.push('three'));
    await clock.advance(49);
    expect([await right.inspect?.('one'), (await right.inspect?.('two'))?.holder, seen]).toEqual([undefined, 'a', []]);
    await clock.advance(1);
    expect([(await right.inspect?.('one'))?.holder, seen]).toEqual(['a', ['one']]);
    await clock.advance(1_000_000);
    expect([seen, await right.inspect?.('three')]).toEqual([['one', 'two'], undefined]);
  });

  test('the plan hears of every call, and in which order they come', async () => {
    const heard: string[] = [];
    const driver = faultyLeases(await referenceBench(all)().open(), ({ method, key, count }) => {
      heard.push(`${count} ${method} ${key}`);
      return undefined;
    });
    await driver.acquire('a', 'h', 1_000, request);
    await driver.renew('b', 'h', 1, 1_000);
    await driver.inspect?.('c');
    await driver.watch?.('d', () => undefined);
    await driver.release('e', 'h', 1);
    await driver.close?.();
    expect(heard).toEqual(['1 acquire a', '2 renew b', '3 inspect c', '4 watch d', '5 release e']);
    expect(() => faultyLeases(driver, 'unreachable' as never)).toThrow(TypeError);
  });
});
