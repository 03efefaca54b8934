import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runs } from '../../../../../.ci/testing/runs.ts';
import { isHashed, keyOf, nameOf } from '../../../src/adapters/fs/key-name.ts';

const anyKey = fc
  .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 60 })
  .map((units) => String.fromCharCode(...units));
const key = fc.oneof(
  anyKey,
  fc.string({ unit: fc.constantFrom('a', 'A', '%', 'u', '0', '~', '.', '/'), maxLength: 300 }),
);

test('every key has a name of its own, that every file system takes and none takes for another', () => {
  fc.assert(
    fc.property(key, key, (one, other) => {
      expect(nameOf(one)).toMatch(/^[a-z0-9_%~-]{1,200}$/);
      expect(nameOf(one) === nameOf(other)).toBe(one === other);
      expect(isHashed(nameOf(one)) || keyOf(nameOf(one)) === one).toBe(true);
    }),
    { numRuns: runs(500) },
  );
});

test('names that were not made here tell no key', () => {
  for (const name of ['.DS_Store', 'A', '%2', '%41%', '%u0041', '%61', '', '..', `~${'0'.repeat(64)}`]) {
    expect(keyOf(name)).toBeUndefined();
  }
});

test('names are the same in every version, and can be read', () => {
  expect(['', 'batch-7', 'a/B', '..', 'é', '漢\ud800'].map(nameOf)).toEqual([
    '%',
    'batch-7',
    'a%2f%42',
    '%2e%2e',
    '%e9',
    '%u6f22%ud800',
  ]);
  expect(nameOf('k'.repeat(200))).toBe('k'.repeat(200));
  expect(nameOf('k'.repeat(201))).toBe('~1cbef01e76662c2b99b9175ce8a3458e72edcdfb4f238f628631fe509ddeb329');
});
