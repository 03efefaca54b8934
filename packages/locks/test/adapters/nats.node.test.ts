import { setTimeout as sleep } from 'node:timers/promises';
import { FaultProxy } from '@chunks/base/testing';
import { type LeaseDriver, leaseLocker } from '@chunks/locks/lease';
import { natsLeases } from '@chunks/locks/nats';
import { type LeaseBench, type LockerBench, leaseDriverContract, lockerContract } from '@chunks/locks/testing';
import { jetstream } from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { OwnServer } from '../../../../.ci/testing/own-server.ts';
import { onRealTime } from '../../../../.ci/testing/runs.ts';
import { describeWith } from '../../../../.ci/testing/with-service.ts';
import { ask, take } from '../../src/testing/lease-bench.ts';

const SERVER = '127.0.0.1:4222';
const SKEW_MS = 250;
const newBucket = (): string => `test-${crypto.randomUUID()}`;

async function until(isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 4_000 && !isSo(); i++) await sleep(5);
  expect(isSo()).toBe(true);
}

describeWith('nats', 'leases in a bucket', () => {
  let connection: NatsConnection;
  beforeAll(async () => {
    connection = await connect({ servers: SERVER });
  });
  afterAll(() => connection.close());

  async function bench(): Promise<LeaseBench> {
    const name = newBucket();
    const kv = await new Kvm(connection).create(name);
    return {
      open: async () => natsLeases(await new Kvm(connection).open(name)),
      pass: async (ms) => void (await sleep(ms + SKEW_MS + 2)),
      now: () => Date.now(),
      async outage() {
        const proxy = await FaultProxy.before(4222);
        const client = await connectTo(proxy.port);
        const driver = natsLeases(await bucketOf(client, name));
        proxy.down();
        const close = driver.close?.bind(driver);
        driver.close = async () => {
          await close?.();
          await client.close();
          await proxy.close();
        };
        return { driver, end: () => proxy.up() };
      },
      close: async () => void (await kv.destroy()),
    };
  }
  const abilities = { shared: false, inspect: true, watch: true, line: false, clock: 'store', remote: true } as const;
  test.concurrent.each(leaseDriverContract(bench, abilities))('$name', onRealTime, ({ run }) => run());

  async function lockers(): Promise<LockerBench> {
    const kv = await new Kvm(connection).create(newBucket());
    return {
      open: (options) => leaseLocker(natsLeases(kv, { skewMs: 0 }), options),
      // A timer may be early by a part of a ms.
      pass: async (ms) => void (await sleep(ms + 1)),
      close: async () => void (await kv.destroy()),
    };
  }
  test.concurrent.each(lockerContract(lockers, { shared: false }))('as a locker: $name', onRealTime, ({ run }) =>
    run(),
  );
});

/** Finds back by itself, soon and for ever. */
const connectTo = (port: number): Promise<NatsConnection> =>
  connect({ servers: `127.0.0.1:${port}`, maxReconnectAttempts: -1, reconnectTimeWait: 20, reconnectJitter: 0 });

/** A bucket whose calls soon say that nobody answers, and not while a busy machine holds its breath. */
const bucketOf = (client: NatsConnection, name: string): Promise<KV> =>
  new Kvm(jetstream(client, { timeout: 1_200 })).open(name);

