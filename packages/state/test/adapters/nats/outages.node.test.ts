import { FaultProxy } from '@chunks/base/testing';
import { createState, type VersionedStore } from '@chunks/state';
import { natsStore } from '@chunks/state/nats';
import { historyCases, type StoreBench } from '@chunks/state/testing';
import { jetstream } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { connect, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { OwnServer } from '../../../../../.ci/testing/own-server.ts';
import { isSoak } from '../../../../../.ci/testing/runs.ts';
import { describeWith } from '../../../../../.ci/testing/with-service.ts';
import { forgettingIsReported, killSoak, type MortalBench, type ProcessOnIt } from '../../support/kill-soak.ts';
import { losesNothing, plainLoopDoubles, throughProxy, WRITE_MARK } from '../../support/lost-replies.ts';
import { codeOf, QUICK_FAULTS } from '../../support/stores.ts';
import { Buckets } from './buckets.ts';

vi.setConfig({ testTimeout: 120_000 });

const { signal } = new AbortController();

/** Clients through a proxy, and beside it, on a bucket of their own. */
class Links implements AsyncDisposable {
  readonly proxy: FaultProxy;
  readonly buckets: Buckets;
  readonly name: string;
  readonly #connections: NatsConnection[] = [];

  private constructor(proxy: FaultProxy, buckets: Buckets) {
    this.proxy = proxy;
    this.buckets = buckets;
    this.name = buckets.newName();
  }

  static async open(): Promise<Links> {
    const links = new Links(await FaultProxy.before(4222), await Buckets.on(4222));
    await links.make();
    return links;
  }

  async make(): Promise<void> {
    await this.buckets.make({}, this.name);
  }

  /** No connection through the proxy, and all clients know it. */
  async down(): Promise<void> {
    const heard = this.#connections.map(async (connection) => {
      for await (const { type } of connection.status()) if (type === 'disconnect') return;
    });
    this.proxy.down();
    await Promise.all(heard);
  }

  /** Through the proxy. */
  async connect(options: Partial<NodeConnectionOptions> = {}, timeout = 5_000): Promise<VersionedStore> {
    const connection = await connect({ port: this.proxy.port, ...options });
    this.#connections.push(connection);
    return natsStore(await new Kvm(jetstream(connection, { timeout })).create(this.name));
  }

  async direct(): Promise<VersionedStore> {
    return natsStore(await new Kvm(this.buckets.connection).open(this.name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.proxy.heal();
    this.proxy.up();
    await Promise.all(this.#connections.map((connection) => connection.close()));
    await this.proxy.close();
    await this.buckets.close();
  }
}

// Finds back soon.
const SOON = { maxReconnectAttempts: -1, reconnectTimeWait: 20, reconnectJitter: 0 } as const;

describeWith('nats', 'links that fail', () => {
  // What waits for an answer that was cut off waits for 5 s, or less in the short form, and the client 2 s before it
  // connects again.
  const patienceMs = isSoak ? 5_000 : 1_000;
  const many = isSoak ? { updates: 1_000, writers: 150 } : { updates: 126, writers: 126 };

  test.concurrent('replies that get lost: none is lost, none is done twice, none fails', async () => {
    await using links = await Links.open();
    await losesNothing(
      throughProxy(links.proxy, () => links.connect({}, patienceMs)),
      many,
    );
  });

  test.concurrent('replies that get lost: the plain loop doubles', async () => {
    await using links = await Links.open();
    await plainLoopDoubles(
      throughProxy(links.proxy, () => links.connect({}, patienceMs)),
      many,
    );
  });

  test.concurrent('requests that the server gets twice are carried out once', async () => {
    await using links = await Links.open();
    const state = createState({ store: await links.connect(), initial: () => ({ log: [] as string[] }) });
    await state.update('key', (draft) => draft.log.push('first'));
    let arrived = 0;
    links.buckets.connection.subscribe(`$KV.${links.name}.>`, { callback: () => void arrived++ });
    await links.buckets.connection.flush();
    links.proxy.duplicateEvery(1, WRITE_MARK, { greets: true });
    const names = Array.from({ length: 30 }, (_, i) => `update ${i}`);
    for (const name of names) await state.update('key', (draft) => draft.log.push(name));
    // The client hears both answers, and believes the first.
    expect(await state.get('key')).toEqual({ state: { log: ['first', ...names] }, version: 31 });
    await vi.waitFor(() => expect(arrived).toBe(60));
  });

  test.concurrent('a write that comes late changes nothing that was written since', async () => {
    await using links = await Links.open();
    const [store, other] = [await links.connect(), await links.direct()];
    const created = await other.write('key', '"0"', undefined, { signal });
    const revision = 'revision' in created ? created.revision : '';
    expect(await store.read('key', { signal })).toEqual({ value: '"0"', revision });
    links.proxy.delay({ requestMs: 300 });
    const late = [
      store.write('key', '"late"', revision, { signal }),
      store.write('new', '"late"', undefined, { signal }),
    ];
    const changed = await other.write('key', '"1"', revision, { signal });
    await other.write('new', '"1"', undefined, { signal });
    expect(await Promise.all(late)).toEqual([
      { conflict: true },
      { conflict: true, current: await other.read('new', { signal }) },
    ]);
    expect(await other.read('key', { signal })).toEqual({ value: '"1"', ...changed });
    expect(await other.read('new', { signal })).toMatchObject({ value: '"1"' });
  });

  test.concurrent('what is said while there is no connection is done once', async () => {
    await using links = await Links.open();
    const state = createState({ store: await links.connect(SOON), initial: () => ({ n: 0 }), attemptTimeoutMs: 200 });
    await state.update('key', (draft) => ++draft.n);
    await links.down();
    const update = state.update('key', (draft) => ++draft.n, { maxAttempts: 1_000 });
    // By now it was given up, and the record is asked for.
    await new Promise((resolve) => setTimeout(resolve, 500));
    links.proxy.up();
    expect(await update).toMatchObject({ version: 2, result: 2 });
    expect(await state.update('key', (draft) => ++draft.n)).toMatchObject({ version: 3, result: 3 });
  });

  test.concurrent('a watch that may have missed something throws, and one begun anew misses nothing', async () => {
    await using links = await Links.open();
    const [store, other] = [await links.connect(SOON), await links.direct()];
    const ticks = store.watch?.('key', { signal })[Symbol.asyncIterator]();
    await ticks?.next();
    const next = ticks?.next();
    // The server believes that it was delivered.
    links.proxy.halfOpen('reply');
    await other.write('key', '"1"', undefined, { signal });
    links.proxy.breakAll();
    await expect(next).rejects.toThrow('the connection was lost');
    // What is asked while the client finds back may get lost on the way.
    const again = await vi.waitFor(async () => {
      const begun = store.watch?.('key', { signal })[Symbol.asyncIterator]();
      expect(await begun?.next()).toMatchObject({ done: false });
      return begun;
    }, 30_000);
    expect(await store.read('key', { signal })).toMatchObject({ value: '"1"' });
    await again?.return?.();
  });

  test.concurrent('through createState a watch sees the last of all changes, however often it breaks', async () => {
    await using links = await Links.open();
    const initial = () => ({ n: 0 });
    const watching = createState({ store: await links.connect(SOON), initial });
    const writing = createState({ store: await links.direct(), initial });
    const stop = new AbortController();
    let last = 0;
    const watched = (async () => {
      for await (const record of watching.watch('key', { signal: stop.signal })) last = record?.state.n ?? 0;
    })().catch((error) => error);
    for (let i = 1; i <= (isSoak ? 20 : 3); i++) {
      links.proxy.halfOpen('reply');
      await writing.update('key', (draft) => ++draft.n);
      links.proxy.breakAll();
      await vi.waitFor(() => expect(last).toBe(i), 10_000);
    }
    stop.abort(new Error('enough'));
    expect(await watched).toMatchObject({ message: 'enough' });
    const bucket = await new Kvm(links.buckets.connection).open(links.name);
    await vi.waitFor(async () => expect((await bucket.status()).streamInfo.state.consumer_count).toBe(0), 10_000);
  });

  test.concurrent('a bucket deleted under its updaters: nothing is done twice, nothing of its new life lost, and it is reported', async () => {
    await using links = await Links.open();
    const initial = () => ({ log: [] as string[] });
    const open = async () => createState({ store: await links.direct(), initial, attemptTimeoutMs: 500 });
    const states = await Promise.all([1, 2, 3].map(open));
    let isOver = false;
    const ends: { id: string; code: string }[] = [];
    const updaters = states.map(async (state, s) => {
      for (let i = 0; !isOver; i++) {
        const id = `${s}.${i}`;
        const update = state.update('key', (draft) => void draft.log.push(id), { timeoutMs: 3_000 });
        ends.push({ id, code: await update.then(() => 'OK', codeOf) });
      }
    });
    const reached = (count: number) => vi.waitFor(() => expect(ends.length).toBeGreaterThan(count), 20_000);
    await reached(100);
    await (await new Kvm(links.buckets.connection).open(links.name)).destroy();
    await links.make();
    const fresh = await open();
    const later = Array.from({ length: 50 }, (_, i) => `fresh ${i}`);
    for (const id of later) await fresh.update('key', (draft) => void draft.log.push(id));
    await reached(ends.length + 10);
    isOver = true;
    await Promise.all(updaters);
    const log = (await fresh.get('key'))?.state.log ?? [];
    expect(new Set(log).size).toBe(log.length);
    expect(log.filter((id) => id.startsWith('fresh'))).toEqual(later);
    expect(ends.filter(({ code }) => code === 'STORE_REGRESSED').length).toBeGreaterThan(0);
    const done = new Set(ends.filter(({ code }) => code === 'OK' || code === 'UPDATE_AMBIGUOUS').map(({ id }) => id));
    expect(log.filter((id) => !id.startsWith('fresh') && !done.has(id))).toEqual([]);
  });
});

describeWith('nats', 'histories of natsStore have an order', () => {
  const operations = isSoak ? 2_000 : 200;

  describe('when every 7th reply is lost', () => {
    let cuts = 0;
    afterAll(() => expect(cuts).toBeGreaterThan(20));
    const bench = async (): Promise<StoreBench> => {
      const links = await Links.open();
      links.proxy.cutEvery(7, 'reply', 'HPUB $KV.');
      const close = async (): Promise<void> => {
        cuts += links.proxy.cuts;
        await links[Symbol.asyncDispose]();
      };
      return { open: () => links.connect(SOON, 300), close };
    };
    test.concurrent.each(historyCases(bench, { operations }))('$name', ({ run }) => run());
  });

  describe('when calls fare in every way that calls can', () => {
    const bench = async (): Promise<StoreBench> => {
      const links = await Links.open();
      return { open: () => links.direct(), close: () => links[Symbol.asyncDispose]() };
    };
    test.concurrent.each(historyCases(bench, { operations, faults: QUICK_FAULTS }))('$name', ({ run }) => run());
  });
});

describeWith('nats', 'a server that is killed', () => {
  let server: OwnServer;
  beforeEach(async () => {
    server = await OwnServer.nats();
  });
  afterEach(() => server.close());

  /** Of buckets in a file, or in memory, which are made anew after each start, as an operator would. */
  function mortal(storage: 'file' | 'memory'): MortalBench {
    const make = async (): Promise<void> => {
      const connection = await connect({ port: server.port });
      await vi.waitFor(() => new Kvm(connection).create('mortal', { storage }), { timeout: 20_000, interval: 20 });
      await connection.close();
    };
    const made = make();
    return {
      server: {
        kill: () => server.kill(),
        start: async () => {
          await server.start();
          await make();
        },
      },
      async open(): Promise<ProcessOnIt> {
        await made;
        // It finds back for ever, and soon.
        const connection = await connect({ port: server.port, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
        return { store: natsStore(await new Kvm(connection).open('mortal')), end: () => connection.close() };
      },
    };
  }

  test('kept what it acknowledged on its disk: nothing is lost or doubled', async () => {
    const report = await killSoak(mortal('file'), { kills: isSoak ? 25 : 2 });
    expect(report.acknowledged).toBeGreaterThan(20 * report.kills);
  });
  test('forgot everything: that is reported', () => forgettingIsReported(mortal('memory')));
});
