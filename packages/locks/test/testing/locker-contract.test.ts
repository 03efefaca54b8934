import { KeyedMutex } from '@chunks/locks';
import { type LockerBench, lockerContract, VirtualClock } from '@chunks/locks/testing';
import { describe, expect, test } from 'vitest';
import { flaws, flawsAgainst, redCases } from './locker-flaws.ts';

const bench = (): LockerBench => {
  const clock = new VirtualClock();
  return { open: (options) => new KeyedMutex({ ...options, clock }), pass: (ms) => clock.advance(ms) };
};
const inTogether = 'shared holders are in together, and a waiting exclusive one is never passed';
const exclusiveOnly = 'shared mode is refused, by an error that says so';

describe('a KeyedMutex is a locker', () => {
  for (const { name, run } of lockerContract(bench, { shared: true })) test(name, run);
});

describe('lockerContract', () => {
  test.each(flawsAgainst({ [inTogether]: undefined as never }))(
    'catches a locker that %s',
    async (_, caughtBy, how) => {
      expect(await redCases({ shared: true }, how)).toContain(caughtBy);
    },
  );

  test('catches a locker that has a mode which it declares absent', async () => {
    expect(await redCases({ shared: false })).toEqual([exclusiveOnly]);
  });

  test('has no case that catches nothing', () => {
    const caught = [...Object.values(flaws).map(([name]) => name), exclusiveOnly];
    const cases = [true, false].flatMap((shared) => lockerContract(bench, { shared }));
    expect(new Set(cases.map(({ name }) => name))).toEqual(new Set(caught));
  });
});
