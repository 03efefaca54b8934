import { FaultProxy } from '@chunks/base/testing';
import { natsStore } from '@chunks/state/nats';
import { Kvm } from '@nats-io/kv';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { OwnServer } from '../../../../../.ci/testing/own-server.ts';
import { isSoak } from '../../../../../.ci/testing/runs.ts';
import { describeWith } from '../../../../../.ci/testing/with-service.ts';
import { forgettingIsReported, killSoak, type MortalBench, type ProcessOnIt } from '../../support/kill-soak.ts';
import { type LossyLink, losesNothing, plainLoopDoubles, throughProxy } from '../../support/lost-replies.ts';

vi.setConfig({ testTimeout: 120_000 });

describeWith('nats', 'replies that get lost', () => {
  let server: OwnServer;
  let proxy: FaultProxy;
  let connections: NatsConnection[];
  beforeEach(async () => {
    server = await OwnServer.nats();
    proxy = await FaultProxy.before(server.port);
    connections = [];
  });
  afterEach(async () => {
    proxy.heal();
    await Promise.all(connections.map((connection) => connection.close()));
    await proxy.close();
    await server.close();
  });

  function link(): LossyLink {
    const open = async () => {
      const connection = await connect({ port: proxy.port });
      connections.push(connection);
      return natsStore(await new Kvm(connection).create('lossy', { storage: 'memory' }));
    };
    return throughProxy(proxy, open);
  }
  const o = { writers: 150 };

  test('none is lost, none is done twice, none fails', () => losesNothing(link(), o));
  test('the plain loop doubles', () => plainLoopDoubles(link(), o));
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
    console.log(report);
    expect(report.acknowledged).toBeGreaterThan(0);
  });
  test('forgot everything: that is reported', () => forgettingIsReported(mortal('memory')));
});
