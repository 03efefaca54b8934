import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nodeFiles } from '../src/file-port.ts';
import { writeAll, writeAllSync } from '../src/write-all.ts';

/** A disk in memory that takes what `counts` says, call by call, then fails or takes all. */
function disk(counts: readonly number[], failure?: Error) {
  const content = new Map<number, number>();
  let call = 0;
  const writeSync = (_: number, bytes: Uint8Array, offset: number, length: number, position: number): number => {
    const take = Math.min(length, counts[call++] ?? (failure ? -1 : length));
    if (take < 0) throw failure as Error;
    for (let i = 0; i < take; i++) content.set(position + i, bytes[offset + i] as number);
    return take;
  };
  const files = { ...nodeFiles, writeSync, write: async (...args: Parameters<typeof writeSync>) => writeSync(...args) };
  return { content, target: { files, fd: 1, path: 'disk' } };
}

const bytes = Uint8Array.from({ length: 30 }, (_, i) => i);
const both = (target: Parameters<typeof writeAll>[0], position: number): (() => Promise<void>)[] => [
  () => writeAll(target, bytes, position),
  async () => writeAllSync(target, Uint8Array.of(...bytes, 99), bytes.length, position),
];

test('short counts are gone on from; a failure tells how far it came', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 6 }),
      fc.boolean(),
      fc.constantFrom(0, 1),
      async (counts, fails, which) => {
        const failure = fails ? Object.assign(new Error('full'), { code: 'ENOSPC' }) : undefined;
        const { content, target } = disk(counts, failure);
        const error = await both(target, 1000)
          [which]?.()
          .then(
            () => undefined,
            (reason) => reason,
          );
        const fitted = counts.reduce((sum, count) => sum + count, 0);
        const written = failure === undefined ? 30 : Math.min(30, fitted);
        expect([...content]).toEqual(Array.from({ length: written }, (_, i) => [1000 + i, i]));
        if (written < 30)
          expect(error).toMatchObject({ code: 'WRITE_FAILED', wanted: 30, written, path: 'disk', cause: failure });
        else expect(error).toBeUndefined();
      },
    ),
  );
});

test('a call that writes nothing ends it', async () => {
  for (const which of [0, 1]) {
    const { target } = disk([10, 0]);
    await expect(both(target, 0)[which]?.()).rejects.toMatchObject({ code: 'WRITE_FAILED', written: 10 });
  }
});

test('stops between two calls when told to', async () => {
  const { content, target } = disk([5, 5, 5]);
  await writeAll(target, bytes, 0, () => content.size >= 10);
  expect(content.size).toBe(10);
});
