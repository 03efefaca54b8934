import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runs } from '../../../../.ci/testing/runs.ts';
import { play, steps } from './event-log-model.ts';

test('random programs of appends, reads, compactions and crashes at several places agree with a plain list', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.nat(), async (program, seed) => {
      expect(await play(program, seed)).toEqual([]);
    }),
    { numRuns: runs(60) },
  );
});
