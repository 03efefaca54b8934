import { describe, expect, test } from 'vitest';
import { groupCases, leaseCases } from '../../src/testing/locker-lease-cases.ts';
import { flawsAgainst, redCases } from './locker-flaws.ts';

describe('the cases of leases and groups', () => {
  test.each(flawsAgainst({ ...groupCases, ...leaseCases }))('catch a locker that %s', async (_, caughtBy, how) => {
    expect(await redCases({ shared: true }, how)).toContain(caughtBy);
  });
});
