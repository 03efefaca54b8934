import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../../../.ci/testing/runs.ts';
import { decodeLease, encodeLease, type NatsKvEntry, subjectOf } from '../../../src/adapters/nats/lease-entry.ts';

const entryOf = (value: Uint8Array, operation = 'PUT'): NatsKvEntry => ({
  key: 'lease.key',
  value,
  revision: 7,
  created: new Date(1_700_000_000_000),
  operation,
});

describe('keys as subjects', () => {
  // What `@nats-io/kv` takes as a key.
  const VALID = /^[-/=.\w]+$/;

  test('are valid, of one part after the prefix, and never two keys the same', () => {
    const key = fc.oneof(
      fc.string({ minLength: 1, unit: 'binary' }),
      fc.string({
        minLength: 1,
        unit: fc.constantFrom('a', '.', '*', '>', '=', '\\', '"', '/', '2', 'e', '\ud800', '\udc00', '\0'),
      }),
    );
    fc.assert(
      fc.property(key, key, (a, b) => {
        const [one, other] = [subjectOf(a), subjectOf(b)];
        expect(one).toMatch(VALID);
        expect(one.split('.')).toHaveLength(2);
        expect(one === other).toBe(a === b);
      }),
      { numRuns: runs(1_000) },
    );
  });

  test('stay the same from one version to the next, and can be read by people', () => {
    expect(subjectOf('videos/7-a_B')).toBe('lease.videos/7-a_B');
    expect(subjectOf('a.b*>= é')).toBe('lease.a=2eb=2a=3e=3d=20=c3=a9');
    expect(subjectOf('\ud800')).toBe('lease.=ed=a0=80');
  });

  test('of 512 bytes always fit; a key that no server would take is refused by name', () => {
    for (const key of ['\u0001'.repeat(512), '.'.repeat(512), 'é'.repeat(256), '\ud83d\ude00'.repeat(128)]) {
      expect(subjectOf(key)).toHaveLength(6 + 3 * 512);
    }
    expect(() => subjectOf('.'.repeat(1_000))).toThrow(/^key must be at most 3000 characters as a NATS subject/);
  });
});

describe('records', () => {
  test('come back as they were written', () => {
    const at = { revision: 7, createdMs: 1_700_000_000_000 };
    const held = { token: 5, holder: 'é "x"', leaseMs: 30_000, sentMs: 1_700_000_000_000.5 };
    expect(decodeLease(entryOf(encodeLease(held)))).toEqual({ ...held, ...at });
    const free = { token: 5, leaseMs: 0, sentMs: 0 };
    expect(decodeLease(entryOf(encodeLease({ ...free, sentMs: 3 })))).toEqual({ ...free, ...at, holder: undefined });
    const never = decodeLease(entryOf(encodeLease({ ...held, leaseMs: Number.POSITIVE_INFINITY })));
    expect(never.leaseMs).toBe(1e13);
  });

  test('that are not there, or were deleted, are free keys without a token', () => {
    const free = { token: 0, leaseMs: 0, sentMs: 0 };
    expect(decodeLease(null)).toEqual({ ...free, revision: 0, createdMs: 0 });
    for (const operation of ['DEL', 'PURGE']) {
      const deleted = decodeLease(entryOf(new Uint8Array(0), operation));
      expect(deleted).toEqual({ ...free, revision: 7, createdMs: 1_700_000_000_000 });
    }
  });

  test.each([
    '',
    'x',
    'null',
    '3',
    '{}',
    '{"token":"1"}',
    '{"token":1.5}',
    '{"token":1,"holder":2}',
    '{"token":1,"leaseMs":"2"}',
  ])('that are none of ours are neither: %s', (text) => {
    expect(() => decodeLease(entryOf(new TextEncoder().encode(text)))).toThrow('lease.key is not a lease');
  });
});
