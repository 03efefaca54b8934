import { describe, expect, test } from 'vitest';
import { all, callFlaws, redCases } from './flaws.ts';
import type { Flaw } from './reference-leases.ts';

describe('the cases of acquire, renew and release', () => {
  test.each(Object.entries(callFlaws))('catch a driver that %s', async (flaw, cases) => {
    expect(await redCases(all, flaw as Flaw)).toEqual(expect.arrayContaining([...cases]));
  });
});
