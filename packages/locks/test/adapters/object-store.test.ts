import { VirtualClock } from '@chunks/base/testing';
import { conditionalPutFront, type FrontFault } from '@chunks/locks/testing';
import { AwsClient } from 'aws4fetch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Pace } from '../../../../.ci/testing/pace.ts';
import { runs } from '../../../../.ci/testing/runs.ts';
import { objectStoreLeases, type S3Fetch, s3Bucket } from '../../src/adapters/object-store.ts';
import { leaseLocker } from '../../src/lease.ts';
import type { LeaseDriver } from '../../src/lease-driver.ts';
import { ask, take } from '../../src/testing/lease-bench.ts';
import {
  type LeaseAbilities,
  type LeaseBench,
  type LockerBench,
  leaseDriverContract,
  lockerContract,
} from '../../src/testing.ts';

const url = 'https://s3.test/bucket';

const abilities: LeaseAbilities = {
  shared: false,
  inspect: true,
  watch: false,
  line: false,
  clock: 'store',
  remote: true,
};

// A second for the skew, and S3's whole seconds on both sides of the comparison.
const LATE_MS = 3_000;

function s3Bench(): LeaseBench {
  const clock = new VirtualClock(1_700_000_000_700);
  const front = conditionalPutFront({ clock });
  const open = (fetch: S3Fetch = front): LeaseDriver => objectStoreLeases(s3Bucket({ url, fetch }), { clock });
  return {
    open: () => open(),
    pass: (ms) => clock.advance(ms + LATE_MS),
    now: () => Math.floor(clock.now() / 1_000) * 1_000,
    shortMs: 10_000,
    outage() {
      let isDown = true;
      const driver = open((...args) => (isDown ? Promise.reject(new TypeError('fetch failed')) : front(...args)));
      return {
        driver,
        end() {
          isDown = false;
        },
      };
    },
  };
}

describe('objectStoreLeases on S3', () => {
  for (const { name, run } of leaseDriverContract(s3Bench, abilities)) test(name, run);
});

function lockerBench(): LockerBench {
  const clock = new VirtualClock(1_700_000_000_700);
  const front = conditionalPutFront({ clock });
  const pace = new Pace(clock, 500);
  return {
    open(options) {
      const fetch: S3Fetch = (...args) => pace.request(front(...args));
      return leaseLocker(objectStoreLeases(s3Bucket({ url, fetch }), { clock }), { ...options, clock });
    },
    pass: (ms) => pace.pass(ms),
    shortMs: 10_000,
  };
}

describe('leaseLocker over S3', () => {
  for (const { name, run } of lockerContract(lockerBench, { shared: false })) test(name, run);
});

/** One store, with a hand on its network and an eye on every request. */
class Rig {
  readonly clock: VirtualClock = new VirtualClock(1_700_000_000_000);
  readonly requests: string[] = [];
  /** For the coming requests, in their order; then all goes well. */
  readonly faults: (FrontFault | undefined)[] = [];
  /** For all requests to one object. */
  ignores: string | undefined;
  readonly fetch: S3Fetch = conditionalPutFront({
    clock: this.clock,
    fault: (request) => {
      this.requests.push(`${request.method}${request.url.endsWith('probe') ? ' probe' : ''}`);
      const condition = request.headers.has('if-match') ? 'if-match' : 'if-none-match';
      return this.ignores === condition ? 'unconditional' : this.faults.shift();
    },
  });
  readonly driver: LeaseDriver = this.open();

  open(options: Parameters<typeof objectStoreLeases>[1] = {}): LeaseDriver {
    return objectStoreLeases(s3Bucket({ url, fetch: this.fetch }), { clock: this.clock, ...options });
  }

  /** What has been asked since the last look. */
  asked(): string[] {
    return this.requests.splice(0);
  }

  /** With these faults; afterwards none is left over. */
  async with<T>(faults: (FrontFault | undefined)[], call: () => Promise<T>): Promise<T> {
    this.faults.push(...faults);
    try {
      return await call();
    } finally {
      expect(this.faults.splice(0)).toEqual([]);
    }
  }
}

/** A rig whose driver has proved its store. */
async function ready(): Promise<Rig> {
  const rig = new Rig();
  await rig.driver.release('other', 'h', await take(rig.driver, 'other', 'h'));
  rig.asked();
  return rig;
}

