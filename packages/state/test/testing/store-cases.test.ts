import { describe, expect, test } from 'vitest';
import { all, callFlaws, redCases } from './flaws.ts';
import type { StoreFlaw } from './reference-store.ts';

describe('the cases of reads and writes', () => {
  test.each(Object.entries(callFlaws))('catch a store that %s', async (flaw, cases) => {
    expect(await redCases(all, flaw as StoreFlaw)).toEqual(expect.arrayContaining([...cases]));
  });
});
