import { expect, test } from 'vitest';
import { StoreTrial } from '../../src/testing/store-bench.ts';
import { all } from './flaws.ts';
import { referenceBench } from './reference-store.ts';

test('put insists on writing, refused on not writing, and on the truth about what stands there', async () => {
  const trial = new StoreTrial(referenceBench(all)(), all);
  const revision = await trial.put('key', '1');
  await expect(trial.put('key', '2')).rejects.toThrow('unexpected conflict for "key"');
  await trial.refused('key', undefined);
  await expect(trial.refused('key', revision)).rejects.toThrow('must be a conflict');
  const lying = new StoreTrial(referenceBench(all, 'tells what does not stand there')(), all);
  await lying.put('key', '1');
  await expect(lying.refused('key', undefined)).rejects.toThrow('current is what stands there');
});

test('one store for the case, another for each that it opens; all are closed, then the bench', async () => {
  const ends: string[] = [];
  const trial = new StoreTrial(referenceBench(all, undefined, (what) => void ends.push(what))(), all);
  expect(await trial.store).toBe(await trial.store);
  expect(await trial.open()).not.toBe(await trial.store);
  await trial.end();
  expect(ends).toEqual(['store', 'store', 'bench']);
});