describe('requests', () => {
  test('two to acquire, one to renew, one to release; one to look at a busy key', async () => {
    const rig = await ready();
    const token = await take(rig.driver, 'key', 'a');
    expect(rig.asked()).toEqual(['GET', 'PUT']);
    expect(await rig.driver.renew('key', 'a', token, 60_000)).toBe(true);
    expect(rig.asked()).toEqual(['PUT']);
    expect(await ask(rig.driver, 'key', 'b')).toMatchObject({ busy: true });
    expect(rig.asked()).toEqual(['GET']);
    expect(await rig.driver.release('key', 'b', 0)).toBe(false);
    expect(rig.asked()).toEqual([]);
    expect(await rig.driver.inspect?.('key')).toMatchObject({ holder: 'a' });
    expect(rig.asked()).toEqual(['GET']);
    expect(await rig.driver.release('key', 'a', token)).toBe(true);
    expect(rig.asked()).toEqual(['PUT']);
    await take(rig.driver, 'key', 'b');
    expect(rig.asked()).toEqual(['GET', 'PUT']);
  });

  test('the first call of a driver proves the store, calls at the same time wait for that', async () => {
    const rig = new Rig();
    await Promise.all([take(rig.driver, 'a', 'h'), take(rig.driver, 'b', 'h')]);
    expect(rig.asked().filter((asked) => asked.endsWith('probe'))).toHaveLength(3);
    await take(rig.driver, 'c', 'h');
    expect(rig.asked()).toEqual(['GET', 'PUT']);
    // The object is there by now.
    await take(rig.open(), 'd', 'h');
    expect(rig.asked()).toEqual(['PUT probe', 'PUT probe', 'GET', 'PUT']);
    await take(rig.open({ probe: false }), 'e', 'h');
    expect(rig.asked()).toEqual(['GET', 'PUT']);
  });

  test('what a driver remembers of its own leases goes with them', async () => {
    const rig = await ready();
    for (let i = 0; i < 200; i++) {
      await take(rig.driver, `dead ${i}`, 'h', 1_000);
      await rig.clock.advance(1_000);
    }
    const token = await take(rig.driver, 'key', 'h');
    rig.asked();
    expect(await rig.driver.release('key', 'h', token)).toBe(true);
    expect(rig.asked()).toEqual(['PUT']);
  });
});

describe('a store that ignores conditions', () => {
  test.each(['if-match', 'if-none-match'])('%s: lets nobody in', async (header) => {
    const rig = new Rig();
    rig.ignores = header;
    for (const call of [
      () => ask(rig.driver, 'key', 'a'),
      () => rig.driver.renew('key', 'a', 1, 60_000),
      () => rig.driver.release('key', 'a', 1),
    ]) {
      await expect(call()).rejects.toThrow('the bucket ignores If-Match or If-None-Match');
    }
    expect(rig.requests.every((asked) => asked === 'PUT probe')).toBe(true);
    // Once it has been mended, the same driver finds out.
    rig.ignores = undefined;
    await take(rig.driver, 'key', 'a');
  });

  test('a probe that fails proves nothing, and is tried again', async () => {
    const rig = new Rig();
    await rig.with(['unreachable'], () => expect(ask(rig.driver, 'key', 'a')).rejects.toThrow('not reached'));
    await rig.with([undefined, 'broken'], () => expect(ask(rig.driver, 'key', 'a')).rejects.toThrow('500'));
    await take(rig.driver, 'key', 'a');
  });
});

