import { describe, expect, test } from 'vitest';
import { viewCases } from '../../src/testing/locker-view-cases.ts';
import { flawsAgainst, redCases } from './locker-flaws.ts';

describe('the cases of what a locker tells', () => {
  test.each(flawsAgainst(viewCases))('catch a locker that %s', async (_, caughtBy, how) => {
    expect(await redCases({ shared: true }, how)).toContain(caughtBy);
  });
});
