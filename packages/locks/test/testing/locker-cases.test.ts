import { describe, expect, test } from 'vitest';
import { grantCases, waitCases } from '../../src/testing/locker-cases.ts';
import { flawsAgainst, redCases } from './locker-flaws.ts';

describe('the cases of grants and waits', () => {
  test.each(flawsAgainst({ ...grantCases, ...waitCases }))('catch a locker that %s', async (_, caughtBy, how) => {
    expect(await redCases({ shared: true }, how)).toContain(caughtBy);
  });
});