describe('busy, unreachable and lost', () => {
  test('a race that was lost is busy, by whom; requests that fail are neither', async () => {
    const rig = await ready();
    const other = rig.open({ probe: false });
    // Both have read that it is free.
    const [mine, theirs] = await Promise.all([ask(rig.driver, 'key', 'a'), ask(other, 'key', 'b')]);
    expect([mine, theirs].filter((answer) => 'token' in answer)).toHaveLength(1);
    expect([mine, theirs].find((answer) => 'busy' in answer)).toMatchObject({
      busy: true,
      holder: 'token' in mine ? 'a' : 'b',
    });
    for (const fault of ['unreachable', 'lost', 'unavailable', 'broken'] as const) {
      await rig.with([fault], () => expect(ask(other, 'key', 'c')).rejects.toBeInstanceOf(Error));
    }
  });

  test.each(['lost', 'broken'] as const)('acquire: the answer was %s, and the holder finds itself', async (fault) => {
    const rig = await ready();
    await rig.with([undefined, fault], () => expect(ask(rig.driver, 'key', 'a')).rejects.toBeInstanceOf(Error));
    const [{ holder } = {}] = [await rig.driver.inspect?.('key')];
    expect(holder).toBe('a');
    const written = JSON.parse(
      await (await rig.fetch(`${url}/locks/key.lease`, { method: 'GET', headers: {} })).text(),
    );
    expect(await take(rig.driver, 'key', 'a')).toBe(written.token);
    expect(await rig.driver.release('key', 'a', written.token)).toBe(true);
  });

  test.each(['lost', 'broken'] as const)(
    'renew: the answer was %s, and the next one goes on from there',
    async (fault) => {
      const rig = await ready();
      const token = await take(rig.driver, 'key', 'a');
      await rig.with([fault], () => expect(rig.driver.renew('key', 'a', token, 90_000)).rejects.toBeInstanceOf(Error));
      rig.asked();
      expect(await rig.driver.renew('key', 'a', token, 90_000)).toBe(true);
      expect(rig.asked()).toEqual(['PUT', 'GET', 'PUT']);
      expect(await rig.driver.release('key', 'a', token)).toBe(true);
    },
  );

  test.each(['lost', 'broken'] as const)('release: the answer was %s, and asking again says so once', async (fault) => {
    const rig = await ready();
    const token = await take(rig.driver, 'key', 'a');
    await rig.with([fault], () => expect(rig.driver.release('key', 'a', token)).rejects.toBeInstanceOf(Error));
    expect(await rig.driver.release('key', 'a', token)).toBe(true);
    expect(await rig.driver.release('key', 'a', token)).toBe(false);
  });

  test('a lease that somebody else took over is lost, not busy and not unreachable', async () => {
    const rig = await ready();
    const token = await take(rig.driver, 'key', 'a', 10_000);
    await rig.clock.advance(9_000);
    const other = rig.open();
    expect(await ask(other, 'key', 'b')).toMatchObject({ busy: true, retryAfterMs: 1_999 });
    await rig.clock.advance(3_999);
    const next = await take(other, 'key', 'b');
    expect(next).toBeGreaterThan(token);
    expect(await rig.driver.renew('key', 'a', token, 10_000)).toBe(false);
    expect(await rig.driver.release('key', 'a', token)).toBe(false);
    expect(await other.release('key', 'b', next)).toBe(true);
  });

  test('409 is somebody at work: read again, and try again', async () => {
    const rig = await ready();
    const token = await rig.with([undefined, 'conflict'], () => take(rig.driver, 'key', 'a'));
    expect(rig.asked()).toEqual(['GET', 'PUT', 'GET', 'PUT']);
    expect(await rig.with(['conflict'], () => rig.driver.renew('key', 'a', token, 60_000))).toBe(true);
    expect(rig.asked()).toEqual(['PUT', 'GET', 'PUT']);
    expect(await rig.with(['conflict'], () => rig.driver.release('key', 'a', token))).toBe(true);
  });

  test('a store that refuses for ever without anybody being first is out of reach', async () => {
    const rig = await ready();
    const token = await take(rig.driver, 'mine', 'a');
    const stuck = (first: number): (FrontFault | undefined)[] =>
      Array.from({ length: 10 }, (_, i) => (i % 2 === first ? 'conflict' : undefined));
    await rig.with([...stuck(1), undefined], () =>
      expect(ask(rig.driver, 'key', 'a')).rejects.toThrow('the bucket shows version undefined, and refuses'),
    );
    await rig.with([...stuck(0), undefined].slice(0, 10), () =>
      expect(rig.driver.renew('mine', 'a', token, 60_000)).rejects.toThrow('and refuses to replace it'),
    );
  });

  test('others that come and go in between, five times over, are busy', async () => {
    const rig = await ready();
    const other = rig.open({ probe: false });
    const put = rig.fetch;
    let rounds = 0;
    const unlucky = s3Bucket({
      url,
      async fetch(target, init) {
        if (init.method === 'PUT') {
          rounds++;
          await other.release('key', `o${rounds}`, await take(other, 'key', `o${rounds}`));
        }
        return put(target, init);
      },
    });
    const driver = objectStoreLeases(unlucky, { clock: rig.clock, probe: false });
    expect(await ask(driver, 'key', 'a')).toEqual({ busy: true });
    expect(rounds).toBe(5);
  });

  test('what is no lease is neither free nor written over', async () => {
    const rig = await ready();
    const file = `${url}/locks/key.lease`;
    await rig.fetch(file, { method: 'PUT', headers: {}, body: 'my thesis' });
    for (const call of [
      () => ask(rig.driver, 'key', 'a'),
      () => rig.driver.renew('key', 'a', 1, 60_000),
      () => rig.driver.release('key', 'a', 1),
      () => rig.driver.inspect?.('key'),
    ]) {
      await expect(call()).rejects.toThrow('object locks/key.lease holds no lease');
    }
    expect(await (await rig.fetch(file, { method: 'GET', headers: {} })).text()).toBe('my thesis');
  });

  test('an abort before the write leaves nothing behind', async () => {
    const rig = await ready();
    const leaving = new AbortController();
    const reason = new Error('not needed any more');
    const asked = rig.driver.acquire('key', 'a', 60_000, { mode: 'exclusive', signal: leaving.signal });
    leaving.abort(reason);
    await expect(asked).rejects.toBe(reason);
    expect(rig.asked()).toEqual(['GET']);
    expect(await rig.driver.inspect?.('key')).toBe(undefined);
  });
});

