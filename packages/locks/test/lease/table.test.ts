import { settle, VirtualClock } from '@chunks/base/testing';
import type { Clock, LockMode } from '@chunks/locks';
import { type LeaseDriver, leaseLocker, memoryLeases } from '@chunks/locks/lease';
import type { LeaseFault } from '@chunks/locks/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../../../../.ci/testing/runs.ts';
import { type Attempt, alone, bare, LeaseWorld, takeElsewhere } from '../lease-model.ts';

const who = fc.nat(2);
const key = fc.constantFrom('a', 'a', 'b');
const mode = fc.constantFrom<LockMode>('exclusive', 'exclusive', 'shared');
const leaseMs = fc.constantFrom(60, 200, 2_000);
const maxHoldMs = fc.constantFrom(undefined, 90, 100_000);
const timeoutMs = fc.oneof(fc.constant(undefined), fc.integer({ min: 0, max: 300 }));
const pick = fc.nat(1_000);
const ms = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 40, max: 3_000 }));

const calm = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('acquire'), who, key, mode, leaseMs, maxHoldMs, timeoutMs }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('try'), who, key, mode, leaseMs, maxHoldMs }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('release'), pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('abort'), pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('extend'), pick, leaseMs }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('pass'), ms }) },
);
const wild = fc.oneof(
  { weight: 18, arbitrary: calm },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('stop'), who }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('go on'), who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('jump'), ms }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cut off'), who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('heal'), who }) },
);
type Step = typeof wild extends fc.Arbitrary<infer S> ? S : never;

/** What the network does to calls, one after the other, over and over. */
const fault: fc.Arbitrary<LeaseFault | undefined> = fc.oneof(
  { weight: 6, arbitrary: fc.constant(undefined) },
  { weight: 4, arbitrary: fc.record({ requestMs: fc.nat(40), replyMs: fc.nat(40) }) },
  { weight: 2, arbitrary: fc.constantFrom('unreachable' as const, 'reply lost' as const) },
  { weight: 1, arbitrary: fc.record({ replyMs: fc.constantFrom(Number.POSITIVE_INFINITY, 500) }) },
);

const use = ({ mode, leaseMs, maxHoldMs }: { mode: LockMode; leaseMs: number; maxHoldMs: number | undefined }) => ({
  mode,
  leaseMs,
  maxHoldMs,
});

async function play(world: LeaseWorld, one: Step, faults: readonly (LeaseFault | undefined)[]): Promise<void> {
  const chosen = (from: Attempt[], pick: number): Attempt | undefined => from[pick % Math.max(1, from.length)];
  const peer = 'who' in one ? world.processes[one.who % world.processes.length] : undefined;
  if (one.do === 'acquire') world.acquire(one.who, one.key, { ...use(one), timeoutMs: one.timeoutMs });
  if (one.do === 'try') world.tryAcquire(one.who, one.key, use(one));
  if (one.do === 'release') void world.release(chosen(world.with('held'), one.pick));
  if (one.do === 'abort') chosen(world.with('waiting'), one.pick)?.controller.abort(new Error('enough'));
  if (one.do === 'extend') {
    const extended = chosen(world.with('held'), one.pick)?.lock?.extend(one.leaseMs);
    extended?.catch(({ code }) => expect(code).toMatch(/^LOCK_(LOST|UNAVAILABLE)$/));
  }
  if (one.do === 'pass') await world.clock.advance(one.ms);
  if (one.do === 'jump') await world.jump(one.ms);
  if (one.do === 'stop') peer?.clock.stop();
  if (one.do === 'go on') {
    peer?.clock.goOn();
    // What it finds late it may do by a timer of 0 ms.
    await world.clock.advance(0);
  }
  if (one.do === 'cut off' && peer) peer.fault = () => 'unreachable';
  if (one.do === 'heal' && peer) peer.fault = ({ count }) => faults[count % Math.max(1, faults.length)];
}

const ticks = (step: fc.Arbitrary<Step>): fc.Arbitrary<Step[][]> =>
  fc.array(fc.array(step, { minLength: 1, maxLength: 3 }), { maxLength: 40 });

describe('several processes on one store', () => {
  it.each([
    ['all calm', calm, (driver: LeaseDriver) => driver],
    ['a bad network, and processes that stand still', wild, (driver: LeaseDriver) => driver],
    ['the same, on a store that keeps no line and tells of nothing', wild, bare],
  ])('never do what they must not, and leave nothing behind: %s', async (_, step, alter) => {
    await fc.assert(
      fc.asyncProperty(ticks(step as typeof wild), fc.array(fault, { maxLength: 20 }), async (rounds, faults) => {
        const world = new LeaseWorld(3, { handOff: { maxGrants: 3 }, requestTimeoutMs: 100 }, alter);
        for (const steps of rounds) {
          for (const one of steps) await play(world, one, faults);
          await world.check();
        }
        await world.end();
      }),
      { numRuns: runs(200) },
    );
  });
});

