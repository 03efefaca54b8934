import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Chance } from '../src/self-test/chance.ts';
import { Journey } from '../src/self-test/journey.ts';
import { sampleOf } from '../src/self-test/samples.ts';
import { reporter, someBytes, temporary } from './running.ts';

// The real server, killed twice: resumes with every acknowledged chunk, assembles once, plays what was sent.
test.concurrent.each([0, 300_000])(
  'a file of %i bytes goes the whole way through kills',
  async (sizeBytes) => {
    const directory = await temporary();
    const path = join(directory, 'sample.bin');
    await writeFile(path, someBytes(sizeBytes));
    const { report, failures } = reporter();
    // Sources instead of builds, as every test reads them.
    await Journey.run(await sampleOf(path), new Chance(sizeBytes + 7), report, directory, [
      '--conditions=@chunks/source',
    ]);
    expect(failures()).toEqual([]);
    expect(report.passed).toBeGreaterThan(6);
  },
  60_000,
);
