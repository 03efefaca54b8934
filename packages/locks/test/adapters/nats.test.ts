import type { Clock } from '@chunks/base';
import { settle, VirtualClock } from '@chunks/base/testing';
import { type LeaseDriver, leaseLocker } from '@chunks/locks/lease';
import { type NatsKv, natsLeases } from '@chunks/locks/nats';
import { type LeaseBench, type LockerBench, leaseDriverContract, lockerContract } from '@chunks/locks/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ask, take } from '../../src/testing/lease-bench.ts';
import { FakeBucket, type KvFault } from '../support/fake-kv.ts';

const SKEW_MS = 250;

/** A bucket, a client whose calls fail as told, one after another, and another client. */
function bench() {
  const clock = new VirtualClock();
  const bucket = new FakeBucket(clock);
  const faults: [call: string, fault: KvFault][] = [];
  const calls: string[] = [];
  const kv = bucket.open((call, key) => {
    calls.push(`${call} ${key}`);
    if (faults[0]?.[0] !== call || !key.startsWith('lease.')) return 'none';
    return faults.shift()?.[1] ?? 'none';
  });
  const open = (of: NatsKv): LeaseDriver => natsLeases(of, { clock });
  return { clock, bucket, faults, calls, kv, driver: open(kv), other: open(bucket.open()) };
}

describe('what every driver must do', () => {
  function contractBench(): LeaseBench {
    const clock = new VirtualClock();
    const bucket = new FakeBucket(clock);
    return {
      open: () => natsLeases(bucket.open(), { clock }),
      pass: (ms) => clock.advance(ms + SKEW_MS),
      now: () => clock.now(),
      outage() {
        let fault: KvFault = 'not sent';
        return {
          driver: natsLeases(
            bucket.open(() => fault),
            { clock },
          ),
          end: () => void (fault = 'none'),
        };
      },
    };
  }
  const abilities = { shared: false, inspect: true, watch: true, line: false, clock: 'store', remote: true } as const;
  test.each(leaseDriverContract(contractBench, abilities))('$name', ({ run }) => run());
});

describe('what every locker must do, over it', () => {
  function lockers(): LockerBench {
    const clock = new VirtualClock();
    const bucket = new FakeBucket(clock);
    return {
      open: (options) => leaseLocker(natsLeases(bucket.open(), { clock, skewMs: 0 }), { ...options, clock }),
      pass: (ms) => clock.advance(ms),
    };
  }
  test.each(lockerContract(lockers, { shared: false }))('$name', ({ run }) => run());
});

/** A client's clock: of the same speed as the server's, and of another time, that may be set. */
class WrongClock implements Clock {
  readonly #of: Clock;
  offMs: number;
  constructor(of: Clock, offMs: number) {
    this.#of = of;
    this.offMs = offMs;
  }
  now = (): number => this.#of.now() + this.offMs;
  after = (ms: number, callback: () => void): (() => void) => this.#of.after(ms, callback);
  sleep = (ms: number, one?: AbortSignal): Promise<void> => this.#of.sleep(ms, one);
}

