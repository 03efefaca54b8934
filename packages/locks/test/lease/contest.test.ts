import { settle } from '@chunks/base/testing';
import type { LeaseFault } from '@chunks/locks/testing';
import { describe, expect, it } from 'vitest';
import { alone, bare, LeaseWorld, takeElsewhere } from '../lease-model.ts';

describe('what the store is asked', () => {
  it('is two calls for a lock that nobody else wants', async () => {
    const { clock, locks, calls } = alone();
    await locks.run('k', () => undefined);
    await (await locks.tryAcquire('k'))?.release();
    expect(calls.map(({ method }) => method)).toEqual(['acquire', 'release', 'acquire', 'release']);
    await clock.advance(60_000);
    expect(calls).toHaveLength(4);
  });

  it('is one call for a try on a busy key, and nothing at all where somebody waits or holds here', async () => {
    const { clock, locks, store, peer } = alone();
    await takeElsewhere(store, 'k');
    expect(await locks.tryAcquire('k')).toBeUndefined();
    expect(peer.count('acquire')).toBe(1);
    await expect(locks.acquire('k', { timeoutMs: 0 })).rejects.toMatchObject({ code: 'LOCK_TIMEOUT', key: 'k' });
    expect(peer.count('acquire')).toBe(2);
    const waiting = locks.acquire('k');
    waiting.catch(() => undefined);
    await clock.advance(1);
    const asked = peer.count('acquire');
    expect(await locks.tryAcquire('k')).toBeUndefined();
    await expect(locks.acquire('k', { timeoutMs: 0 })).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
    expect(peer.count('acquire')).toBe(asked);
  });

  it('is once a second while waiting on a store that tells of releases, however many wait', async () => {
    for (const leaseMs of [1e9, 10_000]) {
      const { clock, locks, store, peer } = alone({ handOff: { maxGrants: 127 } });
      const token = await takeElsewhere(store, 'k', leaseMs);
      const all = Array.from({ length: 100 }, () => locks.acquire('k'));
      await clock.advance(100);
      const asked = peer.count('acquire', 'watch', 'inspect');
      // The first question, the watch, and the one for what the watch may have missed.
      expect(asked).toBe(3);
      for (let second = 0; second < 30; second++) {
        await clock.advance(1_000);
        await store.renew('k', 'somebody else', token, leaseMs);
      }
      expect(peer.calls.length - asked).toBeLessThanOrEqual(30);
      await store.release('k', 'somebody else', token);
      for (const lock of all) await (await lock).release();
    }
  });

  it('is twice a second at most for a short lease that is renewed all the time, and is there when that ends', async () => {
    const { clock, locks, store, peer } = alone();
    const token = await takeElsewhere(store, 'k', 90);
    const waiting = locks.acquire('k');
    for (let third = 0; third < 1_000; third++) {
      await clock.advance(30);
      await store.renew('k', 'somebody else', token, 90);
    }
    expect(peer.count('acquire')).toBeLessThanOrEqual(62);
    await clock.advance(1_090);
    expect((await waiting).waitedMs).toBeLessThanOrEqual(31_090);
  });

  it('comes at once when the lease of somebody dead ends', async () => {
    const { clock, locks, store } = alone();
    await takeElsewhere(store, 'k', 5_300);
    const waiting = locks.acquire('k');
    await clock.advance(5_300);
    expect((await waiting).waitedMs).toBe(5_300);
  });

  it('comes in jittered steps between minMs and maxMs where the store tells nothing', async () => {
    const random = [0, 0.999, 0.3, 0.7, 0.1];
    let drawn = 0;
    const options = { poll: { minMs: 20, maxMs: 200 }, random: () => random[drawn++ % random.length] as number };
    const { clock, locks, store, calls } = alone(options, bare);
    await takeElsewhere(store, 'k');
    locks.acquire('k', { timeoutMs: 10_000 }).catch(() => undefined);
    await clock.advance(10_000);
    const asked = calls.filter(({ method }) => method === 'acquire').map(({ atMs }) => atMs);
    const steps = asked.slice(1).map((atMs, i) => atMs - (asked[i] as number));
    expect(Math.min(...steps)).toBe(20);
    expect(Math.max(...steps)).toBe(200);
    expect(new Set(steps).size).toBeGreaterThan(4);
    expect(drawn).toBeGreaterThan(50);
  });

  it('is nothing more once nobody waits', async () => {
    for (const alter of [bare, undefined]) {
      const { clock, locks, store, calls, peer } = alone({}, alter);
      await takeElsewhere(store, 'k');
      locks.acquire('k', { timeoutMs: 3_000 }).catch(() => undefined);
      await clock.advance(3_001);
      const { length } = calls;
      await clock.advance(60_000);
      expect(calls).toHaveLength(length);
      expect(peer.clock.timers).toBe(0);
    }
  });
});

