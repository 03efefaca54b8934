import { env } from 'cloudflare:workers';
import { describe, expect, test } from 'vitest';
import { onRealTime } from '../../../../.ci/testing/runs.ts';
import { type LeaseBucket, objectStoreLeases } from '../../src/adapters/object-store.ts';
import { leaseLocker } from '../../src/lease.ts';
import type { LeaseDriver } from '../../src/lease-driver.ts';
import { ask } from '../../src/testing/lease-bench.ts';
import {
  type LeaseAbilities,
  type LeaseBench,
  type LockerBench,
  leaseDriverContract,
  lockerContract,
} from '../../src/testing.ts';

const abilities: LeaseAbilities = {
  shared: false,
  inspect: true,
  watch: false,
  line: false,
  clock: 'store',
  remote: true,
};

// Store and Worker have one clock here.
const SKEW_MS = 20;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let stores = 0;

function r2Bench(): LeaseBench {
  const prefix = `store-${stores++}/`;
  const open = (bucket: LeaseBucket = env.BUCKET): LeaseDriver =>
    objectStoreLeases(bucket, { prefix, skewMs: SKEW_MS });
  return {
    open: () => open(),
    pass: (ms) => sleep(ms + SKEW_MS),
    now: () => Date.now(),
    outage() {
      let isDown = true;
      const reach = (): LeaseBucket => {
        if (isDown) throw new Error('get: We encountered an internal error. Please try again. (10001)');
        return env.BUCKET;
      };
      const bucket: LeaseBucket = {
        get: async (...args) => reach().get(...args),
        put: async (...args) => reach().put(...args),
      };
      return {
        driver: open(bucket),
        end() {
          isDown = false;
        },
      };
    },
  };
}

describe('objectStoreLeases on an R2 binding', () => {
  for (const { name, run } of leaseDriverContract(r2Bench, abilities)) test.concurrent(name, onRealTime, run);
});

describe('leaseLocker over an R2 binding', () => {
  const bench = (): LockerBench => {
    const prefix = `store-${stores++}/`;
    return {
      open: (options) => leaseLocker(objectStoreLeases(env.BUCKET, { prefix, skewMs: SKEW_MS }), options),
      pass: sleep,
    };
  };
  for (const { name, run } of lockerContract(bench, { shared: false })) test.concurrent(name, onRealTime, run);
});

/** The binding, with every call in a list; `lose` says whether the answer to one is lost after it was carried out. */
function listed(calls: string[], lose: (call: string) => boolean = () => false): LeaseBucket {
  async function call<T>(name: string, answer: Promise<T>): Promise<T> {
    calls.push(name);
    const value = await answer;
    if (lose(name)) throw new Error(`${name}: network connection lost`);
    return value;
  }
  return {
    get: (...args) => call('get', env.BUCKET.get(...args)),
    put: (...args) => call('put', env.BUCKET.put(...args)),
  };
}

describe('an R2 binding', () => {
  test('is asked twice to acquire, once to renew and once to release', async () => {
    const calls: string[] = [];
    const driver = objectStoreLeases(listed(calls), { prefix: 'counted/', probe: false });
    const answer = await ask(driver, 'key', 'a');
    const token = 'token' in answer ? answer.token : 0;
    expect(calls.splice(0)).toEqual(['get', 'put']);
    expect(await driver.renew('key', 'a', token, 60_000)).toBe(true);
    expect(calls.splice(0)).toEqual(['put']);
    expect(await driver.release('key', 'a', token)).toBe(true);
    expect(calls.splice(0)).toEqual(['put']);
  });

  test('heeds conditions: the probe passes, and writes its own object once', async () => {
    const calls: string[] = [];
    const first = objectStoreLeases(listed(calls), { prefix: 'probed/' });
    await ask(first, 'key', 'a');
    expect(calls.splice(0)).toEqual(['put', 'put', 'put', 'get', 'put']);
    const second = objectStoreLeases(listed(calls), { prefix: 'probed/' });
    expect(await ask(second, 'key', 'b')).toMatchObject({ busy: true, holder: 'a' });
    expect(calls).toEqual(['put', 'put', 'get']);
    expect(await env.BUCKET.head('probed/probe')).not.toBe(null);
  });

  test('whose answers are lost loses no lease and no release', async () => {
    let isLosing = false;
    const driver = objectStoreLeases(
      listed([], (call) => isLosing && call === 'put'),
      { prefix: 'lost/', probe: false },
    );
    const lost = async (call: () => Promise<unknown>): Promise<void> => {
      isLosing = true;
      await expect(call()).rejects.toThrow('network connection lost');
      isLosing = false;
    };
    await lost(() => ask(driver, 'key', 'a'));
    expect(await driver.inspect?.('key')).toMatchObject({ holder: 'a' });
    const answer = await ask(driver, 'key', 'a');
    const token = 'token' in answer ? answer.token : 0;
    await lost(() => driver.renew('key', 'a', token, 60_000));
    expect(await driver.renew('key', 'a', token, 60_000)).toBe(true);
    await lost(() => driver.release('key', 'a', token));
    expect(await driver.inspect?.('key')).toBe(undefined);
    expect(await driver.release('key', 'a', token)).toBe(true);
    expect(await driver.release('key', 'a', token)).toBe(false);
  });
});
