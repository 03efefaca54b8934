import { natsStore } from '@chunks/state/nats';
import { stateContract, versionedStoreContract } from '@chunks/state/testing';
import { describe, test } from 'vitest';
import { FakeBucket } from './nats/fake-kv.ts';

const abilities = { watch: true, list: true, remove: true, durable: 'async', maxKeyBytes: 1_000 } as const;

describe('natsStore, over a bucket in this process', () => {
  const bench = () => {
    const bucket = new FakeBucket();
    return { open: () => natsStore(bucket.open()) };
  };
  test.each(versionedStoreContract(bench, abilities))('$name', ({ run }) => run());
  test.each(stateContract(bench, abilities))('$name', ({ run }) => run());
});
