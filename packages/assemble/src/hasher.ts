import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { checkOneOf, refuseRange, refuseType } from '@chunks/base';
import { DigestMismatchError } from './errors.ts';
import type { Digest } from './types.ts';

/** A digest in the making. */
export interface Hasher {
  update(bytes: Uint8Array): void;
  /** Once, at the end. Lower case. */
  hex(): string;
}

const DIGITS = { crc32: 8, sha256: 64, sha1: 40, md5: 32 } as const;
const algorithms = Object.keys(DIGITS) as Digest['algorithm'][];

export const crcHex = (crc: number): string => crc.toString(16).padStart(8, '0');

export function newHasher(algorithm: Digest['algorithm']): Hasher {
  if (algorithm === 'crc32') {
    let crc = 0;
    return { update: (bytes) => void (crc = crc32(bytes, crc)), hex: () => crcHex(crc) };
  }
  const hash = createHash(algorithm);
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest('hex') };
}

export function checkAlgorithm(option: string, value: unknown): Digest['algorithm'] {
  return checkOneOf(option, value, algorithms);
}

/** @throws TypeError | RangeError unless it is a digest that can be compared with. */
export function checkDigest(option: string, digest: Digest): void {
  if (typeof digest !== 'object' || digest === null) refuseType(option, '{ algorithm, hex }', digest);
  const digits = DIGITS[checkAlgorithm(`${option}.algorithm`, digest.algorithm)];
  if (typeof digest.hex !== 'string') refuseType(`${option}.hex`, 'a string', digest.hex);
  if (digest.hex.length !== digits || /[^0-9a-f]/i.test(digest.hex)) {
    refuseRange(`${option}.hex`, `${digits} hex digits`, digest.hex);
  }
}

/** @throws DigestMismatchError */
export function compareDigest(wanted: Digest, actual: string, index?: number): void {
  if (wanted.hex.toLowerCase() === actual) return;
  throw new DigestMismatchError({ index, algorithm: wanted.algorithm, expected: wanted.hex.toLowerCase(), actual });
}
