import { memoryStore } from '@chunks/state';
import { stateContract, versionedStoreContract } from '@chunks/state/testing';
import { describe, expect, test } from 'vitest';
import { oneInThreeLost } from './support/stores.ts';

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

describe('createState over a store that loses one call in three', () => {
  for (const { name, run } of stateContract(oneInThreeLost(bench, 0), capabilities)) test(name, run);
});
