import { appendStoreContract, memoryAppendStore } from '@chunks/state/testing';
import { describe, expect, test } from 'vitest';

describe('memoryAppendStore', () => {
  for (const { name, run } of appendStoreContract(() => ({ store: memoryAppendStore() }))) test(name, run);

  test('with small pages', async () => {
    for (const { run } of appendStoreContract(() => ({ store: memoryAppendStore({ pageSize: 70 }), pageSize: 70 })))
      await run();
    expect(() => memoryAppendStore({ pageSize: 0 })).toThrow('pageSize must be an integer ≥ 1, but is 0');
  });

  test('its records can be looked at', async () => {
    const store = memoryAppendStore();
    await store.put('a', 'one');
    expect([...store.records]).toEqual([['a', 'one']]);
  });
});
