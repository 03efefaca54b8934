import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkPortable, crc32, verifyDigest } from '../src/portable-digest.ts';
import type { Digest } from '../src/types.ts';

const text = (value: string) => new TextEncoder().encode(value) as Uint8Array<ArrayBuffer>;

test('the check values that everybody publishes', async () => {
  expect(crc32(text('123456789'))).toBe(0xcbf43926);
  expect(crc32(text(''))).toBe(0);
  const known: Digest[] = [
    { algorithm: 'crc32', hex: '352441c2' },
    { algorithm: 'sha1', hex: 'a9993e364706816aba3e25717850c26c9cd0d89d' },
    { algorithm: 'sha256', hex: 'BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD' },
  ];
  for (const digest of known) {
    await verifyDigest(0, text('abc'), digest);
    await expect(verifyDigest(3, text('abd'), digest)).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      index: 3,
      algorithm: digest.algorithm,
    });
  }
});

test('crc32 goes on from where it stopped, and agrees with long division', () => {
  const byDivision = (bytes: Uint8Array): number => {
    let rest = 0xffffffffn;
    for (const byte of bytes) {
      rest ^= BigInt(byte);
      for (let bit = 0; bit < 8; bit++) rest = rest & 1n ? (rest >> 1n) ^ 0xedb88320n : rest >> 1n;
    }
    return Number(rest ^ 0xffffffffn);
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 50 }), fc.uint8Array({ maxLength: 50 }), (a, b) => {
      expect(crc32(b, crc32(a))).toBe(byDivision(Uint8Array.of(...a, ...b)));
    }),
  );
});

test('md5 is refused', () => {
  expect(() => checkPortable('digest', { algorithm: 'md5', hex: '' })).toThrow(
    /digest.algorithm must be one of "crc32", "sha256", "sha1"/,
  );
});

test.each<[string, unknown, RegExp]>([
  ['null', null, /^digest must be \{ algorithm, hex \}, but is null/],
  ['no hex', { algorithm: 'sha256' }, /^digest.hex must be a string, but is undefined/],
])('a digest that is none is refused before anything is fetched: %s', (_, digest, message) => {
  expect(() => checkPortable('digest', digest as Digest)).toThrow(TypeError);
  expect(() => checkPortable('digest', digest as Digest)).toThrow(message);
});
