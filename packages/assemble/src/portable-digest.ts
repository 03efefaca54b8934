import { checkOneOf, type OwnBytes, refuseType } from '@chunks/base';
import { DigestMismatchError } from './errors.ts';
import type { Digest } from './types.ts';

// md5 is in no runtime's crypto.subtle, and a digest of our own would be slow on megabytes.
const SUBTLE = { sha256: 'SHA-256', sha1: 'SHA-1' } as const;

const table = new Uint32Array(256).map((_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** CRC-32 as in gzip and zip; pass the last result to go on. */
export function crc32(bytes: Uint8Array, before = 0): number {
  let crc = ~before;
  for (let i = 0; i < bytes.length; i++) {
    crc = (table[(crc ^ (bytes[i] as number)) & 0xff] as number) ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}

/** @throws RangeError for an algorithm that not every runtime has; TypeError for what is no digest. */
export function checkPortable(option: string, digest: Digest): void {
  if (typeof digest !== 'object' || digest === null) refuseType(option, '{ algorithm, hex }', digest);
  checkOneOf(`${option}.algorithm`, digest.algorithm, ['crc32', 'sha256', 'sha1']);
  if (typeof digest.hex !== 'string') refuseType(`${option}.hex`, 'a string', digest.hex);
}

/** @throws DigestMismatchError */
export async function verifyDigest(index: number, bytes: OwnBytes, digest: Digest): Promise<void> {
  const { algorithm } = digest;
  const expected = digest.hex.toLowerCase();
  const actual = await hexOf(algorithm, bytes);
  if (actual !== expected) throw new DigestMismatchError({ index, algorithm, expected, actual });
}

async function hexOf(algorithm: Digest['algorithm'], bytes: OwnBytes): Promise<string> {
  if (algorithm === 'crc32') return crc32(bytes).toString(16).padStart(8, '0');
  const hash = await crypto.subtle.digest(SUBTLE[algorithm as keyof typeof SUBTLE], bytes);
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
