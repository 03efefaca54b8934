import { seededRandom } from '@chunks/base/testing';
import { checkVersionOrder, type UpdateEnd } from '@chunks/state/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../../.ci/testing/runs.ts';

type Done = Extract<UpdateEnd, { outcome: 'done' }>;

/** Commits one after the other, each of a few updates of a few instances, that are under way around their commit. */
function trueHistory(seed: number): { ends: UpdateEnd[]; log: string[]; version: number } {
  const random = seededRandom(seed);
  const upTo = (n: number): number => Math.floor(random() * n);
  const ends: UpdateEnd[] = [];
  const log: string[] = [];
  const calledAt = [0, 0, 0];
  const commits = 1 + upTo(12);
  for (let version = 1; version <= commits; version++) {
    const at = 10 * version;
    const who = upTo(3);
    for (let index = 0; index < 1 + upTo(4); index++) {
      const name = `update ${ends.length}`;
      const start = (calledAt[who] = Math.max(calledAt[who] ?? 0, at - upTo(25)) + 0.01);
      const outcome = random() < 0.1 ? ('unknown' as const) : ('done' as const);
      log.push(name);
      ends.push({ name, process: who, start, end: at + 1 + upTo(25), outcome, version, index });
    }
    if (random() < 0.3) {
      ends.push({ name: `get ${version}`, start: at + 2, end: at + 3, outcome: 'done', version, index: -1 });
    }
    if (random() < 0.2) ends.push({ name: `failed ${version}`, process: who, start: 0, end: at, outcome: 'failed' });
    if (random() < 0.2) ends.push({ name: `lost ${version}`, process: who, start: 0, outcome: 'unknown' });
  }
  return { ends, log, version: commits };
}

const seeds = fc.integer();

test('what happened in order is fine, whatever is known of it', () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const { ends, log, version } = trueHistory(seed);
      expect(checkVersionOrder(ends)).toEqual([]);
      expect(checkVersionOrder(ends, { version, log })).toEqual([]);
      expect(checkVersionOrder(ends.toReversed(), { log })).toEqual([]);
      const some = ends.filter((_, i) => i % 3 > 0);
      expect(checkVersionOrder(some, { version, log }, { isWhole: false })).toEqual([]);
    }),
    { numRuns: runs(500) },
  );
});

describe('what was changed is found', () => {
  /** The history with one thing wrong, and a word of what is said about it. */
  type Change = (ends: UpdateEnd[], log: string[], pick: Done, other: Done) => RegExp;
  const put = (ends: UpdateEnd[], one: UpdateEnd): void => {
    ends[ends.findIndex(({ name }) => name === one.name)] = one;
  };
  const changes: Record<string, Change> = {
    'a name that is lost': (_, log, { name }) => {
      log.splice(log.indexOf(name), 1);
      return new RegExp(`${name} was acknowledged and was applied 0 times`);
    },
    'a name that stands there twice': (_, log, { name }) => {
      log.push(name);
      return new RegExp(`${name} was acknowledged and was applied 2 times`);
    },
    'a failed one that was applied': (ends, _, { name, start, end }) => {
      put(ends, { name, start, end, outcome: 'failed' });
      return new RegExp(`${name} failed and was applied 1 times`);
    },
    'an unknown one that was applied twice': (ends, log, { name, start }) => {
      put(ends, { name, start, outcome: 'unknown' });
      log.push(name);
      return new RegExp(`${name} is unknown and was applied 2 times`);
    },
    'an unknown one before its time': (ends, _, { name }) => {
      put(ends, { name, start: 1_000, outcome: 'unknown' });
      ends.push({ name: 'last', start: 0, end: 999, outcome: 'done', version: 999, index: 0 });
      _.push('last');
      return new RegExp(`${name} stands before .*, which had ended when it was called`);
    },
    'a stranger in the log': (_, log) => {
      log.push('stranger');
      return /stranger is in the log, and nobody wrote it/;
    },
    'one place for two': (ends, log, { version, index, end }) => {
      ends.push({ name: 'second', start: 0, end, outcome: 'done', version, index });
      log.push('second');
      return /has the place of/;
    },
    'two that changed places': (ends, _, one, other) => {
      put(ends, { ...one, version: other.version, index: other.index });
      put(ends, { ...other, version: one.version, index: one.index });
      return /stands behind/;
    },
    'one that nobody wrote': (ends, log, { name }) => {
      ends.splice(0, ends.length, ...ends.filter((one) => one.name !== name && one.outcome !== 'unknown'));
      ends.push({ name: 'late', start: 0, end: 999, outcome: 'done', version: 999, index: 0 });
      log.push('late');
      return /nobody has version .*, and only 0 are unknown/;
    },
    'a version above the last': (ends, log) => {
      ends.push({ name: 'above', start: 0, end: 999, outcome: 'done', version: 13, index: 0 });
      log.push('above');
      return /the last version is \d+, but 13 was told/;
    },
    'a look at the past': (ends, _, { version }) => {
      ends.push({ name: 'get', start: 500, end: 501, outcome: 'done', version: version - 1, index: -1 });
      return /get, which saw version \d+, was called at 500, after/;
    },
    'a look at the future': (ends, _, { version }) => {
      ends.push({ name: 'get', start: -2, end: -1, outcome: 'done', version, index: -1 });
      return /was called at .*, after get, which saw version \d+, had ended at -1/;
    },
    'an update that was called too late for its place': (ends, _, one, other) => {
      const [early, late] = one.version < other.version ? [one, other] : [other, one];
      put(ends, { ...early, start: 1_000, end: 1_001 });
      put(ends, { ...late, process: undefined });
      return /was called at 1000, after/;
    },
    'two calls on one instance that overtook each other': (ends, _, one, other) => {
      const [early, late] = one.version < other.version ? [one, other] : [other, one];
      put(ends, { ...early, process: 'same', start: -1, end: 1_001 });
      put(ends, { ...late, process: 'same', start: -2 });
      return /was called after .* by same/;
    },
  };

  test.each(Object.entries(changes))('%s', (_, change) => {
    let tried = 0;
    fc.assert(
      fc.property(seeds, fc.nat(), fc.nat(), (seed, a, b) => {
        const { ends, log, version } = trueHistory(seed);
        const done = ends.filter((one) => one.outcome === 'done').filter(({ index }) => index >= 0);
        const pick = done[a % done.length];
        const other = done[b % done.length];
        if (pick === undefined || other === undefined || pick.version === other.version) return;
        const said = change(ends, log, pick, other);
        tried++;
        expect(checkVersionOrder(ends, { version, log }).join('\n')).toMatch(said);
      }),
      { numRuns: runs(100) },
    );
    expect(tried).toBeGreaterThan(10);
  });
});

test('a record that had a past, and writers of whom nothing is known', () => {
  const one = { name: 'a', start: 1, end: 2, outcome: 'done', version: 8, index: 0 } as const;
  expect(checkVersionOrder([one], {}, { after: 7 })).toEqual([]);
  expect(checkVersionOrder([one], {}, { after: 8 })).toEqual(['a, version 8 index 0, is not after version 8']);
  expect(checkVersionOrder([one], {}, { after: 6 })).toEqual(['nobody has version 7 index 0, and only 0 are unknown']);
  const lost = { name: 'b', start: 1, outcome: 'unknown' } as const;
  expect(checkVersionOrder([one, lost], {}, { after: 6 })).toEqual([]);
  expect(checkVersionOrder([one], { log: ['x', 'a', 'y'] }, { isWhole: false })).toEqual([]);
});
