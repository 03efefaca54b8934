import { settle } from '@chunks/base/testing';
import { expect, test } from 'vitest';
import { actualLayout } from '../src/actual-layout.ts';
import { place } from '../src/chunk-order.ts';

const never = new AbortController().signal;
const chunks = Array.from({ length: 100 }, (_, index) => ({ index }));
const nominal = place(new Array(100).fill(10), 1000);
const base = { chunks, nominal, policy: { policy: 'tolerance' }, signal: never } as const;

test('asks for many sizes at once, but not for all', async () => {
  let asking = 0;
  let most = 0;
  const layout = await actualLayout({
    ...base,
    sizeOf: async () => {
      most = Math.max(most, ++asking);
      await settle();
      asking--;
      return 11;
    },
  });
  expect(most).toBe(16);
  expect(layout.at(-1)).toEqual({ index: 99, startByte: 1089, endByte: 1100 });
});

test('stops asking after the first failure, and at once on an abort', async () => {
  let asked = 0;
  const sizeOf = async (index: number) => {
    asked++;
    return index === 5 ? undefined : 10;
  };
  await expect(actualLayout({ ...base, sizeOf })).rejects.toMatchObject({ code: 'CHUNK_UNAVAILABLE', index: 5 });
  await settle();
  expect(asked).toBeLessThanOrEqual(32);
  const controller = new AbortController();
  const reason = new Error('enough');
  const waiting = actualLayout({ ...base, signal: controller.signal, sizeOf: () => new Promise(() => undefined) });
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
});

test('refuses a size that is none', async () => {
  await expect(actualLayout({ ...base, sizeOf: async () => -1 })).rejects.toThrow(RangeError);
});
