import { versionedStoreContract } from '@chunks/state/testing';
import { describe, expect, test } from 'vitest';
import { abilityFlaws, absent, all, bare, callFlaws, redCases } from './flaws.ts';
import { referenceBench } from './reference-store.ts';

describe('versionedStoreContract', () => {
  test.each([
    ['with every ability', all],
    ['with none', bare],
    ['with no limit of keys, and one of values', { ...all, maxKeyBytes: undefined, maxValueBytes: 300 }],
  ])('finds nothing wrong with a right store %s', async (_, abilities) => {
    expect(await redCases(abilities)).toEqual([]);
  });

  test('catches a store that has what it declares absent, and one that lacks what it declares', async () => {
    expect(await redCases(bare, 'has what it has not')).toEqual(absent);
    const abilityCases = new Set(Object.values(abilityFlaws).flat());
    expect(new Set(await redCases(all, 'lacks what it has'))).toEqual(abilityCases);
  });

  test('has no case that catches nothing', () => {
    const caught = [callFlaws, abilityFlaws].flatMap((flaws) => Object.values(flaws).flat());
    const cases = [all, bare].flatMap((abilities) => versionedStoreContract(referenceBench(abilities), abilities));
    expect(new Set(cases.map(({ name }) => name))).toEqual(new Set([...caught, ...absent]));
  });

  test('closes what was opened and the bench, whatever the case does', async () => {
    const ends: string[] = [];
    const [first] = versionedStoreContract(
      referenceBench(all, 'has no name', (what) => void ends.push(what)),
      all,
    );
    await expect(first?.run()).rejects.toThrow('it has a name');
    expect(ends).toEqual(['store', 'bench']);
  });
});