describe('however calls interleave, answers get lost, replicas lag and clocks of clients are wrong', () => {
  const LEASE_MS = 1_000;
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.constant({ do: 'acquire' as const }) },
    { weight: 2, arbitrary: fc.constant({ do: 'renew' as const }) },
    { weight: 2, arbitrary: fc.constant({ do: 'release' as const }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(1, 300, 999, 1_251) }) },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('set' as const), ms: fc.constantFrom(-3_600_000, 0, 900, 3_600_000) }),
    },
  );
  const fault = fc.constantFrom<KvFault>('none', 'none', 'none', 'none', 'not sent', 'answer lost', 'stale read');

  /** In the order in which the server stores them: higher with each holder, never lower. */
  function noteTokens(bucket: FakeBucket): string[] {
    const wrong: string[] = [];
    let last = { token: 0, holder: undefined as string | undefined };
    bucket.onStored = ({ key, value }) => {
      if (key !== 'lease.key') return;
      const next = JSON.parse(new TextDecoder().decode(value)) as typeof last;
      const isNewGrant = next.holder !== undefined && next.holder !== last.holder;
      if (next.token < last.token + (isNewGrant ? 1 : 0))
        wrong.push(`${JSON.stringify(next)} after ${JSON.stringify(last)}`);
      last = next;
    };
    return wrong;
  }

  test('nobody is given a lease while another one lives, and tokens rise', async () => {
    let grants = 0;
    const program = fc.array(fc.array(step, { maxLength: 12 }), { minLength: 2, maxLength: 4 });
    const property = fc.asyncProperty(fc.scheduler(), program, fc.infiniteStream(fault), async (s, clients, faults) => {
      const clock = new VirtualClock();
      const bucket = new FakeBucket(clock);
      const turn = (): Promise<void> => s.schedule(Promise.resolve());
      /** Until when each holder counts on its lease, by the server's clock, and what it may do with it. */
      const untilMs = new Map<string, number>();
      const wrong = noteTokens(bucket);

      async function run(client: number, steps: (typeof clients)[number]): Promise<void> {
        const holder = `holder ${client}`;
        const own = new WrongClock(clock, client * 10_000);
        const driver = natsLeases(
          bucket.open(() => faults.next().value, turn),
          { clock: own },
        );
        let token = 0;
        for (const one of steps) {
          await turn();
          const sentMs = clock.now();
          if (one.do === 'pass') clock.jump(one.ms);
          else if (one.do === 'set') own.offMs += one.ms;
          else if (one.do === 'renew') {
            const renewed = await driver.renew('key', holder, token, LEASE_MS).catch(() => undefined);
            if (renewed === true) untilMs.set(holder, sentMs + LEASE_MS);
            // Lost: it counts on nothing any more. Unreachable: on what it had.
            if (renewed === false) untilMs.delete(holder);
          } else if (one.do === 'release') {
            untilMs.delete(holder);
            await driver.release('key', holder, token).catch(() => undefined);
          } else {
            const answer = await ask(driver, 'key', holder, LEASE_MS).catch(() => ({ busy: true as const }));
            if (!('token' in answer)) continue;
            token = answer.token;
            // It came too late to be of any use.
            if (clock.now() >= sentMs + LEASE_MS) continue;
            grants++;
            for (const [another, endMs] of untilMs) {
              if (another !== holder)
                expect(endMs, `${holder} was given what ${another} has`).toBeLessThanOrEqual(clock.now());
            }
            untilMs.set(holder, sentMs + LEASE_MS);
          }
        }
      }
      await s.waitFor(Promise.all(clients.map((steps, client) => run(client, steps))));
      expect(wrong).toEqual([]);
    });
    await fc.assert(property, { numRuns: 500 });
    expect(grants).toBeGreaterThan(500);
  });
});

describe('answers that get lost after the server has done what it was told', () => {
  test('acquire: the next one of the same holder gets that very token; another holder finds it busy', async () => {
    const { clock, faults, driver, other } = bench();
    faults.push(['create', 'answer lost']);
    await expect(ask(driver, 'key', 'a')).rejects.toThrow('answer lost');
    const grantedMs = clock.now();
    await clock.advance(10);
    expect(await ask(other, 'key', 'b')).toMatchObject({ busy: true, holder: 'a' });
    expect(await take(driver, 'key', 'a')).toBe(grantedMs);
  });

  test('acquire: or it is given back by who does not want it any more', async () => {
    const { faults, driver, other } = bench();
    faults.push(['create', 'answer lost']);
    await expect(ask(driver, 'key', 'a')).rejects.toThrow('answer lost');
    expect(await driver.release('key', 'a', 0)).toBe(false);
    await take(other, 'key', 'b');
    expect(await driver.release('key', 'a', 0)).toBe(false);
    expect(await ask(driver, 'key', 'a')).toMatchObject({ holder: 'b' });
  });

  test('renew: the next one renews; release: the next one is false, and the key is free', async () => {
    const { faults, driver, other } = bench();
    const token = await take(driver, 'key', 'a');
    faults.push(['update', 'answer lost']);
    await expect(driver.renew('key', 'a', token, 60_000)).rejects.toThrow('answer lost');
    expect(await driver.renew('key', 'a', token, 60_000)).toBe(true);
    faults.push(['update', 'answer lost']);
    await expect(driver.release('key', 'a', token)).rejects.toThrow('answer lost');
    expect(await driver.release('key', 'a', token)).toBe(false);
    expect(await take(other, 'key', 'b')).toBeGreaterThan(token);
  });
});

describe('replicas that lag behind', () => {
  test('never make a lease look lost to its holder', async () => {
    const { faults, driver, other } = bench();
    const before = await take(other, 'key', 'before');
    await other.release('key', 'before', before);
    const token = await take(driver, 'key', 'a');
    faults.push(['get', 'stale read']);
    expect(await driver.renew('key', 'a', token, 60_000)).toBe(true);
    faults.push(['get', 'stale read'], ['get', 'stale read']);
    expect(await driver.release('key', 'a', token)).toBe(true);
    expect(await take(other, 'key', 'b')).toBe(token + 1);
  });

  test('never make a key look free', async () => {
    const { faults, driver, other } = bench();
    await take(other, 'key', 'a');
    faults.push(['get', 'stale read']);
    expect(await ask(driver, 'key', 'b')).toMatchObject({ busy: true, holder: 'a' });
    // Even one that never catches up: whoever reads it loses every race.
    faults.push(...Array(20).fill(['get', 'stale read']));
    expect(await ask(driver, 'key', 'b')).toEqual({ busy: true });
  });
});

