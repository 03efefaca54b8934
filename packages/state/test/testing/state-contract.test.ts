import { memoryStore } from '@chunks/state';
import { faultyStore, stateContract } from '@chunks/state/testing';
import { expect, test } from 'vitest';
import { all } from './flaws.ts';
import { referenceBench, type StoreFlaw } from './reference-store.ts';

async function red(flaw?: StoreFlaw): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, run } of stateContract(referenceBench(all, flaw), all)) {
    await run().catch(() => failed.push(name));
  }
  return failed;
}

test('finds nothing wrong on a right store', async () => {
  expect(await red()).toEqual([]);
});

test.each([
  ['ignores expected', 'two instances race and lose nothing'],
  ['ignores expected', 'eight instances race and lose nothing'],
  ['looks, waits, and then writes', 'eight instances race and lose nothing'],
  ['folds the case of keys', 'no key reaches the record of another'],
] as const)('catches a store that %s: %s', async (flaw, name) => {
  expect(await red(flaw)).toContain(name);
});

test.each([50, 200, 1_000])('catches what is lost of %s updaters, and what is done twice', async (count) => {
  const find = (open: () => ReturnType<typeof memoryStore>) =>
    stateContract(() => ({ open }), memoryStore().capabilities).find(({ name }) =>
      name.startsWith(`${count} parallel`),
    );
  // Acknowledges, and forgets: the first write is undone before anybody reads.
  const forgetful = memoryStore();
  const write = async (...[key, value, expected, o]: Parameters<typeof forgetful.write>) => {
    const { state, ...rest } = JSON.parse(value);
    return forgetful.write(key, JSON.stringify({ ...rest, state: { log: state.log.slice(1) } }), expected, o);
  };
  const losing = { ...forgetful, write };
  await expect(find(() => losing)?.run()).rejects.toThrow(/acknowledged: expected 1, got 0/);
  const doubling = {
    ...forgetful,
    write: async (...[key, value, expected, o]: Parameters<typeof forgetful.write>) => {
      const { state, ...rest } = JSON.parse(value);
      const twice = { ...rest, state: { log: [...state.log, ...state.log] } };
      return forgetful.write(key, JSON.stringify(twice), expected, o);
    },
  };
  await forgetful.remove?.(
    'key',
    (await forgetful.read('key', { signal: new AbortController().signal }))?.revision ?? '',
    {
      signal: new AbortController().signal,
    },
  );
  await expect(find(() => doubling)?.run()).rejects.toThrow(/acknowledged: expected 1/);
});

test('a version that starts anew after a deletion is caught', async () => {
  const inner = memoryStore();
  const fresh = faultyStore(inner, { next: () => 'none' });
  // Takes a tombstone for nothing at all.
  const read = async (...all: Parameters<typeof fresh.read>) => {
    const found = await fresh.read(...all);
    return found && JSON.parse(found.value).state === null ? undefined : found;
  };
  const write = async (...[key, value, expected, o]: Parameters<typeof fresh.write>) => {
    const found = await inner.read(key, o);
    const isGone = found !== undefined && JSON.parse(found.value).state === null;
    return fresh.write(key, value, isGone ? found.revision : expected, o);
  };
  const store = { ...fresh, read, write };
  const cases = stateContract(() => ({ open: () => store }), inner.capabilities);
  const deletion = cases.find(({ name }) => name === 'versions go on over a deletion');
  await expect(deletion?.run()).rejects.toThrow();
});

test('a version that no update has is caught', async () => {
  const inner = memoryStore();
  const read = async (...o: Parameters<typeof inner.read>) => {
    const found = await inner.read(...o);
    return found && { ...found, value: found.value.replace('"version":1', '"version":2') };
  };
  const [first] = stateContract(() => ({ open: () => ({ ...inner, read }) }), inner.capabilities);
  await expect(first?.run()).rejects.toThrow('versions without a gap: 1 unnamed, 0 unknown');
});
