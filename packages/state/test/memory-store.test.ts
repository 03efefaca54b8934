import { seededRandom } from '@chunks/base/testing';
import { memoryStore } from '@chunks/state';
import { describe, expect, test } from 'vitest';
import { FAULTS, type Fault, faultyStore } from './faulty-store.ts';
import { stateContract, storeContract } from './store-contract.ts';

describe('memoryStore', () => {
  for (const { name, run } of [...storeContract, ...stateContract]) test(name, () => run(memoryStore()));

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
const QUICK: readonly Fault[] = FAULTS.filter((fault) => !fault.startsWith('hang'));

describe('createState over a store that loses one call in three', () => {
  for (const [seed, { name, run }] of stateContract.entries()) {
    test(name, () => {
      const random = seededRandom(seed + 1);
      const next = (): Fault => (random() < 0.33 ? (QUICK[Math.floor(random() * QUICK.length)] as Fault) : 'none');
      return run(faultyStore(memoryStore(), { next }));
    });
  }
});

describe('the contract is not empty', () => {
  test('a store that ignores the expected revision is caught', async () => {
    const records = new Map<string, { value: string; revision: string }>();
    const blind = {
      ...memoryStore(),
      read: async (key: string) => records.get(key),
      write: async (key: string, value: string) => {
        const revision = String(records.size + Math.random());
        records.set(key, { value, revision });
        return { revision };
      },
    };
    const failed: string[] = [];
    for (const { name, run } of [...storeContract, ...stateContract]) {
      await run(blind).catch(() => failed.push(name));
    }
    expect(failed).toEqual(
      expect.arrayContaining([
        'of many writes on one revision exactly one wins',
        'two instances race and lose nothing',
      ]),
    );
  });
});
