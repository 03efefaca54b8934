import { settle } from '@chunks/base/testing';
import type { LeaseDriver } from '@chunks/locks/lease';
import { describe, expect, it } from 'vitest';
import { KeyWatch } from '../../src/lease/watch.ts';
import { alone, takeElsewhere } from '../lease-model.ts';

/** A driver whose watches are opened when the test says so. */
function byHand(): {
  driver: LeaseDriver;
  opened: { wake: () => void; answer: (stop: unknown) => void; fail: () => void }[];
} {
  const opened: { wake: () => void; answer: (stop: unknown) => void; fail: () => void }[] = [];
  const watch = (_: string, wake: () => void): Promise<never> =>
    new Promise((answer, reject) => {
      opened.push({ wake, answer: answer as (stop: unknown) => void, fail: () => reject(new Error('broken')) });
    });
  return { driver: { watch } as unknown as LeaseDriver, opened };
}

describe('a watch', () => {
  it('wakes once when it is open, for what was missed, and then at each release, until it is closed', async () => {
    const { driver, opened } = byHand();
    let [wakes, stops] = [0, 0];
    const watch = new KeyWatch(driver, 'k', () => wakes++);
    watch.open();
    watch.open();
    expect([opened.length, watch.isOpen]).toEqual([1, false]);
    opened[0]?.answer(() => stops++);
    await settle();
    expect([wakes, watch.isOpen]).toEqual([1, true]);
    opened[0]?.wake();
    expect(wakes).toBe(2);
    watch.close();
    watch.close();
    opened[0]?.wake();
    await settle();
    expect([wakes, stops, watch.isOpen]).toEqual([2, 1, false]);
    watch.open();
    expect(opened).toHaveLength(2);
  });

  it('that opens after it was closed is stopped, and not taken for the next one', async () => {
    const { driver, opened } = byHand();
    let [wakes, stops] = [0, 0];
    const watch = new KeyWatch(driver, 'k', () => wakes++);
    watch.open();
    watch.close();
    watch.open();
    opened[0]?.answer(() => stops++);
    await settle();
    expect([wakes, stops, watch.isOpen]).toEqual([0, 1, false]);
    opened[1]?.fail();
    await settle();
    watch.open();
    expect(opened).toHaveLength(3);
  });

  it('that breaks, hangs, or gives nothing that stops it does no more than make us poll', async () => {
    for (const watch of [
      () => Promise.reject(new Error('broken')),
      () => new Promise(() => undefined),
      async () => undefined,
      () => {
        throw new Error('broken');
      },
      async () => () => {
        throw new Error('does not stop');
      },
    ]) {
      const { clock, locks, store } = alone({}, (driver) => ({
        name: 'blind',
        modes: driver.modes,
        acquire: (...call) => driver.acquire(...call),
        renew: (...call) => driver.renew(...call),
        release: (...call) => driver.release(...call),
        watch: watch as NonNullable<LeaseDriver['watch']>,
      }));
      const token = await takeElsewhere(store, 'k');
      const waiting = locks.acquire('k');
      await clock.advance(700);
      await store.release('k', 'somebody else', token);
      // A broken one is polled for, one that says nothing is asked every second.
      await clock.advance(1_000);
      await (await waiting).release();
      await clock.advance(10_000);
      expect(locks.snapshot()).toEqual({ held: [], waiting: [] });
    }
  });

  it('is kept while anybody waits for the key, and no longer', async () => {
    const { clock, locks, store, peer } = alone({ handOff: { maxGrants: 1 } });
    const token = await takeElsewhere(store, 'k');
    const controller = new AbortController();
    const all = [locks.acquire('k'), locks.acquire('k'), locks.acquire('k', { signal: controller.signal })];
    all[2]?.catch(() => undefined);
    await settle();
    expect([peer.count('watch'), peer.count('unwatch')]).toEqual([1, 0]);
    await store.release('k', 'somebody else', token);
    await (await all[0])?.release();
    await clock.advance(5);
    expect([peer.count('watch'), peer.count('unwatch')]).toEqual([1, 0]);
    controller.abort();
    await settle();
    expect([peer.count('watch'), peer.count('unwatch')]).toEqual([1, 1]);
    await (await all[1])?.release();
    expect([peer.count('watch'), peer.count('unwatch')]).toEqual([1, 1]);
  });
});
