import { abortAllDurableObjects, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, test } from 'vitest';
import { Pace } from '../../../../.ci/testing/pace.ts';
import { onRealTime } from '../../../../.ci/testing/runs.ts';
import { durableObjectLeases, type LeaseNamespace, type LeaseStub } from '../../src/adapters/durable-object.ts';
import { type LeaseLocker, leaseLocker } from '../../src/lease.ts';
import type { LeaseDriver } from '../../src/lease-driver.ts';
import { ask as askFor, take as takeKey } from '../../src/testing/lease-bench.ts';
import {
  type LeaseAbilities,
  type LeaseBench,
  type LockerBench,
  leaseDriverContract,
  lockerContract,
} from '../../src/testing.ts';
import { clock } from '../support/timed-lease-object.ts';

const abilities: LeaseAbilities = {
  shared: false,
  inspect: true,
  watch: true,
  line: true,
  clock: 'injected',
  remote: true,
};

let stores = 0;

/** Objects of its own, by their names; and a hand on the way to them. */
function space(
  namespace: LeaseNamespace<unknown>,
  send: (stub: LeaseStub, ...args: Parameters<LeaseStub['fetch']>) => ReturnType<LeaseStub['fetch']> = (
    stub,
    ...args
  ) => stub.fetch(...args),
): LeaseNamespace<unknown> & { stub(key: string): LeaseStub } {
  const prefix = `${stores++}:`;
  const idFromName = (name: string): unknown => namespace.idFromName(`${prefix}${name}`);
  return {
    idFromName,
    get: (id) => {
      const stub = namespace.get(id);
      return { fetch: (...args) => send(stub, ...args) };
    },
    stub: (key) => namespace.get(idFromName(key)),
  };
}

// The socket's messages come in real time.
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function timedBench(): LeaseBench {
  let isDown = false;
  const objects = space(env.TIMED_LEASES, async (stub, ...args) => {
    if (isDown) throw Object.assign(new Error('Network connection lost.'), { retryable: true });
    return stub.fetch(...args);
  });
  return {
    open: () => durableObjectLeases(objects),
    async pass(ms) {
      await clock.advance(ms);
      await turn();
    },
    now: () => clock.now(),
    turnBack: (ms) => clock.jump(-ms),
    outage() {
      isDown = true;
      return {
        driver: durableObjectLeases(objects),
        end() {
          isDown = false;
        },
      };
    },
  };
}

describe('durableObjectLeases', () => {
  for (const { name, run } of leaseDriverContract(timedBench, abilities)) test(name, onRealTime, run);
});

describe('leaseLocker over Durable Objects', () => {
  const bench = (): LockerBench => {
    const pace = new Pace(clock, 50);
    const objects = space(env.TIMED_LEASES, (stub, ...args) => pace.request(stub.fetch(...args)));
    return {
      open: (options) => leaseLocker(durableObjectLeases(objects), { ...options, clock }),
      pass: (ms) => pace.pass(ms),
    };
  };
  for (const { name, run } of lockerContract(bench, { shared: false })) test(name, onRealTime, run);
});

const ask = (driver: LeaseDriver, holder: string, leaseMs?: number): ReturnType<LeaseDriver['acquire']> =>
  askFor(driver, 'key', holder, leaseMs);
const take = (driver: LeaseDriver, holder: string, leaseMs?: number): Promise<number> =>
  takeKey(driver, 'key', holder, leaseMs);

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500 && !(await isSo()); i++) await sleep(10);
  expect(await isSo()).toBe(true);
}

describe('on the object’s own clock', () => {
  test('one request for each call, two of them for a lock', async () => {
    let requests = 0;
    const objects = space(env.LEASES, (stub, ...args) => {
      requests++;
      return stub.fetch(...args);
    });
    const driver = durableObjectLeases(objects);
    const token = await take(driver, 'a');
    expect(requests).toBe(1);
    expect(await driver.release('key', 'a', token)).toBe(true);
    expect(requests).toBe(2);
  });

  test('an alarm hands an ended lease on, and wakes who waits', async () => {
    const driver = durableObjectLeases(space(env.LEASES));
    await take(driver, 'dead', 1_500);
    let wakes = 0;
    const stop = await driver.watch?.('key', () => wakes++);
    expect(await ask(driver, 'b')).toMatchObject({ busy: true, queued: true });
    // Nobody asks meanwhile.
    await until(() => wakes > 0);
    expect(await driver.inspect?.('key')).toMatchObject({ holder: 'b' });
    await take(driver, 'b');
    stop?.();
  });
});