describe('an answer that does not come', () => {
  it('is asked for once more, in the same name, and then it is LOCK_UNAVAILABLE for all who wait', async () => {
    const { clock, locks, peer, calls } = alone();
    peer.fault = () => 'unreachable';
    const ends = Array.from({ length: 5 }, () => locks.acquire('k').catch((error) => error));
    await clock.advance(0);
    const errors = await Promise.all(ends);
    for (const error of errors) expect(error).toMatchObject({ code: 'LOCK_UNAVAILABLE', retryable: true, key: 'k' });
    expect(new Set(errors).size).toBe(5);
    expect(locks.stats()).toMatchObject({ rejected: 5, waiting: 0, activeLocks: 0 });
    peer.fault = ({ count }) => (count % 2 === 1 ? 'reply lost' : undefined);
    const before = calls.length;
    const lock = await locks.acquire('other');
    const sent = calls.slice(before);
    expect(sent.map(({ method }) => method)).toEqual(['acquire', 'acquire']);
    expect(sent[0]?.holder).toBe(sent[1]?.holder);
    expect(lock.held).toBe(true);
  });

  it('does not leave a ghost in our own way', async () => {
    const { clock, locks, peer, store } = alone();
    peer.fault = () => 'reply lost';
    await expect(locks.acquire('k')).rejects.toMatchObject({ code: 'LOCK_UNAVAILABLE' });
    expect(await store.inspect?.('k')).toBeDefined();
    peer.fault = () => undefined;
    const lock = await locks.tryAcquire('k');
    expect(lock?.held).toBe(true);
    await lock?.release();
    expect(await store.inspect?.('k')).toBeUndefined();
    // A name is used again for the very same question only, and forgotten when it cannot matter any more.
    peer.fault = () => 'reply lost';
    await expect(locks.acquire('k')).rejects.toMatchObject({ code: 'LOCK_UNAVAILABLE' });
    peer.fault = () => undefined;
    expect(await locks.tryAcquire('k', { mode: 'shared' })).toBeUndefined();
    await clock.advance(30_001);
    expect(peer.clock.timers).toBe(0);
    const holders = new Set(peer.calls.map(({ holder }) => holder));
    await (await locks.acquire('k'))?.release();
    expect(holders.has(peer.calls.at(-1)?.holder)).toBe(false);
  });

  it('is not asked for again when nobody wants it any more', async () => {
    const { clock, locks, peer } = alone();
    peer.fault = () => ({ replyMs: Number.POSITIVE_INFINITY });
    const end = locks.acquire('k', { timeoutMs: 10 }).catch(({ code }) => code);
    await clock.advance(10_000);
    expect(await end).toBe('LOCK_TIMEOUT');
    expect(peer.count('acquire')).toBe(1);
    expect(locks.snapshot()).toEqual({ held: [], waiting: [] });
  });

  it('that comes late after all is given back, unless the same name has asked again', async () => {
    // The answer to the first question comes after that to the second; or it is the second, or both, that are late.
    const plans: Record<string, LeaseFault[]> = {
      'first late, second in time': [{ replyMs: 7_000 }, {}],
      'first late, second failed': [{ replyMs: 7_000 }, 'unreachable'],
      'both late': [{ replyMs: 7_000 }, { replyMs: 7_000 }],
      'first comes through late, second failed': [{ requestMs: 7_000 }, 'unreachable'],
    };
    for (const [name, plan] of Object.entries(plans)) {
      const { clock, locks, peer, store } = alone({ leaseMs: 30_000 });
      peer.fault = ({ method }) => (method === 'acquire' ? plan.shift() : undefined);
      const end = locks.acquire('k', { maxHoldMs: 1e6 }).catch(({ code }) => code);
      await clock.advance(20_000);
      const lock = await end;
      if (name.startsWith('first late, second in time')) {
        expect(lock.held, name).toBe(true);
        await clock.advance(100_000);
        expect(lock.held, name).toBe(true);
        expect(await lock.release(), name).toBe(true);
      } else expect(lock, name).toBe('LOCK_UNAVAILABLE');
      expect(await store.inspect?.('k'), name).toBeUndefined();
    }
  });

  it('that comes late, when the next one already asks in the same name, is taken for what it is', async () => {
    const { clock, locks, peer, store } = alone({ leaseMs: 30_000 });
    const plan: LeaseFault[] = [{ replyMs: 6_000 }, 'unreachable', { requestMs: 3_000 }];
    peer.fault = ({ method }) => (method === 'acquire' ? plan.shift() : undefined);
    const first = locks.acquire('k').catch(({ code }) => code);
    await clock.advance(5_000);
    expect(await first).toBe('LOCK_UNAVAILABLE');
    const second = locks.acquire('k');
    await clock.advance(3_000);
    expect((await second).held).toBe(true);
    expect(peer.count('release')).toBe(0);
    await (await second).release();
    expect(await store.inspect?.('k')).toBeUndefined();
  });

  it('counts as none when the lease was over by then', async () => {
    for (const blocked of [1, 2]) {
      const { clock, locks, peer, store } = alone({ leaseMs: 100 });
      peer.fault = ({ method }) => (method === 'acquire' ? { replyMs: 10 } : undefined);
      const end = locks.acquire('k').catch((error) => error);
      for (let turn = 0; turn < blocked; turn++) {
        peer.clock.stop();
        await clock.advance(10);
        clock.jump(200);
        peer.clock.goOn();
        await settle();
      }
      await clock.advance(10);
      // The question is put once more, and that answer is a fresh one; or that one is too late, too.
      if (blocked === 1) expect((await end).held).toBe(true);
      else expect(await end).toMatchObject({ code: 'LOCK_UNAVAILABLE', cause: { name: 'TimeoutError' } });
      expect(peer.count('acquire')).toBe(2);
      await clock.advance(2_000);
      expect(await store.inspect?.('k')).toBeUndefined();
    }
  });
});

