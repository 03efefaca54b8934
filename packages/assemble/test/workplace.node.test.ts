import { readdir as readUnsorted, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { nodeFiles } from '../src/file-port.ts';
import { Workplace } from '../src/workplace.ts';
import { inTemp } from './support/disk.ts';

const readdir = async (path: string): Promise<string[]> => (await readUnsorted(path)).sort();
/** The claim first, then the run's own file. */
const namesOf = async (path: string): Promise<string[]> =>
  (await readdir(path)).sort((a) => (a.endsWith('.claim') ? -1 : 1));

/** Renames a live run's file so that it looks like that of another process: dead, or of another machine. */
const asOf = (name: string, part: number, value: string): string => name.split('-').with(part, value).join('-');

describe('Workplace', () => {
  test('one claim at a time, which leaves nothing', async () => {
    await inTemp(async (folder) => {
      const place = new Workplace(join(folder, 'out'), nodeFiles);
      await place.clear();
      const claim = await place.claim(0o600);
      expect((await namesOf(folder)).map((name) => name.replace(/.*\./, ''))).toEqual(['claim', 'tmp']);
      await expect(place.claim(0o600)).rejects.toMatchObject({ code: 'ASSEMBLY_BUSY', path: join(folder, 'out') });
      await expect(place.clear()).rejects.toMatchObject({ code: 'ASSEMBLY_BUSY' });
      await new Workplace(join(folder, 'other'), nodeFiles).clear();
      await claim.end();
      await claim.end();
      expect(await readdir(folder)).toEqual([]);
      await (await place.claim(0o600)).end();
    });
  });

  test('a dead run’s debris is cleared, a live one’s on this or another machine is respected', async () => {
    await inTemp(async (folder) => {
      const place = new Workplace(join(folder, 'out'), nodeFiles);
      const claim = await place.claim(0o600);
      const names = await namesOf(folder);
      await claim.end();
      const [claimName = '', temp = ''] = names;
      // .assemble-<key>.<machine>-<boot>-<process>-<start>-<thread>-<run>.tmp: the parts behind the key count from 2.
      const dead = asOf(temp, 4, '1');
      const foreign = asOf(temp, 1, `${temp.split('-')[1]?.slice(0, 17)}00000000`);
      for (const name of [claimName, dead, 'a neighbour']) await writeFile(join(folder, name), 'x');
      await place.clear();
      expect(await readdir(folder)).toEqual(['a neighbour']);
      for (const name of [claimName, foreign]) await writeFile(join(folder, name), 'x');
      await expect(place.clear()).rejects.toMatchObject({ code: 'ASSEMBLY_BUSY' });
      expect(await readdir(folder)).toEqual([claimName, foreign, 'a neighbour'].sort());
    });
  });

  test('a claim without a run, as a crash between the two steps leaves it, is no obstacle', async () => {
    await inTemp(async (folder) => {
      const place = new Workplace(join(folder, 'out'), nodeFiles);
      const claim = await place.claim(0o600);
      const [claimName = ''] = await namesOf(folder);
      await claim.end();
      await writeFile(join(folder, claimName), '');
      await (await place.claim(0o600)).end();
      expect(await readdir(folder)).toEqual([]);
    });
  });

  test('gives up on a claim that comes back again and again', async () => {
    await inTemp(async (folder) => {
      let attempts = 0;
      const open: typeof nodeFiles.open = (path, flag, mode) => {
        if (!path.endsWith('.claim')) return nodeFiles.open(path, flag, mode);
        attempts++;
        return Promise.reject(Object.assign(new Error('there'), { code: 'EEXIST' }));
      };
      const place = new Workplace(join(folder, 'out'), { ...nodeFiles, open });
      await expect(place.claim(0o600)).rejects.toMatchObject({ code: 'ASSEMBLY_BUSY' });
      expect(attempts).toBe(5);
      await (await new Workplace(join(folder, 'out'), nodeFiles).claim(0o600)).end();
    });
  });

  test('the longest possible name works', async () => {
    await inTemp(async (folder) => {
      await (await new Workplace(join(folder, 'x'.repeat(255)), nodeFiles).claim(0o600)).end();
    });
  });
});
