import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../../../.ci/testing/runs.ts';
import { objectName, parseRecord } from '../../../src/adapters/object-store/lease-record.ts';

describe('objectName', () => {
  test.each([
    ['chunk-7.v2', 'locks/chunk-7.v2.lease'],
    ['a/b c', 'locks/a~2fb~20c.lease'],
    ['..', 'locks/...lease'],
    ['~2f', 'locks/~7e2f.lease'],
    ['é', 'locks/~e9.lease'],
    ['\ud800', 'locks/~ud800.lease'],
  ])('%j is %s', async (key, name) => {
    expect(await objectName('locks/', key)).toBe(name);
  });

  test('is its own URL path, short enough, and no two keys share one', async () => {
    const key = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 600 }),
      fc.string({ unit: fc.constantFrom('.', '/', '~', 'u', '2', 'f', '%', 'é', '\ud800'), minLength: 1 }),
      fc.integer({ min: 1, max: 512 }).map((length) => '日'.repeat(length)),
    );
    await fc.assert(
      fc.asyncProperty(key, key, async (a, b) => {
        const [nameA, nameB] = [await objectName('p/', a), await objectName('p/', b)];
        expect(nameA === nameB).toBe(a === b);
        expect(new URL(`https://s3.test/${nameA}`).pathname).toBe(`/${nameA}`);
        expect(nameA).toMatch(/^p\/[A-Za-z0-9._~-]+\.lease$/);
        expect(nameA.length).toBeLessThanOrEqual(1024 - 200);
      }),
      { numRuns: runs(100) },
    );
  });
});

describe('parseRecord', () => {
  const record = { key: 'k', holder: 'h', token: 7, leaseMs: 1.5, write: 3 };

  test('gives back what was written', () => {
    expect(parseRecord('o', 'k', JSON.stringify(record))).toEqual(record);
  });

  test.each([
    '',
    'null',
    '7',
    '"text"',
    '[]',
    '{}',
    ...Object.entries({ holder: 1, token: 1.5, leaseMs: -1, write: null }).map(([name, wrong]) =>
      JSON.stringify({ ...record, [name]: wrong }),
    ),
  ])('what is no lease is neither free nor written over: %s', (text) => {
    expect(() => parseRecord('o', 'k', text)).toThrow('object o holds no lease');
  });

  test("another key's lease is refused", () => {
    expect(() => parseRecord('o', 'K', JSON.stringify(record))).toThrow('object o holds the lease of "k"');
  });
});
