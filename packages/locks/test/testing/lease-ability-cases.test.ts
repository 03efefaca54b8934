import { describe, expect, test } from 'vitest';
import { abilityFlaws, all, redCases } from './flaws.ts';
import type { Flaw } from './reference-leases.ts';

describe('the cases of abilities', () => {
  test.each(Object.entries(abilityFlaws))('catch a driver that %s', async (flaw, cases) => {
    expect(await redCases(all, flaw as Flaw)).toEqual(expect.arrayContaining([...cases]));
  });
});
