import { UnsafePathError } from '@chunks/assemble';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkId, chunkName, parseChunkName } from '../src/upload-layout.ts';

test('a chunk’s name tells index, size and sum again', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.maxSafeNat(), fc.integer({ min: 0, max: 2 ** 32 - 1 }), (index, size, crc32) => {
      const chunk = chunkName(index, size, crc32, 1_700_000_000_000);
      expect(parseChunkName(chunk.name)).toEqual(chunk);
      expect(chunk).toMatchObject({ index, size, crc32 });
    }),
  );
});

test('later chunks have later stamps, within one millisecond and when the clock steps back', () => {
  const stamps = [5, 5, 5, 4, 1, 6].map((ms) => chunkName(0, 0, 0, 1_800_000_000_000 + ms).stamp);
  expect([...stamps].sort()).toEqual(stamps);
  expect(new Set(stamps).size).toBe(stamps.length);
});

test('other names are not chunks', () => {
  const { name } = chunkName(7, 100, 0xabc, 1_700_000_000_000);
  for (const other of [
    `0${name}`,
    `-${name}`,
    `${name}x`,
    name.toUpperCase(),
    name.replace('-100-', '-1e2-'),
    '7',
    '',
    '../7',
    `x/${name}`,
  ]) {
    expect(parseChunkName(other), other).toBeUndefined();
  }
});

test('an id that no file name can hold is refused: two of them would share a folder', () => {
  for (const id of ['a\ud800', 'a\udc00b', '\udc00\ud800'])
    expect(() => checkId(id), JSON.stringify(id)).toThrow(UnsafePathError);
  expect(checkId('a\u{1f600}')).toBe('a\u{1f600}');
});
