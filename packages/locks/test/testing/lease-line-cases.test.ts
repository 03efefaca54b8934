import { describe, expect, test } from 'vitest';
import { all, lineFlaws, redCases } from './flaws.ts';
import type { Flaw } from './reference-leases.ts';

describe('the cases of a line', () => {
  test.each(Object.entries(lineFlaws))('catch a driver that %s', async (flaw, cases) => {
    expect(await redCases(all, flaw as Flaw)).toEqual(expect.arrayContaining([...cases]));
  });
});
