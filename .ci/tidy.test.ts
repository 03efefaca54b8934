import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { plants, rules } from './tidy/plants.ts';
import { readRepository } from './tidy/repository.ts';

const repository = readRepository(path.resolve(import.meta.dirname, '..'));

describe('the house rules are kept', () => {
  test.each(Object.entries(rules))('%s', (_, rule) => {
    expect(rule(repository)).toEqual([]);
  });

  test('and they looked at something', () => {
    const paths = [...repository.files.keys()];
    for (const name of ['README.md', 'package.json', '.ci/tidy.test.ts', 'packages/base/src/clock.ts']) {
      expect(paths).toContain(name);
    }
    expect(paths.filter((file) => file.includes('node_modules') || file.includes('/dist/'))).toEqual([]);
  });
});

describe('the house rules can be broken', () => {
  test.each(plants)('$rule.name', ({ rule, files, offenders }) => {
    const planted = { root: '/srv/checkout/planted', files: new Map(Object.entries(files)) };
    expect(rule(planted)).toEqual(offenders);
  });

  test('each of them', () => {
    expect(plants.map(({ rule }) => rule.name).sort()).toEqual(Object.keys(rules).sort());
  });
});