describe('time is the store’s', () => {
  test.each([-3_600_000, 3_600_000])('a client whose clock is %i ms off takes nobody’s lease', async (offMs) => {
    const rig = await ready();
    const off = objectStoreLeases(s3Bucket({ url, fetch: rig.fetch }), {
      clock: new VirtualClock(rig.clock.now() + offMs),
    });
    const token = await take(rig.driver, 'key', 'a');
    expect(await ask(off, 'key', 'b')).toMatchObject({ busy: true, holder: 'a', retryAfterMs: 60_000 });
    expect(await rig.driver.release('key', 'a', token)).toBe(true);
    const next = await take(off, 'key', 'b');
    expect(next - token).toBe(1);
    expect(await ask(rig.driver, 'key', 'c')).toMatchObject({ busy: true, holder: 'b' });
    expect(await off.release('key', 'b', next)).toBe(true);
  });

  test('tokens go on from the clock when a lifecycle rule took the object away', async () => {
    const rig = await ready();
    const token = await take(rig.driver, 'key', 'a');
    await rig.driver.release('key', 'a', token);
    await rig.clock.advance(86_400_000);
    await rig.fetch(`${url}/locks/key.lease`, { method: 'DELETE', headers: {} });
    expect(await take(rig.driver, 'key', 'b')).toBeGreaterThan(token);
  });

  test('a lease whose object is taken away is lost', async () => {
    const rig = await ready();
    const token = await take(rig.driver, 'key', 'a');
    await rig.fetch(`${url}/locks/key.lease`, { method: 'DELETE', headers: {} });
    expect(await rig.driver.renew('key', 'a', token, 60_000)).toBe(false);
    expect(await rig.driver.release('key', 'a', token)).toBe(false);
  });
});

test('a signing client is passed in as `fetch`', async () => {
  const front = conditionalPutFront();
  const aws = new AwsClient({ accessKeyId: 'id', secretAccessKey: 'secret', service: 's3', region: 'eu-central-1' });
  const signed: string[] = [];
  const fetch: S3Fetch = async (target, init) => {
    const request = await aws.sign(target, init);
    signed.push(/SignedHeaders=([^,]*)/.exec(request.headers.get('authorization') ?? '')?.[1] ?? '');
    return front(request);
  };
  const driver = objectStoreLeases(s3Bucket({ url, fetch }), { probe: false });
  const token = await take(driver, 'a b/c+d', 'h');
  expect(await driver.release('a b/c+d', 'h', token)).toBe(true);
  // Its own `fetch` does both, sign and send.
  expect(s3Bucket({ url, fetch: aws.fetch.bind(aws) })).toHaveProperty('put');
  // What a condition says is signed too: nobody on the way can take it off.
  expect(signed).toEqual([
    expect.stringContaining('cache-control'),
    expect.stringContaining('if-none-match'),
    expect.stringContaining('if-match'),
  ]);
});

test.each<[options: unknown, message: string]>([
  [{ prefix: 1 }, 'prefix must be a string, but is 1'],
  [{ prefix: '/locks' }, 'prefix must be of letters, digits and _-./, without empty or dotted segments'],
  [{ prefix: 'a/../b' }, 'prefix must be'],
  [{ prefix: 'é/' }, 'prefix must be'],
  [{ skewMs: -1 }, 'skewMs must be a number ≥ 0, but is -1'],
])('refuses %j', (options, message) => {
  const bucket = s3Bucket({ url, fetch: conditionalPutFront() });
  expect(() => objectStoreLeases(bucket, options as Parameters<typeof objectStoreLeases>[1])).toThrow(message);
});