describeWith('nats', 'busy, unreachable and lost are three things', () => {
  let server: OwnServer;
  let proxy: FaultProxy;
  let direct: NatsConnection;
  let cut: NatsConnection;
  let name: string;
  /** Through connections that can be cut, and beside them. */
  let here: LeaseDriver;
  let there: LeaseDriver;
  const make = async (): Promise<void> => void (await new Kvm(direct).create(name));

  beforeEach(async () => {
    server = await OwnServer.nats();
    proxy = await FaultProxy.before(server.port);
    [direct, cut] = await Promise.all([connectTo(server.port), connectTo(proxy.port)]);
    name = newBucket();
    await make();
    here = natsLeases(await bucketOf(cut, name));
    there = natsLeases(await bucketOf(direct, name));
  });
  afterEach(async () => {
    await Promise.all([here.close?.(), there.close?.()]);
    await Promise.all([direct.close(), cut.close()]);
    await proxy.close();
    await server.close();
  });

  /** The first answer once the client has found back. */
  async function afterwards<T>(call: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await call();
      } catch (error) {
        if (attempt === 100) throw error;
        await sleep(20);
      }
    }
  }

  async function allReject(calls: Promise<unknown>[]): Promise<void> {
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.map(({ status }) => status)).toEqual(calls.map(() => 'rejected'));
  }

  const written = (key: string): string => `HPUB $KV.${name}.lease.${key} `;

  test('a server that is killed: nobody knows; back with its disk, leases, tokens and watches go on', async () => {
    const token = await take(here, 'key', 'a');
    const freed = await take(here, 'free', 'a');
    await here.release('free', 'a', freed);
    let wakes = 0;
    await there.watch?.('key', () => wakes++);
    await server.kill();
    await allReject([ask(here, 'key', 'b'), ask(there, 'free', 'b'), here.renew('key', 'a', token, 60_000)]);
    await server.start();
    expect(await afterwards(() => ask(there, 'key', 'b'))).toMatchObject({ busy: true, holder: 'a' });
    expect(await afterwards(() => here.renew('key', 'a', token, 60_000))).toBe(true);
    expect(await take(there, 'free', 'b')).toBeGreaterThan(freed);
    wakes = 0;
    expect(await here.release('key', 'a', token)).toBe(true);
    expect(await take(there, 'key', 'b')).toBeGreaterThan(token);
    await until(() => wakes > 0);
  });

  test('a server that comes back without its disk: nobody knows, until the bucket is made anew; then leases are lost', async () => {
    const token = await take(here, 'key', 'a');
    await server.kill();
    server.wipe();
    await server.start();
    await afterwards(() => direct.flush());
    await allReject([ask(here, 'key', 'b'), ask(there, 'key', 'c'), here.renew('key', 'a', token, 60_000)]);
    await make();
    const next = await afterwards(() => take(there, 'key', 'c'));
    expect(next).toBeGreaterThan(token);
    expect(await afterwards(() => here.renew('key', 'a', token, 60_000))).toBe(false);
    expect(await here.release('key', 'a', token)).toBe(false);
    expect(await ask(here, 'key', 'a')).toMatchObject({ busy: true, holder: 'c' });
    expect(await there.renew('key', 'c', next, 60_000)).toBe(true);
  });

  test('a connection that is cut before the server hears of the acquire: unreachable, and the key is free', async () => {
    await take(here, 'other', 'a');
    proxy.cutNext('request', written('key'));
    await expect(ask(here, 'key', 'a')).rejects.toThrow();
    expect(proxy.hasCut).toBe(true);
    expect(await there.inspect?.('key')).toBe(undefined);
    const token = await take(there, 'key', 'b');
    expect(await afterwards(() => ask(here, 'key', 'a'))).toMatchObject({ busy: true, holder: 'b' });
    expect(await there.release('key', 'b', token)).toBe(true);
  });

  test('a connection that is cut after the server has granted: unreachable, and the next question gets that grant', async () => {
    await take(here, 'other', 'a');
    proxy.cutNext('reply', written('key'));
    await expect(ask(here, 'key', 'a')).rejects.toThrow();
    expect(proxy.hasCut).toBe(true);
    expect(await ask(there, 'key', 'b')).toMatchObject({ busy: true, holder: 'a' });
    const entry = await (await bucketOf(direct, name)).get('lease.key');
    const token = await afterwards(() => take(here, 'key', 'a'));
    expect(entry?.json()).toMatchObject({ token, holder: 'a' });
    expect(await here.renew('key', 'a', token, 60_000)).toBe(true);
  });

  test('a renewal or a release whose answer is lost is done once, however often it is asked for', async () => {
    const token = await take(here, 'key', 'a');
    proxy.cutNext('reply', written('key'));
    await expect(here.renew('key', 'a', token, 120_000)).rejects.toThrow();
    expect(await ask(there, 'key', 'b')).toMatchObject({ busy: true, retryAfterMs: expect.closeTo(120_000, -4) });
    expect(await afterwards(() => here.renew('key', 'a', token, 60_000))).toBe(true);
    proxy.cutNext('reply', written('key'));
    await expect(here.release('key', 'a', token)).rejects.toThrow();
    const next = await take(there, 'key', 'b');
    expect(next).toBeGreaterThan(token);
    expect(await afterwards(() => here.release('key', 'a', token))).toBe(false);
    expect(await here.renew('key', 'a', token, 60_000)).toBe(false);
    expect(await there.renew('key', 'b', next, 60_000)).toBe(true);
  });

  test('a watch on a connection that is cut, or closed, throws nowhere, and wakes again', async () => {
    let wakes = 0;
    const stop = await here.watch?.('key', () => wakes++);
    proxy.breakAll();
    const token = await afterwards(() => take(here, 'key', 'a'));
    wakes = 0;
    await there.release('key', 'a', token);
    await until(() => wakes > 0);
    stop?.();
    const gone = await there.watch?.('key', () => wakes++);
    wakes = 0;
    await direct.close();
    // The client says that it is over: whoever waits must look, and hear that nobody knows.
    await until(() => wakes > 0);
    await expect(ask(there, 'key', 'b')).rejects.toThrow();
    await expect(there.watch?.('key', () => undefined)).rejects.toThrow();
    gone?.();
  });
});
