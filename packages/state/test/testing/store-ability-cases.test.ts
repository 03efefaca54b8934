import { describe, expect, test } from 'vitest';
import { abilityFlaws, all, redCases } from './flaws.ts';
import type { StoreFlaw } from './reference-store.ts';

describe('the cases of list, remove and watch', () => {
  test.each(Object.entries(abilityFlaws))('catch a store that %s', async (flaw, cases) => {
    expect(await redCases(all, flaw as StoreFlaw)).toEqual(expect.arrayContaining([...cases]));
  });
});