test('four processes with five contenders each: one at a time, and nobody polls', async () => {
  let [requests, inside, most, count] = [0, 0, 0, 0];
  const objects = space(env.LEASES, (stub, ...args) => {
    requests++;
    return stub.fetch(...args);
  });
  const startMs = Date.now();
  const tokens: number[] = [];
  const lockers = Array.from({ length: 4 }, () => leaseLocker(durableObjectLeases(objects)));
  const contend = (locker: LeaseLocker): Promise<void> =>
    locker.run('key', async (lock) => {
      most = Math.max(most, ++inside);
      const read = count;
      await sleep(2);
      count = read + 1;
      tokens.push(lock.token);
      inside--;
    });
  await Promise.all(lockers.flatMap((locker) => Array.from({ length: 5 }, () => contend(locker))));
  expect([count, most]).toEqual([20, 1]);
  expect(tokens).toEqual([...tokens].sort((a, b) => a - b));
  expect(new Set(tokens).size).toBe(20);
  // A turn of one process: its grant, its release, a watch, and a look by everybody whom the release wakes. Where it
  // takes long, each looks once a second besides.
  expect(requests).toBeLessThan(60 + (4 * (Date.now() - startMs)) / 1_000);
  await Promise.all(lockers.map((locker) => locker.close()));
});

describe('an object that goes away', () => {
  test('evicted: the lease, the line, the token and the watch outlive it', async () => {
    const objects = space(env.LEASES);
    const driver = durableObjectLeases(objects);
    const token = await take(driver, 'a');
    for (const holder of ['b', 'c']) await ask(driver, holder);
    let wakes = 0;
    const stop = await driver.watch?.('key', () => wakes++);
    await evictDurableObject(objects.stub('key'));
    expect(await take(driver, 'a')).toBe(token);
    await evictDurableObject(objects.stub('key'));
    expect(await driver.release('key', 'a', token)).toBe(true);
    await until(() => wakes === 1);
    await evictDurableObject(objects.stub('key'));
    expect(await ask(driver, 'c')).toMatchObject({ busy: true, holder: 'b', queued: true });
    expect(await take(driver, 'b')).toBeGreaterThan(token);
    stop?.();
  });

  test('reset: the watch says so once, and what was answered stands', async () => {
    const driver = durableObjectLeases(space(env.LEASES));
    const token = await take(driver, 'a');
    await ask(driver, 'b');
    let wakes = 0;
    const stop = await driver.watch?.('key', () => wakes++);
    await abortAllDurableObjects();
    await until(() => wakes === 1);
    expect(await ask(driver, 'c')).toMatchObject({ busy: true, holder: 'a', queued: true });
    expect(await driver.renew('key', 'a', token, 60_000)).toEqual({ contended: true });
    expect(await driver.release('key', 'a', token)).toBe(true);
    await take(driver, 'b');
    expect(wakes).toBe(1);
    stop?.();
    // The next watch is a new one.
    const again = await driver.watch?.('key', () => wakes++);
    await driver.release('key', 'b', (await driver.inspect?.('key')) ? await take(driver, 'b') : 0);
    await until(() => wakes === 2);
    again?.();
  });

  test('reset with a question on its way: no answer, and asking again finds out', async () => {
    const objects = space(env.LEASES, async (stub, ...args) => {
      const asked = stub.fetch(...args);
      if (isCut) await abortAllDurableObjects();
      return asked;
    });
    let isCut = false;
    const driver = durableObjectLeases(objects);
    let last = 0;
    for (let round = 0; round < 10; round++) {
      isCut = true;
      // Either it was answered before the end, or there is no answer; never a wrong one.
      const first = await take(driver, `h${round}`).catch((error: Error) => error);
      isCut = false;
      if (first instanceof Error) expect(first.message).toContain('abortAllDurableObjects');
      const token = await take(driver, `h${round}`);
      if (!(first instanceof Error)) expect(token).toBe(first);
      expect(token).toBeGreaterThan(last);
      last = token;
      expect(await driver.release('key', `h${round}`, token)).toBe(true);
    }
  });

  test('an alarm that is missed or comes twice does no harm', async () => {
    const objects = space(env.LEASES);
    const driver = durableObjectLeases(objects);
    const token = await take(driver, 'a');
    await ask(driver, 'b');
    const alarmOf = (): Promise<number | null> =>
      runInDurableObject(objects.stub('key'), (_, { storage }) => storage.getAlarm());
    const { expiresInMs = 0 } = (await driver.inspect?.('key')) ?? {};
    expect(Math.abs(((await alarmOf()) ?? 0) - Date.now() - expiresInMs)).toBeLessThan(5_000);
    // Too early: it only sets the next one.
    expect(await runDurableObjectAlarm(objects.stub('key'))).toBe(true);
    expect(await alarmOf()).not.toBe(null);
    expect(await driver.renew('key', 'a', token, 60_000)).toEqual({ contended: true });
    // Missed altogether: whoever comes next hands on.
    const late = durableObjectLeases(space(env.TIMED_LEASES));
    await take(late, 'dead', 20);
    expect(await ask(late, 'b')).toMatchObject({ queued: true });
    await clock.advance(40);
    expect(await ask(late, 'newcomer')).toMatchObject({ busy: true, holder: 'b' });
  });

  test('a day after its last use nothing is left of a key, and tokens still rise', async () => {
    const objects = space(env.TIMED_LEASES);
    const driver = durableObjectLeases(objects);
    const token = await take(driver, 'a');
    await driver.release('key', 'a', token);
    const stored = (): Promise<unknown> =>
      runInDurableObject(objects.stub('key'), (_, { storage }) => storage.get('lease'));
    await clock.advance(86_399_999);
    expect(await runDurableObjectAlarm(objects.stub('key'))).toBe(true);
    expect(await stored()).toMatchObject({ token, holder: '' });
    await clock.advance(1);
    expect(await runDurableObjectAlarm(objects.stub('key'))).toBe(true);
    expect(await stored()).toBe(undefined);
    expect(await runDurableObjectAlarm(objects.stub('key'))).toBe(false);
    expect(await take(driver, 'b')).toBeGreaterThan(token);
  });
});

