import { VirtualClock } from '@chunks/base/testing';
import type { VersionedStore } from '@chunks/state';
import { natsStore } from '@chunks/state/nats';
import { describe, expect, test } from 'vitest';
import { FakeBucket } from './fake-kv.ts';

const { signal } = new AbortController();

describe('watches', () => {
  const ticksOf = (store: VersionedStore) => {
    const ticks = store.watch?.('key', { signal })[Symbol.asyncIterator]();
    if (ticks === undefined) throw new Error('no watch');
    return ticks;
  };

  test('end when the connection breaks, also while they are opened, and leave nothing behind', async () => {
    const bucket = new FakeBucket();
    let breaks = false;
    const turn = async (): Promise<void> => {
      if (breaks && bucket.connections.size > 0) for (const one of bucket.connections) one.push({ type: 'disconnect' });
    };
    const store = natsStore(bucket.open(turn));
    const ticks = ticksOf(store);
    await ticks.next();
    const next = ticks.next();
    for (const one of bucket.connections) {
      one.push({ type: 'reconnect' });
      one.push({ type: 'disconnect' });
    }
    await expect(next).rejects.toThrow('the connection was lost');
    breaks = true;
    await expect(ticksOf(store).next()).rejects.toThrow('the connection was lost');
    expect([bucket.consumers, bucket.connections.size]).toEqual([0, 0]);
  });

  test('look from time to time whether the bucket is still the same, and no longer than they last', async () => {
    const bucket = new FakeBucket();
    const clock = new VirtualClock();
    let calls = 0;
    const store = natsStore(
      bucket.open(async () => void calls++),
      { clock },
    );
    const ticks = ticksOf(store);
    await ticks.next();
    const next = ticks.next();
    next.catch(() => undefined);
    calls = 0;
    await clock.advance(60_000);
    // Two turns each.
    expect(calls).toBe(8);
    bucket.wipe();
    await clock.advance(15_000);
    await expect(next).rejects.toThrow('the bucket was deleted');
    expect(clock.pending).toBe(0);
    const left = ticksOf(store);
    await left.next();
    expect(clock.pending).toBe(1);
    await left.return?.();
    expect(clock.pending).toBe(0);
  });
});