describe('a bucket that was lost and made anew', () => {
  test('may give a new lease the very revision of an old one: the old holder leaves it alone', async () => {
    const { bucket, driver, other } = bench();
    const token = await take(driver, 'key', 'a');
    bucket.wipe();
    const next = await take(other, 'key', 'b');
    expect(await driver.release('key', 'a', token)).toBe(false);
    expect(await driver.renew('key', 'a', token, 60_000)).toBe(false);
    expect(await other.renew('key', 'b', next, 60_000)).toBe(true);
  });

  test('has lost its leases, says so, and an old holder can do nothing to a new one', async () => {
    const { clock, bucket, driver, other } = bench();
    const token = await take(driver, 'key', 'a');
    bucket.wipe();
    expect(await driver.renew('key', 'a', token, 60_000)).toBe(false);
    await clock.advance(1);
    const next = await take(other, 'key', 'b');
    expect(next).toBeGreaterThan(token);
    expect(await driver.release('key', 'a', token)).toBe(false);
    expect(await driver.renew('key', 'a', token, 60_000)).toBe(false);
    expect(await ask(driver, 'key', 'a')).toMatchObject({ busy: true, holder: 'b' });
    expect(await other.renew('key', 'b', next, 60_000)).toBe(true);
  });
});

describe('time', () => {
  test('while a lease lives nobody writes, and after a first probe one read answers', async () => {
    const { clock, calls, driver, other } = bench();
    await take(other, 'key', 'a', 30_000);
    await ask(driver, 'key', 'b');
    calls.length = 0;
    for (let i = 0; i < 10; i++) {
      await clock.advance(1_000);
      const answer = await ask(driver, 'key', 'b');
      expect(answer).toMatchObject({ busy: true, retryAfterMs: 30_000 + SKEW_MS + 1 - 1_000 * (i + 1) });
    }
    expect(calls).toEqual(Array(10).fill('get lease.key'));
  });

  test('the skew that was told is waited out, by the clock of the server', async () => {
    const clock = new VirtualClock();
    const bucket = new FakeBucket(clock);
    const [here, there] = [0, 5_000].map((skewMs) => natsLeases(bucket.open(), { clock, skewMs })) as [
      LeaseDriver,
      LeaseDriver,
    ];
    await take(here, 'key', 'a', 1_000);
    await clock.advance(1_000);
    expect(await ask(here, 'key', 'b')).toMatchObject({ busy: true, retryAfterMs: 1 });
    await clock.advance(1);
    expect(await there.inspect?.('key')).toMatchObject({ holder: 'a', expiresInMs: 1_000 });
    expect(await ask(there, 'key', 'c')).toMatchObject({ busy: true, holder: 'a' });
    await take(here, 'key', 'b');
  });

  test('the ttl of the bucket is asked once, and refused when it could take a live lease or a young token', async () => {
    const { bucket, calls, driver, other } = bench();
    await take(driver, 'key', 'a');
    await driver.renew('key', 'a', 1, 60_000);
    expect(calls.filter((call) => call.startsWith('status'))).toHaveLength(1);
    bucket.ttl = 86_399_999;
    await expect(ask(other, 'key', 'b')).rejects.toThrow(
      /^the bucket's ttl must be 0 or an integer ≥ 86400000, but is 86399999/,
    );
    bucket.ttl = 2 * 86_400_000;
    const third = natsLeases(bucket.open());
    expect(await ask(third, 'key', 'b', bucket.ttl)).toMatchObject({ busy: true });
    await expect(ask(third, 'key', 'b', bucket.ttl + 1)).rejects.toThrow(/^leaseMs must be at most the bucket's ttl/);
    await expect(third.renew('key', 'a', 1, bucket.ttl + 1)).rejects.toThrow(RangeError);
  });
});

describe('errors', () => {
  test('of the client come as they are; a record that is none of ours is neither busy nor free', async () => {
    const { bucket, faults, driver } = bench();
    for (const call of ['get', 'create'] as const) {
      faults.push([call, 'not sent']);
      await expect(ask(driver, 'key', 'a')).rejects.toThrow(/^not sent$/);
    }
    bucket.put('lease.key', new TextEncoder().encode('hello'));
    await expect(ask(driver, 'key', 'a')).rejects.toThrow('lease.key is not a lease');
    await expect(driver.release('key', 'a', 1)).rejects.toThrow('lease.key is not a lease');
    bucket.put('lease.key', new Uint8Array(0), undefined, 'DEL');
    await take(driver, 'key', 'a');
  });

  test('a first question for the ttl that fails is asked again', async () => {
    const clock = new VirtualClock();
    let fault: KvFault = 'not sent';
    const driver = natsLeases(
      new FakeBucket(clock).open((call) => (call === 'status' ? fault : 'none')),
      { clock },
    );
    await expect(ask(driver, 'key', 'a')).rejects.toThrow('not sent');
    fault = 'none';
    await take(driver, 'key', 'a');
  });

  test('a record that never stands still: acquire says busy, renew and release that they do not know', async () => {
    const { kv, clock } = bench();
    const contested: NatsKv = {
      ...kv,
      update: () => Promise.reject(Object.assign(new Error('wrong'), { code: 10_164 })),
    };
    const driver = natsLeases(contested, { clock });
    const token = await take(driver, 'key', 'a');
    expect(await ask(driver, 'key', 'a')).toEqual({ busy: true });
    await expect(driver.renew('key', 'a', token, 60_000)).rejects.toThrow('lease.key changed 10 times');
    await expect(driver.release('key', 'a', token)).rejects.toThrow('lease.key changed 10 times');
  });

  test('a call that nobody waits for any more rejects with the reason, and writes nothing', async () => {
    const { calls, driver } = bench();
    const reason = new Error('no longer');
    const gone = driver.acquire('key', 'a', 60_000, { mode: 'exclusive', signal: AbortSignal.abort(reason) });
    await expect(gone).rejects.toBe(reason);
    expect(calls.filter((call) => call.includes('lease.'))).toEqual([]);
  });

  test('bad input is refused by name, and does nothing', async () => {
    const { bucket, calls, driver, kv } = bench();
    await expect(ask(driver, '', 'a')).rejects.toThrow(/^key must be/);
    await expect(ask(driver, 'key', '')).rejects.toThrow(/^holder must be/);
    await expect(ask(driver, 'key', 'a', Number.NaN)).rejects.toThrow(/^leaseMs must be a number ≥ 1/);
    await expect(driver.renew('key', 'a', 1, 0)).rejects.toThrow(/^leaseMs must be a number ≥ 1/);
    expect([calls, bucket.watches]).toEqual([[], 0]);
    expect(() => natsLeases(undefined as unknown as NatsKv)).toThrow(/^kv.get must be a function/);
    expect(() => natsLeases({ ...kv, watch: 1 } as unknown as NatsKv)).toThrow(/^kv.watch must be a function/);
    expect(() => natsLeases(kv, { skewMs: -1 })).toThrow(/^skewMs must be a number ≥ 0/);
  });
});

describe('watching', () => {
  test('is one watch of the bucket for all keys, that wakes at releases alone, and goes when nobody watches', async () => {
    const { clock, bucket, driver, other } = bench();
    const heard: string[] = [];
    const stops = await Promise.all(['a', 'b.*'].map((key) => driver.watch?.(key, () => heard.push(key))));
    expect(bucket.watches).toBe(1);
    const token = await take(other, 'b.*', 'h');
    await other.renew('b.*', 'h', token, 60_000);
    await settle();
    expect(heard).toEqual([]);
    await other.release('b.*', 'h', token);
    await settle();
    expect(heard).toEqual(['b.*']);
    for (const stop of stops) stop?.();
    await clock.advance(5_000);
    expect(bucket.watches).toBe(0);
  });

  test('that ended wakes everybody once, and goes on with the next question', async () => {
    const { clock, bucket, driver, other } = bench();
    let wakes = 0;
    await driver.watch?.('key', () => wakes++);
    bucket.endWatches();
    await settle();
    expect(wakes).toBe(1);
    expect(bucket.watches).toBe(0);
    await ask(driver, 'key', 'a');
    await settle();
    expect(bucket.watches).toBe(1);
    wakes = 0;
    await driver.release('key', 'a', clock.now());
    await settle();
    expect(wakes).toBe(1);
    await driver.close?.();
    await other.release('key', 'b', await take(other, 'key', 'b'));
    await settle();
    expect([wakes, bucket.watches]).toEqual([1, 0]);
  });

  test('that cannot be opened says so', async () => {
    const { clock } = bench();
    const driver = natsLeases(
      new FakeBucket(clock).open((call) => (call === 'watch' ? 'not sent' : 'none')),
      { clock },
    );
    await expect(driver.watch?.('key', () => undefined)).rejects.toThrow('not sent');
  });
});
