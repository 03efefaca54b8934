import { escapedName } from '@chunks/base';

/** What an object holds: who has the key, or who had it last. */
export interface LeaseRecord {
  /** In full, because the object's name may be a digest of it. */
  readonly key: string;
  readonly holder: string;
  /** Never goes back: it stays when the key is free. */
  readonly token: number;
  /** 0: released. */
  readonly leaseMs: number;
  /** Counts all writes. Stores make etags out of the content, and one that comes back would let a late write in. */
  readonly write: number;
}

/**
 * @throws Error when the text is no lease of this key: whatever else lies there must neither be taken for a free key nor
 * be written over.
 */
export function parseRecord(name: string, key: string, text: string): LeaseRecord {
  let record: Partial<LeaseRecord> | null;
  try {
    record = JSON.parse(text);
  } catch (cause) {
    throw new Error(`object ${name} holds no lease`, { cause });
  }
  const isWhole = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
  const isLease =
    typeof record?.holder === 'string' &&
    typeof record.leaseMs === 'number' &&
    record.leaseMs >= 0 &&
    isWhole(record.token) &&
    isWhole(record.write);
  if (!isLease) throw new Error(`object ${name} holds no lease`);
  if (record?.key !== key) throw new Error(`object ${name} holds the lease of ${JSON.stringify(record?.key)}`);
  return record as LeaseRecord;
}

// S3 and R2 take names of up to 1024 bytes, the prefix included.
const LONGEST = 700;
const READABLE = 200;

/**
 * The object that keeps a key's lease; never a name of dots alone. A key that gets too long is cut and told apart by its
 * SHA-256.
 */
export async function objectName(prefix: string, key: string): Promise<string> {
  const name = escapedName(key);
  if (name.length <= LONGEST) return `${prefix}${name}.lease`;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(name)));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  // No escape begins with two of them, so no whole name looks like this.
  return `${prefix}${name.slice(0, READABLE)}~~${hex}.lease`;
}
