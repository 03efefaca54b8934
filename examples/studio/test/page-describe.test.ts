import { expect, test } from 'vitest';
import { rasterize } from '../page/map/cells.ts';
import { describeCell } from '../page/map/describe.ts';
import type { Run } from '../src/protocol.ts';

const MiB = 1024 * 1024;

function words(runs: readonly Run[], cell: number, layer: 'upload' | 'cache' = 'cache'): readonly string[] {
  const found = rasterize(runs, 40 * MiB, MiB)[cell];
  if (found === undefined) throw new RangeError(`no cell ${cell}`);
  return describeCell(found, runs, layer).lines;
}

test('a chunk in flight tells its bytes, class, waiters and attempts', () => {
  const flying: Run = {
    startByte: 10 * MiB,
    endByte: 20 * MiB,
    state: 'fetching',
    priority: 'CRITICAL',
    bytesSoFar: 3 * MiB,
    waiters: 2,
    attempts: 1,
  };
  expect(words([flying], 12)).toEqual([
    'on its way from the origin · CRITICAL · 3.0 MiB of 10.0 MiB · 2 waiters · 1 attempt',
  ]);
});

test('the same state has other words while it is an upload', () => {
  const runs: Run[] = [{ startByte: 0, endByte: 40 * MiB, state: 'present' }];
  expect(words(runs, 0, 'upload')).toEqual(['stored on the server · 0.0–40.0 MiB']);
  expect(words(runs, 0, 'cache')).toEqual(['in the cache · 0.0–40.0 MiB']);
});

test('a called-off fetch tells what it brought', () => {
  const runs: Run[] = [{ startByte: 0, endByte: 10 * MiB, state: 'missing', bytesSoFar: 3 * MiB }];
  expect(words(runs, 5)).toEqual(['not in the cache · 0.0–10.0 MiB · 3.0 MiB of it kept']);
});

test('a cell without runs is missing; one with many names three', () => {
  expect(words([], 3)).toEqual(['not in the cache']);
  const crowd = Array.from(
    { length: 5 },
    (_, index): Run => ({ startByte: index, endByte: index + 1, state: 'present' }),
  );
  expect(words(crowd, 0)).toHaveLength(4);
  expect(words(crowd, 0).at(-1)).toBe('and 2 more');
});
