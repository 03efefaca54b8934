import { HttpProblem } from '../http/problem.ts';

const SHA256_BASE64 = /^[A-Za-z0-9+/]{43}=$/;

/** The sha-256 in a Content-Digest header (RFC 9530), as hex. */
export function sha256Of(header: string | null): string {
  if (header === null) {
    throw new HttpProblem(400, 'digest-required', 'Send Content-Digest: sha-256=:…: with the chunk');
  }
  // A dictionary of structured fields: members parted by commas, base64 between colons.
  for (const member of header.split(',')) {
    const found = /^\s*sha-256=:([^:]*):\s*$/.exec(member)?.[1];
    if (found === undefined) continue;
    if (!SHA256_BASE64.test(found)) break;
    return Buffer.from(found, 'base64').toString('hex');
  }
  throw new HttpProblem(400, 'bad-digest', 'Content-Digest must hold sha-256=:<44 characters of base64>:');
}
