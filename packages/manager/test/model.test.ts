import { memoryRepository } from '@chunks/manager';
import fc from 'fast-check';
import { test } from 'vitest';
import { Program, step } from './support/program.ts';

const run = (numRuns: number, budget: number | undefined): Promise<void> =>
  fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60, size: 'max' }), async (steps) => {
      const repository = memoryRepository();
      await new Program(async () => repository, budget).run(steps);
    }),
    { numRuns },
  );

test('random programs: one fetch a chunk, demand counted, nobody forgotten, no mark without its bytes', () =>
  run(150, undefined));

test('random programs within a disk budget', () => run(100, 30));
