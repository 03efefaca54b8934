import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sqliteRepository } from '@chunks/manager/sqlite';
import fc from 'fast-check';
import { afterAll, test } from 'vitest';
import { Program, step } from './support/program.ts';

const folder = mkdtempSync(join(tmpdir(), 'manager-model-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let programs = 0;

test('random programs over SQLite: what a crash leaves is what was stored', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }), async (steps) => {
      const path = join(folder, `${programs++}.sqlite`);
      const open = async () => {
        const repository = sqliteRepository(path);
        // Opened now: a program's steps leave no time for reading a module.
        await repository.listFiles();
        return repository;
      };
      await new Program(open, programs % 2 === 0 ? 30 : undefined).run(steps);
    }),
    { numRuns: 30 },
  );
});