describe('the question that is on its way when its waiter leaves', () => {
  it('is the next one’s, who is granted what it brings', async () => {
    for (const leaves of ['by timeout', 'by abort']) {
      const { clock, locks, peer } = alone();
      peer.fault = ({ method }) => (method === 'acquire' ? { replyMs: 100 } : undefined);
      const controller = new AbortController();
      const first = locks
        .acquire('k', { timeoutMs: leaves === 'by timeout' ? 50 : undefined, signal: controller.signal })
        .catch((error) => error);
      await clock.advance(50);
      if (leaves === 'by abort') controller.abort('gone');
      const startMs = clock.now();
      expect(await first).toEqual(leaves === 'by abort' ? 'gone' : expect.objectContaining({ waitedMs: 50 }));
      expect(clock.now()).toBe(startMs);
      const second = locks.acquire('k');
      await clock.advance(50);
      expect((await second).held).toBe(true);
      expect(peer.count('acquire')).toBe(1);
    }
  });

  it('is given back when there is no next one, and by nobody’s leave but its own', async () => {
    const { clock, locks, peer, store } = alone();
    peer.fault = ({ method }) => (method === 'acquire' ? { replyMs: 100 } : undefined);
    locks.acquire('k', { timeoutMs: 50 }).catch(() => undefined);
    await clock.advance(200);
    expect(peer.calls.map(({ method }) => method)).toEqual(['acquire', 'release']);
    expect(await store.inspect?.('k')).toBeUndefined();
    expect(locks.snapshot()).toEqual({ held: [], waiting: [] });
  });

  it('serves an exclusive one after a shared one not, and asks anew', async () => {
    const { clock, locks, peer } = alone();
    peer.fault = ({ method }) => (method === 'acquire' ? { replyMs: 100 } : undefined);
    locks.acquire('k', { mode: 'shared', timeoutMs: 50 }).catch(() => undefined);
    const second = locks.acquire('k');
    await clock.advance(300);
    expect((await second).held).toBe(true);
    expect(peer.calls.map(({ method }) => method)).toEqual(['acquire', 'release', 'acquire']);
  });

  it('leaves the store’s line when nobody is left who wants it', async () => {
    const { clock, locks, store } = alone();
    const token = await takeElsewhere(store, 'k');
    locks.acquire('k', { timeoutMs: 50 }).catch(() => undefined);
    expect(await locks.tryAcquire('k')).toBeUndefined();
    await clock.advance(50);
    expect(await store.renew('k', 'somebody else', token, 1_000)).toBe(true);
    await store.release('k', 'somebody else', token);
    expect(await store.inspect?.('k')).toBeUndefined();
  });
});

describe('other processes', () => {
  it('get a key within the time of one poll, however many wait here', async () => {
    const world = new LeaseWorld(2, { leaseMs: 1_000, poll: { minMs: 20, maxMs: 200 } }, bare);
    const busy = Array.from({ length: 10_000 }, () => world.acquire(0, 'k', {}));
    const other = world.acquire(1, 'k');
    for (let step = 0; step < 400 && other.fate === 'waiting'; step++) {
      for (const attempt of world.held()) void world.release(attempt);
      await world.clock.advance(5);
    }
    expect(other.fate).toBe('held');
    // It had to wait for one round of hand-offs, and for no second one.
    expect(world.clock.now() - (busy[0]?.lock?.acquiredAtMs ?? 0)).toBeLessThanOrEqual(500 + 200 + 20);
    for (const attempt of world.with('waiting')) attempt.controller.abort(new Error('enough'));
    await world.end();
  });
});
