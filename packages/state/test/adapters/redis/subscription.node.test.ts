import { countListeners, FaultProxy } from '@chunks/base/testing';
import type { VersionedStore } from '@chunks/state';
import { redisStore } from '@chunks/state/redis';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { OwnServer } from '../../../../../.ci/testing/own-server.ts';
import { isSoak } from '../../../../../.ci/testing/runs.ts';
import { describeWith } from '../../../../../.ci/testing/with-service.ts';
import { both, type Open } from './clients.ts';

const { signal } = new AbortController();

function watching(store: VersionedStore, key: string) {
  const leave = new AbortController();
  const ticks = (store as Required<VersionedStore>).watch(key, { signal: leave.signal })[Symbol.asyncIterator]();
  return { tick: () => ticks.next(), leave };
}

describeWith('redis', 'watches of redisStore', () => {
  let server: OwnServer;
  let proxy: FaultProxy;
  let admin: Redis;
  const ends: (() => unknown)[] = [];
  // Connections of the clients themselves.
  let others = 0;
  const connections = async (): Promise<number> =>
    String(await admin.client('LIST'))
      .split('\n')
      .filter(Boolean).length;
  const connect = async (open: Open, port = server.port) => {
    const { client, end } = await open(port);
    const store = redisStore(client);
    ends.push(end, () => store.close?.());
    await store.read('key', { signal });
    others = await connections();
    return { store, client: client as unknown as Redis };
  };
  /** How many connections there are for watches, and channels that are listened to, as the server has it. */
  const listening = async (): Promise<[number, number]> => [
    (await connections()) - others,
    (await admin.pubsub('CHANNELS')).length,
  ];
  const becomes = (connections: number, channels: number) =>
    vi.waitFor(async () => expect(await listening()).toEqual([connections, channels]), 3_000);

  beforeAll(async () => {
    server = await OwnServer.redis();
    proxy = await FaultProxy.before(server.port);
    admin = new Redis(server.port);
  });
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
    proxy.up();
    await admin.flushall();
  });
  afterAll(async () => {
    admin.disconnect();
    await proxy.close();
    await server.close();
  });

  it.each(both)('share one connection, which goes with the last of them, with %s', async (_, open) => {
    const { store, client } = await connect(open);
    const events = (): number[] => ['error', 'close', 'end', 'message'].map((name) => client.listenerCount(name));
    const before = events();
    for (let round = 0; round < 2; round++) {
      const watches = Array.from({ length: 50 }, (_, i) => watching(store, `key ${i % 25}`));
      await Promise.all(watches.map(({ tick }) => tick()));
      expect(await listening()).toEqual([1, 25]);
      const [first, twin] = [watches[0], watches[25]];
      first?.leave.abort();
      await expect(first?.tick()).rejects.toThrow('aborted');
      expect(await listening()).toEqual([1, 25]);
      const next = twin?.tick();
      await store.write('key 0', `${round}`, (await store.read('key 0', { signal }))?.revision, { signal });
      expect((await next)?.done).toBe(false);
      const pending = watches.slice(1).map(({ tick }) => expect(tick()).rejects.toThrow('aborted'));
      twin?.leave.abort();
      await becomes(1, 24);
      for (const { leave } of watches) leave.abort();
      await Promise.all(pending);
      await becomes(0, 0);
    }
    expect(events()).toEqual(before);
  });

  it.each(both)('let go also when they are left without an abort, with %s', async (_, open) => {
    const { store } = await connect(open);
    const own = { signal: new AbortController().signal };
    const listeners = countListeners(own.signal);
    const ticks = (store as Required<VersionedStore>).watch('key', own)[Symbol.asyncIterator]();
    await ticks.next();
    expect(await listening()).toEqual([1, 1]);
    await ticks.return?.();
    await becomes(0, 0);
    expect(listeners()).toBe(0);
    // One that was never begun has opened nothing.
    (store as Required<VersionedStore>).watch('key', own);
    expect(await listening()).toEqual([0, 0]);
  });

  it.each(both)('come and go, and those that are there hear of each change, with %s', async (_, open) => {
    const { store } = await connect(open);
    const step = fc.record({
      key: fc.constantFrom('a', 'b', 'c'),
      act: fc.constantFrom('watch', 'leave', 'write', 'pass'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const watches: (ReturnType<typeof watching> & { key: string; listens: Promise<unknown> })[] = [];
        for (const { key, act } of steps) {
          if (act === 'watch') {
            const one = watching(store, key);
            const listens = one.tick();
            listens.catch(() => undefined);
            watches.push({ ...one, key, listens });
          } else if (act === 'leave') {
            const at = watches.findIndex((one) => one.key === key);
            for (const { leave } of at < 0 ? [] : watches.splice(at, 1)) leave.abort();
          } else if (act === 'pass') {
            await new Promise(setImmediate);
          } else {
            const there = watches.filter((one) => one.key === key);
            await Promise.all(there.map(({ listens }) => listens));
            const heard = there.map(({ tick }) => tick());
            await store.write(key, '1', (await store.read(key, { signal }))?.revision, { signal });
            for (const next of heard) expect((await next).done).toBe(false);
          }
        }
        await Promise.all(watches.map(({ listens }) => listens));
        const channels = new Set(watches.map(({ key }) => key)).size;
        await becomes(Math.min(channels, 1), channels);
        for (const { leave } of watches) leave.abort();
        await becomes(0, 0);
      }),
      { numRuns: isSoak ? 300 : 25 },
    );
  });

  it.each(both)('tick for a removal, and for what another client writes, with %s', async (_, open) => {
    const [{ store }, { store: other }] = [await connect(open), await connect(open)];
    const { tick } = watching(store, 'key');
    await tick();
    const written = tick();
    const reply = await other.write('key', '1', undefined, { signal });
    expect((await written).done).toBe(false);
    const removed = tick();
    expect(await other.remove?.('key', 'revision' in reply ? reply.revision : '', { signal })).toBe(true);
    expect((await removed).done).toBe(false);
  });

  it.each(both)('end with an error when the connection breaks, and can be begun anew, with %s', async (_, open) => {
    const { store } = await connect(open, proxy.port);
    const { store: other } = await connect(open);
    const watches = [watching(store, 'a'), watching(store, 'b')];
    for (const { tick } of watches) await tick();
    const broken = watches.map(({ tick }) => expect(tick()).rejects.toThrow(Error));
    proxy.breakAll();
    await Promise.all(broken);
    await becomes(0, 0);
    let again = watching(store, 'a');
    await vi.waitFor(
      async () => {
        again = watching(store, 'a');
        await again.tick();
      },
      { timeout: 20_000 },
    );
    const next = again.tick();
    await other.write('a', '1', undefined, { signal });
    expect((await next).done).toBe(false);
    again.leave.abort();
    await becomes(0, 0);
  });

  it.each(both)('end with an error when nobody answers, with %s', async (_, open) => {
    const { store } = await connect(open, proxy.port);
    proxy.down();
    await expect(watching(store, 'key').tick()).rejects.toThrow(Error);
    proxy.up();
    await vi.waitFor(() => watching(store, 'key').tick(), { timeout: 20_000 });
    await becomes(1, 1);
  });

  it('a client that connects late, and keeps no calls for later, can be listened on too', async () => {
    const client = new Redis(server.port, { lazyConnect: true, enableOfflineQueue: false });
    await client.connect();
    const store = redisStore(client);
    expect(await watching(store, 'key').tick()).toMatchObject({ done: false });
    await store.close?.();
    client.disconnect();
  });

  it.each(both)('end with an error when the store is closed, and can be begun anew, with %s', async (_, open) => {
    const { store } = await connect(open);
    const { tick } = watching(store, 'key');
    await tick();
    const next = expect(tick()).rejects.toThrow('the store was closed');
    await store.close?.();
    await next;
    await becomes(0, 0);
    await watching(store, 'key').tick();
    expect(await listening()).toEqual([1, 1]);
  });
});
