import { leaseDriverContract } from '@chunks/locks/testing';
import { describe, expect, test } from 'vitest';
import {
  abilityFlaws,
  absent,
  all,
  bare,
  callFlaws,
  contended,
  handsOn,
  inspect,
  lineFlaws,
  noLine,
  redCases,
  shared,
  unreachable,
  wakes,
} from './flaws.ts';
import { referenceBench } from './reference-leases.ts';

describe('leaseDriverContract', () => {
  test.each([
    ['with every ability', all],
    ['with none', bare],
    ['with a line of exclusive holders', { ...all, shared: false }],
    ['with shared holders and no line', { ...all, line: false }],
  ])('finds nothing wrong with a right driver %s', async (_, abilities) => {
    expect(await redCases(abilities)).toEqual([]);
  });

  test('catches a driver that has what it declares absent, and one that lacks what it declares', async () => {
    expect(await redCases(bare, 'has what it has not')).toEqual(expect.arrayContaining([...absent]));
    expect(await redCases(bare, 'keeps a line')).toEqual([noLine]);
    expect(await redCases(all, 'keeps a line')).toEqual(expect.arrayContaining([handsOn, contended]));
    expect(await redCases(all, 'has what it has not')).toEqual(
      expect.arrayContaining([inspect, wakes, unreachable, shared]),
    );
  });

  test('has no case that catches nothing', () => {
    const caught = [callFlaws, abilityFlaws, lineFlaws].flatMap((flaws) => Object.values(flaws).flat());
    const cases = [all, bare].flatMap((abilities) => leaseDriverContract(referenceBench(abilities), abilities));
    expect(new Set(cases.map(({ name }) => name))).toEqual(new Set([...caught, ...absent, noLine]));
  });

  test('closes the drivers and the bench, whatever the case does', async () => {
    const ends: string[] = [];
    const bench = referenceBench(bare, 'tells no retryAfterMs')();
    const open = async () => ({ ...(await bench.open()), close: async () => void ends.push('driver') });
    const [first] = leaseDriverContract(() => ({ ...bench, open, close: () => void ends.push('bench') }), bare);
    await expect(first?.run()).rejects.toThrow('retryAfterMs is what is left');
    expect(ends).toEqual(['driver', 'driver', 'bench']);
  });
});
