import { settle, VirtualClock } from '@chunks/base/testing';
import { ChunkManager, memoryChunkStore } from '@chunks/manager';
import { expect, test } from 'vitest';
import { ConductedOrigin, contentOf } from './support/origin.ts';

const setUp = async () => {
  const origin = new ConductedOrigin(contentOf(1000));
  const clock = new VirtualClock();
  const manager = new ChunkManager({
    ...origin,
    store: memoryChunkStore(),
    chunkSizeBytes: 10,
    concurrency: 1,
    initialBufferBytes: 25,
    clock,
  });
  await manager.openFile({ id: 'film', totalBytes: 1000 });
  // Holds the one slot, so that all that the window wants stays queued.
  manager.requestChunk('film', 99, { owner: 'other' });
  await settle();
  const queued = (): Record<string, string> => {
    const names = ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'];
    const found: Record<string, string> = {};
    for (const { chunks, state, priority } of manager.snapshot('film').runs) {
      if (state === 'queued') found[names[priority as number] as string] = `${chunks.firstChunk}–${chunks.endChunk}`;
    }
    return found;
  };
  return { clock, manager, origin, queued };
};

test('at the start the initial buffer is HIGH, whatever the rate', async () => {
  const { manager, queued } = await setUp();
  manager.playhead('film', { owner: 'me', byte: 100 });
  expect(queued()).toEqual({ HIGH: '10–13' });
});

test('HIGH within 5 s, MEDIUM up to the seconds asked for', async () => {
  const { manager, queued } = await setUp();
  // 8 bytes a second.
  manager.playhead('film', { owner: 'me', byte: 0, bitrateBitsPerSecond: 64 });
  expect(queued()).toEqual({ HIGH: '0–4', MEDIUM: '4–24' });
  expect(manager.snapshot('film').cursors).toEqual([{ owner: 'me', byte: 0, window: { startByte: 0, endByte: 240 } }]);
  manager.playhead('film', { owner: 'me', byte: 20, bitrateBitsPerSecond: 64, seconds: 10 });
  expect(queued()).toEqual({ HIGH: '2–6', MEDIUM: '6–10' });
});

test('without a bitrate the rate is measured from the moves', async () => {
  const { clock, manager, queued } = await setUp();
  manager.playhead('film', { owner: 'me', byte: 0 });
  await clock.advance(2_000);
  manager.playhead('film', { owner: 'me', byte: 20 });
  expect(queued()).toEqual({ HIGH: '2–7', MEDIUM: '7–32' });
});

test('a seek wants the new place and no longer the old one', async () => {
  const { clock, manager, origin, queued } = await setUp();
  manager.cancelRequests('film', { owner: 'other' });
  manager.playhead('film', { owner: 'me', byte: 0, bitrateBitsPerSecond: 64 });
  await settle();
  expect(origin.call(0).aborted).toBe(false);
  manager.playhead('film', { owner: 'me', byte: 900, bitrateBitsPerSecond: 0 });
  await settle();
  expect(origin.call(0).aborted).toBe(true);
  expect(origin.asked.at(-1)).toBe(90);
  expect(queued()).toEqual({ HIGH: '91–93' });
  manager.playhead('film', { owner: 'me', byte: 1000 });
  await settle();
  expect(manager.stats().active).toBe(0);
  expect(clock.pending).toBe(0);
});

test('each reader has a window of its own; its signal ends it', async () => {
  const { manager, queued } = await setUp();
  const leaving = new AbortController();
  manager.playhead('film', { owner: 'me', byte: 0, signal: leaving.signal });
  manager.playhead('film', { owner: 'you', byte: 200 });
  expect(manager.snapshot('film').cursors.map(({ owner }) => owner)).toEqual(['me', 'you']);
  leaving.abort();
  expect(queued()).toEqual({ HIGH: '20–23' });
  expect(manager.snapshot('film').cursors.map(({ owner }) => owner)).toEqual(['you']);
  manager.playhead('film', { owner: 'you', byte: 200, signal: AbortSignal.abort() });
  expect(queued()).toEqual({});
});

test('a window leaves alone what others want, and what is here', async () => {
  const { manager, origin, queued } = await setUp();
  const wait = manager.waitForChunk('film', 1);
  await origin.call(99).finish();
  await settle();
  await origin.call(1).finish();
  await wait;
  manager.requestChunk('film', 50);
  await settle();
  manager.requestChunk('film', 2);
  manager.playhead('film', { owner: 'me', byte: 0 });
  expect(queued()).toEqual({ HIGH: '2–3' });
  manager.playhead('film', { owner: 'me', byte: 500 });
  // Raised by the window, and still wanted by the ticket.
  expect(manager.stats().queued).toMatchObject({ HIGH: 3 });
});

test.each([
  [{ owner: 'me', byte: -1 }],
  [{ owner: 'me', byte: 1001 }],
  [{ owner: '', byte: 0 }],
  [{ owner: 'me', byte: 0, seconds: -1 }],
  [{ owner: 'me', byte: 0, bitrateBitsPerSecond: Number.NaN }],
])('refuses %o', async (move) => {
  const { manager } = await setUp();
  expect(() => manager.playhead('film', move)).toThrow(RangeError);
  expect(manager.snapshot('film').cursors).toEqual([]);
});

test('a window that ends while it is still being asked for wants nothing', async () => {
  const { manager, queued } = await setUp();
  const leaving = new AbortController();
  manager.on('queued', () => leaving.abort());
  manager.playhead('film', { owner: 'me', byte: 100, signal: leaving.signal });
  expect([queued(), manager.snapshot('film').cursors]).toEqual([{}, []]);
});