test('refuses what is no lease, before it asks', async () => {
  const rig = new Rig();
  await expect(ask(rig.driver, '', 'a')).rejects.toThrow('key must be a non-empty string');
  for (const leaseMs of [0, Number.NaN, Number.POSITIVE_INFINITY]) {
    await expect(ask(rig.driver, 'key', 'a', leaseMs)).rejects.toThrow('leaseMs must be a number from 1 to');
    await expect(rig.driver.renew('key', 'a', 1, leaseMs)).rejects.toThrow('leaseMs must be a number from 1 to');
  }
  expect(rig.asked()).toEqual([]);
});

test('refuses what is no bucket', () => {
  expect(() => objectStoreLeases(undefined as never)).toThrow('bucket.get must be a function, but is undefined');
  expect(() => objectStoreLeases({ get() {} } as never)).toThrow('bucket.put must be a function, but is undefined');
});

interface Step {
  readonly client: number;
  readonly kind: 'cycle' | 'die' | 'pass';
  readonly leaseMs: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  client: fc.integer({ min: 0, max: 2 }),
  kind: fc.constantFrom('cycle', 'cycle', 'die', 'pass'),
  leaseMs: fc.constantFrom(3_000, 20_000),
});

type Wrong = FrontFault | 'given up' | undefined;
const wrongs: fc.Arbitrary<Wrong[]> = fc.array(
  fc.constantFrom(
    undefined,
    undefined,
    undefined,
    'unreachable',
    'lost',
    'broken',
    'conflict',
    'unavailable',
    'given up',
  ),
  { maxLength: 30 },
);

/** What every holder was told, held against everybody else's. */
class Witness {
  readonly #live = new Map<string, number>();
  readonly #clock: VirtualClock;
  #last = { holder: '', token: 0 };

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  granted(holder: string, token: number, untilMs: number): void {
    // An answer that came after the end of its lease says nothing.
    if (untilMs <= this.#clock.now()) return;
    if (holder === this.#last.holder) expect(token).toBeGreaterThanOrEqual(this.#last.token);
    else expect(token).toBeGreaterThan(this.#last.token);
    this.#last = { holder, token };
    this.lives(holder, untilMs);
  }

  lives(holder: string, untilMs: number): void {
    const now = this.#clock.now();
    if (untilMs <= now) return;
    expect([...this.#live].filter(([other, otherMs]) => other !== holder && otherMs > now)).toEqual([]);
    this.#live.set(holder, untilMs);
  }

  gone(holder: string): void {
    this.#live.delete(holder);
  }
}

test('whatever comes late, twice or never: one holder at a time, tokens rise', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), wrongs, fc.scheduler(), async (steps, wrong, scheduler) => {
      const coming = [...wrong];
      const clock = new VirtualClock(1_700_000_000_000);
      const witness = new Witness(clock);
      let fault: FrontFault | undefined;
      const front = conditionalPutFront({ clock, fault: () => fault });
      // Requests arrive in any order, and so do their answers.
      const fetch: S3Fetch = async (target, init) => {
        const what = coming.shift();
        const arrived = scheduler.schedule(Promise.resolve(), 'request').then(() => {
          fault = what === 'given up' ? undefined : what;
          return front(target, init);
        });
        if (what === 'given up') throw new TypeError('the front took too long');
        return arrived.finally(() => scheduler.schedule(Promise.resolve(), 'answer'));
      };

      async function cycle(driver: LeaseDriver, holder: string, { kind, leaseMs }: Step): Promise<void> {
        const sentMs = clock.now();
        const answer = await ask(driver, 'key', holder, leaseMs);
        if (!('token' in answer)) return;
        witness.granted(holder, answer.token, sentMs + leaseMs);
        if (kind === 'die') return;
        const againMs = clock.now();
        if (await driver.renew('key', holder, answer.token, leaseMs)) witness.lives(holder, againMs + leaseMs);
        witness.gone(holder);
        await driver.release('key', holder, answer.token);
      }

      const clients = [0, 1, 2].map(async (client) => {
        const driver = objectStoreLeases(s3Bucket({ url, fetch }), { clock, probe: false });
        let holder = `${client}`;
        for (const [i, one] of steps.entries()) {
          if (one.client !== client) continue;
          if (one.kind === 'pass') clock.jump(one.leaseMs);
          // Who got no answer may be in, so it asks again under its name, as the locker does.
          else await cycle(driver, holder, one).then(() => (holder = `${client}-${i}`), outOfReach);
        }
      });
      await scheduler.waitFor(Promise.all(clients));
    }),
    { numRuns: runs(400) },
  );
});

const outOfReach = (error: Error): void => expect(error.message).toMatch(/front|S3/);
