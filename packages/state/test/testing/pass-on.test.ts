import { expect, test } from 'vitest';
import { passOn } from '../../src/testing/pass-on.ts';
import { all, bare } from './flaws.ts';
import { referenceBench } from './reference-store.ts';

test('what is passed on is a store of its own kind, whatever that is', async () => {
  const signal = new AbortController().signal;
  const inner = await referenceBench(all)().open();
  const store = passOn(inner);
  const reply = await store.write('key', '1', undefined, { signal });
  expect(await inner.read('key', { signal })).toEqual({ value: '1', ...reply });
  expect(await store.read('key', { signal })).toEqual({ value: '1', ...reply });
  for await (const key of store.list?.('', { signal }) ?? []) expect(key).toBe('key');
  expect(await store.remove?.('key', 'another', { signal })).toBe(false);
  const ticks = store.watch?.('key', { signal })[Symbol.asyncIterator]();
  expect(await ticks?.next()).toMatchObject({ done: false });
  await ticks?.return?.();
  await store.close?.();
  expect(Object.keys(passOn(await referenceBench(bare)().open())).sort()).toEqual(
    ['capabilities', 'close', 'name', 'read', 'write'].sort(),
  );
});