describe('a locker', () => {
  it('keeps nothing of keys that nobody holds or wants, and no timer', async () => {
    const { clock, locks, peer } = alone({ leaseMs: 100 });
    for (let i = 0; i < 100; i++) await locks.run(`k${i}`, () => undefined);
    await clock.advance(60);
    expect(locks.snapshot()).toEqual({ held: [], waiting: [] });
    expect(peer.clock.timers).toBe(0);
  });

  it('has one timer, whatever it holds and waits for', async () => {
    const { clock, locks, store, peer } = alone({ leaseMs: 1_000 });
    await takeElsewhere(store, 'busy');
    const all = Array.from({ length: 1_000 }, (_, i) => locks.acquire(`k${i}`));
    for (let i = 0; i < 1_000; i++) locks.acquire('busy', { timeoutMs: 1 + (i % 500) }).catch(() => undefined);
    for (let i = 0; i < 100; i++) {
      await clock.advance(7);
      expect(peer.clock.timers).toBe(1);
    }
    expect(locks.stats()).toMatchObject({ activeLocks: 1_000, timedOut: 1_000 });
    for (const lock of all) await (await lock).release();
  });

  it('keeps the process alive while somebody waits for nothing but time, and only then', async () => {
    const clock = new VirtualClock();
    let [sleeping, idle] = [0, 0];
    const counted: Clock = {
      now: () => clock.now(),
      after(ms, callback) {
        idle++;
        const cancel = clock.after(ms, () => {
          idle--;
          callback();
        });
        return () => {
          idle--;
          cancel();
        };
      },
      async sleep(ms, signal) {
        sleeping++;
        await clock.sleep(ms, signal).finally(() => sleeping--);
      },
    };
    const store = memoryLeases({ clock });
    const locks = leaseLocker(store, { clock: counted, leaseMs: 1_000 });
    const lock = await locks.acquire('k');
    expect([sleeping, idle]).toEqual([0, 1]);
    const token = await takeElsewhere(store, 'busy');
    const waiting = locks.acquire('busy');
    await settle();
    expect([sleeping, idle]).toEqual([1, 0]);
    await clock.advance(5_000);
    expect([sleeping, idle]).toEqual([1, 0]);
    await store.release('busy', 'somebody else', token);
    await (await waiting).release();
    await settle();
    expect([sleeping, idle]).toEqual([0, 1]);
    const retried = locks.acquire('k', { timeoutMs: 0, retry: { attempts: 2, baseMs: 1e6, maxMs: 1e6 } });
    retried.catch(() => undefined);
    await settle();
    expect([sleeping, idle]).toEqual([1, 0]);
    void locks.close();
    await settle();
    expect([sleeping, idle]).toEqual([0, 1]);
    await lock.release();
    await settle();
    expect([sleeping, idle]).toEqual([0, 0]);
  });

  it('gives rising tokens over restarts of processes and of the store', async () => {
    const clock = new VirtualClock();
    let last = 0;
    for (let restart = 0; restart < 5; restart++) {
      // A store that has forgotten everything goes on from its clock, which 128 grants a ms do not outrun.
      const store = memoryLeases({ clock });
      for (let peer = 0; peer < 2; peer++) {
        const locks = leaseLocker(store, { clock, handOff: { maxGrants: 127 } });
        const tokens: number[] = [];
        await Promise.all(Array.from({ length: 127 }, () => locks.run('k', ({ token }) => void tokens.push(token))));
        for (const token of tokens) {
          expect(token).toBeGreaterThan(last);
          last = token;
        }
        await locks.close();
      }
      await clock.advance(5);
    }
  });

  it('closes when what is held is released, renewed until then; then it closes the driver, once', async () => {
    const { clock, store, calls } = alone();
    let closed = 0;
    const driver: LeaseDriver = {
      name: 'to be closed',
      modes: ['exclusive'],
      acquire: (...call) => store.acquire(...call),
      renew: (...call) => store.renew(...call),
      release: (...call) => store.release(...call),
      close: async () => void closed++,
    };
    const locks = leaseLocker(driver, { clock, leaseMs: 100 });
    const lock = await locks.acquire('k', { maxHoldMs: 1e6 });
    const waiting = locks.acquire('k').catch(({ code }) => code);
    const asking = locks.acquire('other').catch(({ code }) => code);
    const closing = locks.close();
    expect(locks.close()).toBe(closing);
    expect(await Promise.all([waiting, asking])).toEqual(['LOCK_CLOSED', 'LOCK_CLOSED']);
    await clock.advance(1_000);
    expect([lock.held, closed]).toEqual([true, 0]);
    // What was asked for has come, and nobody wanted it any more.
    expect(await store.inspect?.('other')).toBeUndefined();
    expect(await lock.release()).toBe(true);
    await closing;
    await locks[Symbol.asyncDispose]();
    expect(closed).toBe(1);
    expect(clock.pending).toBe(0);
    expect(calls).toEqual([]);
    for (const refused of [
      locks.acquire('k'),
      locks.tryAcquire('k'),
      locks.acquireAll([]),
      locks.runAll([], () => 1),
    ]) {
      await expect(refused).rejects.toMatchObject({ code: 'LOCK_CLOSED' });
    }
  });

  it('says so when the driver cannot be closed', async () => {
    for (const close of [
      () => Promise.reject(new Error('no')),
      () => {
        throw new Error('no');
      },
    ]) {
      const locks = leaseLocker(Object.assign(memoryLeases(), { close }));
      await expect(locks.close()).rejects.toThrow('no');
    }
  });

  it('whose event loop was blocked finds everything as if its timers had been on time', async () => {
    const { clock, locks } = alone({ leaseMs: 100 });
    const lock = await locks.acquire('k', { maxHoldMs: 1e6 });
    const next = locks.acquire('k');
    const impatient = locks.acquire('k', { timeoutMs: 50 }).catch(({ waitedMs }) => waitedMs);
    clock.jump(1_000);
    expect(locks.stats()).toMatchObject({ activeLocks: 0, timedOut: 1, lost: 1, expired: 1, waiting: 1 });
    expect(await impatient).toBe(1_000);
    expect((await next).token).toBeGreaterThan(lock.token);
  });
});