describe('busy, unreachable and lost', () => {
  test('an answer that is lost after it was carried out', async () => {
    let isLosing = false;
    const driver = durableObjectLeases(
      space(env.LEASES, async (stub, ...args) => {
        const answer = await stub.fetch(...args);
        if (isLosing) throw new Error('Network connection lost.');
        return answer;
      }),
    );
    const lost = async (call: () => Promise<unknown>): Promise<void> => {
      isLosing = true;
      await expect(call()).rejects.toThrow('Network connection lost.');
      isLosing = false;
    };
    await lost(() => ask(driver, 'a'));
    const token = await take(driver, 'a');
    await lost(() => ask(driver, 'b'));
    await lost(() => driver.renew('key', 'a', token, 60_000));
    expect(await driver.renew('key', 'a', token, 60_000)).toEqual({ contended: true });
    await lost(() => driver.release('key', 'a', token));
    expect(await driver.release('key', 'a', token)).toBe(false);
    expect(await driver.inspect?.('key')).toMatchObject({ holder: 'b' });
  });

  test('a waiter that was handed the key as it left gives it back', async () => {
    const driver = durableObjectLeases(space(env.LEASES));
    const token = await take(driver, 'a');
    for (const holder of ['b', 'c']) await ask(driver, holder);
    await driver.release('key', 'a', token);
    expect(await driver.release('key', 'b', 0)).toBe(false);
    await take(driver, 'c');
  });

  test.each([
    ['an object that throws', async () => Promise.reject(new Error('Durable Object is overloaded.')), 'overloaded'],
    ['a Worker in between', async () => new Response('no such route', { status: 404 }), 'answered 404: no such route'],
    ['a page in between', async () => new Response('<html>'), 'JSON'],
  ])('%s is out of reach', async (_, send, message) => {
    const driver = durableObjectLeases(space(env.LEASES, send as () => ReturnType<LeaseStub['fetch']>));
    for (const call of [
      () => ask(driver, 'a'),
      () => driver.renew('key', 'a', 1, 60_000),
      () => driver.release('key', 'a', 1),
      () => driver.inspect?.('key'),
    ]) {
      await expect(call()).rejects.toThrow(message);
    }
  });

  test('a watch that cannot be had rejects', async () => {
    const driver = durableObjectLeases(space(env.LEASES, async () => new Response('no', { status: 503 })));
    await expect(driver.watch?.('key', () => undefined)).rejects.toThrow('answered 503 to a watch');
  });
});

test('keys that UTF-8 cannot tell apart are apart here', async () => {
  const driver = durableObjectLeases(space(env.LEASES));
  const keys = ['\ud800', '\ud801', '\ufffd', '\\d800', '\\', '\\5c'];
  for (const [i, key] of keys.entries()) {
    expect(await askFor(driver, key, `h${i}`)).toHaveProperty('token');
  }
});

test('refuses what is no namespace, key or lease', async () => {
  expect(() => durableObjectLeases(undefined as never)).toThrow('namespace.idFromName must be a function');
  expect(() => durableObjectLeases({ idFromName() {} } as never)).toThrow('namespace.get must be a function');
  const driver = durableObjectLeases(space(env.LEASES));
  await expect(askFor(driver, '', 'h', 1)).rejects.toThrow('key must be a non-empty');
  await expect(ask(driver, 'a', Number.POSITIVE_INFINITY)).rejects.toThrow('leaseMs must be a number from 1 to');
  await expect(driver.renew('key', 'a', 1, 0)).rejects.toThrow('leaseMs must be a number from 1 to');
});
