import { type LeaseDriver, memoryLeases } from '@chunks/locks/lease';
import { leaseDriverContract, VirtualClock } from '@chunks/locks/testing';
import { describe, expect, it } from 'vitest';

const abilities = {
  shared: true,
  inspect: true,
  watch: true,
  line: true,
  clock: 'injected',
  remote: false,
} as const;

describe('memoryLeases', () => {
  const cases = leaseDriverContract(() => {
    const clock = new VirtualClock();
    const store = memoryLeases({ clock });
    return {
      open: () => store,
      pass: (ms) => clock.advance(ms),
      now: () => clock.now(),
      turnBack: (ms) => clock.jump(-ms),
    };
  }, abilities);
  for (const { name, run } of cases) it(name, run);
});

const ask = (store: LeaseDriver, key: string, holder: string): ReturnType<LeaseDriver['acquire']> =>
  store.acquire(key, holder, 1_000, { mode: 'exclusive', signal: new AbortController().signal });

describe('the line in memory', () => {
  it('wakes who was handed a key whose lease had ended, as soon as anybody looks', async () => {
    const clock = new VirtualClock();
    const store = memoryLeases({ clock });
    await ask(store, 'k', 'dead');
    await ask(store, 'k', 'next');
    let woken = 0;
    await store.watch?.('k', () => woken++);
    clock.jump(1_000);
    expect(await store.inspect?.('k')).toMatchObject({ holder: 'next' });
    expect(woken).toBe(1);
  });

  it('gives what was handed on to somebody who leaves unasked to the one behind, at once', async () => {
    const clock = new VirtualClock();
    const store = memoryLeases({ clock });
    const first = (await ask(store, 'k', 'first')) as { token: number };
    await ask(store, 'k', 'gone');
    await ask(store, 'k', 'next');
    await store.release('k', 'first', first.token);
    expect(await store.inspect?.('k')).toMatchObject({ holder: 'gone' });
    expect(await store.release('k', 'gone', 0)).toBe(false);
    expect(await store.inspect?.('k')).toMatchObject({ holder: 'next' });
    // One that has been asked for is no place in the line any more.
    expect(await ask(store, 'k', 'next')).toHaveProperty('token');
    expect(await store.release('k', 'next', 0)).toBe(false);
    expect(await store.inspect?.('k')).toMatchObject({ holder: 'next' });
  });

  it('forgets keys whose tokens are older than a day, and gives them higher ones afterwards', async () => {
    const clock = new VirtualClock();
    const store = memoryLeases({ clock });
    const use = async (key: string): Promise<number> => {
      const { token } = (await ask(store, key, 'a')) as { token: number };
      await store.release(key, 'a', token);
      return token;
    };
    const before = await use('k');
    await clock.advance(86_400_000 - 1);
    clock.jump(-3_600_000);
    expect(await use('k')).toBeGreaterThan(before);
    const last = await use('k');
    await clock.advance(2 * 86_400_000);
    // Its record goes when others come.
    await use('other');
    clock.jump(-3_600_000);
    expect(await use('k')).toBeGreaterThan(last);
  });

  it('refuses what makes no sense', async () => {
    const store = memoryLeases({ clock: new VirtualClock() });
    const request = { mode: 'exclusive', signal: new AbortController().signal } as const;
    await expect(store.acquire('', 'h', 1, request)).rejects.toThrow(RangeError);
    await expect(store.acquire('k', '', 1, request)).rejects.toThrow(RangeError);
    await expect(store.acquire('k', 'h', 0, request)).rejects.toThrow(RangeError);
    await expect(store.acquire('k', 'h', 1, { ...request, mode: 'both' as 'shared' })).rejects.toThrow(RangeError);
    await expect(store.renew('k', 'h', 1, Number.NaN)).rejects.toThrow(RangeError);
    await expect(store.release('k', 'h', -1)).rejects.toThrow(RangeError);
  });
});
