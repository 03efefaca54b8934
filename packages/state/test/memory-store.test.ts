import { seededRandom } from '@chunks/base/testing';
import { memoryStore } from '@chunks/state';
import {
  faultyStore,
  STORE_FAULTS,
  type StoreFault,
  stateContract,
  versionedStoreContract,
} from '@chunks/state/testing';
import { describe, expect, test } from 'vitest';

const { capabilities } = memoryStore();

// All processes of a case share one store: it is this process's own.
const bench = () => {
  const store = memoryStore();
  return { open: () => store };
};

describe('memoryStore', () => {
  for (const { name, run } of versionedStoreContract(bench, capabilities)) test(name, run);
  for (const { name, run } of stateContract(bench, capabilities)) test(name, run);

  test('what it hands out is a copy', async () => {
    const store = memoryStore();
    const signal = new AbortController().signal;
    await store.write('a', 'one', undefined, { signal });
    Object.assign((await store.read('a', { signal })) ?? {}, { value: 'two', revision: 'x' });
    const reply = await store.write('a', 'three', 'x', { signal });
    expect(reply).toMatchObject({ conflict: true, current: { value: 'one' } });
  });
});

// Hanging calls cost real time here: they are left to the virtual clock of exactly-once.test.ts.
const QUICK = STORE_FAULTS.filter((fault) => !fault.startsWith('hang'));

describe('createState over a store that loses one call in three', () => {
  let seed = 0;
  const faulty = () => {
    const random = seededRandom(++seed);
    const next = (): StoreFault =>
      random() < 0.33 ? (QUICK[Math.floor(random() * QUICK.length)] as StoreFault) : 'none';
    const store = faultyStore(memoryStore(), { next, lateMs: () => 20 });
    return { open: () => store };
  };
  for (const { name, run } of stateContract(faulty, capabilities)) test(name, run);
});
