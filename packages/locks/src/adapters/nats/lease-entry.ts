import { refuseRange } from '@chunks/base';

/** One version of a record of the bucket; the client's own has more. */
export interface NatsKvEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
  /** When the server stored it, by the server's clock. */
  readonly created: Date;
  /** `PUT`; anything else is the trace of a record that was deleted. */
  readonly operation: string;
}

/** What a record says. */
export interface LeaseRecord {
  readonly token: number;
  /** Undefined: the key is free. */
  readonly holder?: string | undefined;
  readonly leaseMs: number;
  /** When it was sent, by the writer's clock. */
  readonly sentMs: number;
}

/** A record as it was read. */
export interface StoredLease extends LeaseRecord {
  /** 0: there is none, and never was, or the server has forgotten it. */
  readonly revision: number;
  /** When it was stored, by the server's clock. */
  readonly createdMs: number;
}

/** What the keys of all leases begin with. */
export const LEASES = 'lease.';

// A server breaks the connection over a line above 4,096 bytes, of which some are its own words.
const MAX_SUBJECT = 3_000;
// Never stale, in a form that JSON has.
const MAX_LEASE_MS = 1e13;

const utf8 = new TextEncoder();

/**
 * The record's key. Subjects allow few characters, and those with a meaning (`.`, `*`, `>`) must lose it: all but
 * letters, digits, `-`, `_` and `/` becomes `=` and the hex of its bytes.
 *
 * @throws RangeError when it would be longer than servers take: above 998 bytes, at the earliest
 */
export function subjectOf(key: string): string {
  let subject = LEASES;
  for (const character of key) {
    if (/[\w/-]/.test(character)) subject += character;
    else for (const byte of bytesOf(character)) subject += `=${byte.toString(16).padStart(2, '0')}`;
  }
  if (subject.length > MAX_SUBJECT) refuseRange('key', `at most ${MAX_SUBJECT} characters as a NATS subject`, key);
  return subject;
}

/** In UTF-8, which has no bytes for lone surrogates: they would all become the same character. So they get bytes that it never has. */
function bytesOf(character: string): Uint8Array | readonly number[] {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0xd800 || code > 0xdfff) return utf8.encode(character);
  return [0xed, 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)];
}

/** The record's value; a free key keeps its token alone. */
export function encodeLease({ token, holder, leaseMs, sentMs }: LeaseRecord): Uint8Array {
  const record = holder === undefined ? { token } : { token, holder, leaseMs: Math.min(leaseMs, MAX_LEASE_MS), sentMs };
  return utf8.encode(JSON.stringify(record));
}

/** @throws Error when the record is none of ours: what it means nobody knows, so the key is neither busy nor free */
export function decodeLease(entry: NatsKvEntry | null): StoredLease {
  if (entry === null) return { revision: 0, createdMs: 0, token: 0, leaseMs: 0, sentMs: 0 };
  const { revision } = entry;
  const createdMs = entry.created.getTime();
  if (entry.operation !== 'PUT') return { revision, createdMs, token: 0, leaseMs: 0, sentMs: 0 };
  const text = new TextDecoder().decode(entry.value);
  try {
    const { token, holder, leaseMs = 0, sentMs = 0 } = JSON.parse(text) as LeaseRecord;
    if (isLease(token, holder, leaseMs, sentMs)) return { revision, createdMs, token, holder, leaseMs, sentMs };
  } catch {
    // Not JSON: said below, together with what is JSON but no lease.
  }
  throw new Error(`the record ${entry.key} is not a lease: ${text.slice(0, 60)}`);
}

const isLease = (token: unknown, holder: unknown, ...times: unknown[]): boolean =>
  Number.isSafeInteger(token) &&
  (holder === undefined || typeof holder === 'string') &&
  times.every((time) => typeof time === 'number');
