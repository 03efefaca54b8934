import { createState } from '@chunks/state';
import { natsStore } from '@chunks/state/nats';
import { type StoreBench, stateContract, versionedStoreContract } from '@chunks/state/testing';
import { Kvm } from '@nats-io/kv';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, test, vi } from 'vitest';
import { describeWith } from '../../../../.ci/testing/with-service.ts';

const SERVER = '127.0.0.1:4222';
const newBucket = (): string => `test-${crypto.randomUUID()}`;
vi.setConfig({ testTimeout: 60_000 });
const abilities = { watch: true, list: true, remove: true, durable: 'async', maxKeyBytes: 1_000 } as const;

describeWith('nats', 'natsStore', () => {
  let connection: NatsConnection;
  beforeAll(async () => {
    connection = await connect({ servers: SERVER });
  });
  afterAll(() => connection.close());

  async function bench(): Promise<StoreBench> {
    const name = newBucket();
    const bucket = await new Kvm(connection).create(name, { storage: 'memory' });
    return {
      open: async () => natsStore(await new Kvm(connection).create(name, { storage: 'memory' })),
      close: async () => void (await bucket.destroy()),
    };
  }
  test.concurrent.each(versionedStoreContract(bench, abilities))('$name', ({ run }) => run());
  test.concurrent.each(stateContract(bench, abilities))('$name', ({ run }) => run());
});
void createState;
