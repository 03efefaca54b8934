import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runs } from '../../../../../.ci/testing/runs.ts';
import { filterOf, keyOf, LIFE, MAX_KEY_BYTES, subjectOf } from '../../../src/adapters/nats/subject.ts';
import { bytesOf } from '../../../src/envelope.ts';

const unit = fc.constantFrom(
  'a',
  '/',
  '.',
  '=',
  '~',
  '2',
  'f',
  'u',
  '-',
  '_',
  '*',
  '>',
  ' ',
  '\0',
  'é',
  '…',
  '\ud800',
  '😀',
);
const key = fc.oneof(fc.string({ unit }), fc.string({ unit: 'binary' }));
const filtered = (filter: string, subject: string): boolean => {
  const [wanted, found] = [filter.split('.'), subject.split('.')];
  return wanted.every((token, i) => (token === '>' ? i < found.length : token === found[i]));
};

test('a subject has what the client takes, no empty token, and gives its key back', () => {
  fc.assert(
    fc.property(key, (key) => {
      const subject = subjectOf('life', key);
      // The client's own rule, and the server's.
      expect(subject).toMatch(/^[-/=.\w]+$/);
      expect(subject.split('.')).not.toContain('');
      expect(subject.startsWith(`${LIFE}.life./`)).toBe(true);
      expect(keyOf(subject)).toBe(key);
      expect(keyOf(`$KV.bucket.${subject}`)).toBe(key);
    }),
    { numRuns: runs(1_000) },
  );
});

test('no subject is that of another key, of another life, or the one that names the life', () => {
  fc.assert(
    fc.property(key, key, (one, other) => {
      expect(subjectOf('a', one) === subjectOf('a', other)).toBe(one === other);
      expect(subjectOf('a', one)).not.toBe(subjectOf('b', other));
      expect(subjectOf('a', one)).not.toBe(LIFE);
    }),
    { numRuns: runs(1_000) },
  );
});

test('a filter lets through every key with the prefix, and none that lacks its last slash', () => {
  fc.assert(
    fc.property(key, key, key, (prefix, rest, other) => {
      expect(filtered(filterOf('life', prefix), subjectOf('life', prefix + rest))).toBe(true);
      const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
      const passes = filtered(filterOf('life', prefix), subjectOf('life', other));
      expect(passes).toBe(other.startsWith(folder));
      expect(filtered(filterOf('other', prefix), subjectOf('life', prefix))).toBe(false);
    }),
    { numRuns: runs(1_000) },
  );
});

test('the longest key fits into a line of the server, whatever is in it', () => {
  for (const character of ['/', '.', '\0', 'é', '…', '\ud800', '😀']) {
    const key = character.repeat(MAX_KEY_BYTES / bytesOf(character));
    expect(subjectOf('0123456789ab', key).length).toBeLessThanOrEqual(3_020);
  }
});