describe('driver answers in any order', () => {
  it('never let two in, nor lose anybody', async () => {
    const task = fc.record({ who, key, mode, leaves: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(task, { minLength: 1, maxLength: 12 }), fc.scheduler(), async (tasks, s) => {
        const clock = new VirtualClock();
        const store = memoryLeases({ clock });
        const inside = new Map<string, number>();
        const order: number[] = [];
        const lockers = [0, 1, 2].map(() => leaseLocker(scheduled(store, s), { clock, random: () => 0.5 }));
        const all = tasks.map(async ({ who: peer, key: on, mode: as, leaves }, i) => {
          const controller = new AbortController();
          const done = lockers[peer]
            ?.run(
              on,
              async ({ held }) => {
                expect(held).toBe(true);
                order.push(i);
                const there = inside.get(on) ?? 0;
                expect(as === 'shared' ? there >= 0 : there === 0).toBe(true);
                inside.set(on, as === 'shared' ? there + 1 : -1);
                await s.schedule(Promise.resolve(), `work ${i}`);
                inside.set(on, as === 'shared' ? (inside.get(on) ?? 0) - 1 : 0);
              },
              { mode: as, signal: controller.signal },
            )
            .catch((reason) => expect(reason).toBe('leaves'));
          if (leaves) void s.schedule(Promise.resolve(), `abort ${i}`).then(() => controller.abort('leaves'));
          await done;
        });
        let isOver = false;
        void Promise.all(all).then(() => {
          isOver = true;
        });
        for (let turn = 0; turn < 5_000 && !isOver; turn++) {
          if (s.count() > 0) await s.waitOne();
          else await clock.advance(5);
          await settle();
        }
        expect(isOver).toBe(true);
        await s.waitIdle?.();
        for (const locks of lockers) expect(locks.snapshot()).toEqual({ held: [], waiting: [] });
        // Exclusive ones of one process on one key enter in the order in which they came.
        for (const peer of [0, 1, 2]) {
          for (const on of ['a', 'b']) {
            const mine = order.filter((i) => tasks[i]?.who === peer && tasks[i]?.key === on);
            expect(mine).toEqual([...mine].sort((x, y) => x - y));
          }
        }
      }),
      { numRuns: runs(150) },
    );
  });
});

/** Requests arrive, and answers come back, when the scheduler says so. */
function scheduled(driver: LeaseDriver, s: fc.Scheduler): LeaseDriver {
  const send = async <T>(name: string, call: () => Promise<T>): Promise<T> => {
    await s.schedule(Promise.resolve(), `${name} is sent`);
    const answer = await call();
    await s.schedule(Promise.resolve(), `${name} is answered`);
    return answer;
  };
  return {
    name: 'scheduled',
    modes: driver.modes,
    acquire: (...call) => send('acquire', () => driver.acquire(...call)),
    renew: (...call) => send('renew', () => driver.renew(...call)),
    release: (...call) => send('release', () => driver.release(...call)),
    watch: (wakeKey, wake) =>
      send('watch', () =>
        (driver.watch as NonNullable<typeof driver.watch>)(wakeKey, () => {
          void s.schedule(Promise.resolve(), 'wake').then(wake);
        }),
      ),
  };
}
