import { expect, test } from 'vitest';
import { checkDigest, compareDigest, newHasher } from '../src/hasher.ts';
import type { Digest } from '../src/types.ts';

const known: Digest[] = [
  { algorithm: 'crc32', hex: '352441C2' },
  { algorithm: 'md5', hex: '900150983cd24fb0d6963f7d28e17f72' },
  { algorithm: 'sha1', hex: 'a9993e364706816aba3e25717850c26c9cd0d89d' },
  { algorithm: 'sha256', hex: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad' },
];

test.each(known)('$algorithm of "abc", in pieces', (digest) => {
  const hasher = newHasher(digest.algorithm);
  for (const letter of 'abc') hasher.update(Buffer.from(letter));
  const hex = hasher.hex();
  expect(hex).toBe(digest.hex.toLowerCase());
  checkDigest('digest', digest);
  compareDigest(digest, hex);
  expect(() => compareDigest(digest, hex.replace(/^./, 'f'), 4)).toThrow(
    expect.objectContaining({ code: 'DIGEST_MISMATCH', index: 4 }),
  );
});

test('a crc32 keeps its leading zeros', () => {
  const hasher = newHasher('crc32');
  expect(hasher.hex()).toBe('00000000');
});

test('refuses what cannot be compared with', () => {
  expect(() => checkDigest('d', undefined as unknown as Digest)).toThrow(/^d must be/);
  expect(() => checkDigest('d', { algorithm: 'md4', hex: '' } as unknown as Digest)).toThrow(/d.algorithm/);
  expect(() => checkDigest('d', { algorithm: 'crc32', hex: '1234567' })).toThrow(/d.hex must be 8 hex digits/);
  expect(() => checkDigest('d', { algorithm: 'crc32', hex: '1234567g' })).toThrow(/d.hex/);
  expect(() => checkDigest('d', { algorithm: 'crc32', hex: 1 as unknown as string })).toThrow(TypeError);
});
