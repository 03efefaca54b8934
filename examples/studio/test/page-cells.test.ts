import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Kind, rasterize, runsIn, tally } from '../page/map/cells.ts';
import type { Run } from '../src/protocol.ts';

const STATES = ['missing', 'queued', 'fetching', 'present', 'failed'] as const;
const PRIORITIES = ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'] as const;

interface Drawn {
  readonly runs: readonly Run[];
  readonly sizeBytes: number;
}

/** Runs as the server sends them: side by side over the whole file. */
const filesOfRuns: fc.Arbitrary<Drawn> = fc
  .array(
    fc.record({
      bytes: fc.integer({ min: 1, max: 400 }),
      state: fc.constantFrom(...STATES),
      priority: fc.constantFrom(...PRIORITIES),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    { minLength: 1, maxLength: 40 },
  )
  .map((drawn) => {
    let at = 0;
    const runs = drawn.map(({ bytes, state, priority, share }): Run => {
      const startByte = at;
      at += bytes;
      return { startByte, endByte: at, state, priority, bytesSoFar: Math.floor(bytes * share) };
    });
    return { runs, sizeBytes: at };
  });

function bytesByKind(drawn: Drawn, cellBytes: number): Record<Kind, number> {
  const sums: Record<Kind, number> = { missing: 0, queued: 0, flying: 0, received: 0, kept: 0, present: 0, failed: 0 };
  for (const cell of rasterize(drawn.runs, drawn.sizeBytes, cellBytes)) {
    for (const part of cell.parts) sums[part.kind] += part.endByte - part.startByte;
  }
  return sums;
}

describe('rasterize', () => {
  test('cells lie side by side, and so do the parts in each of them', () => {
    fc.assert(
      fc.property(filesOfRuns, fc.integer({ min: 1, max: 700 }), (drawn, cellBytes) => {
        let at = 0;
        for (const cell of rasterize(drawn.runs, drawn.sizeBytes, cellBytes)) {
          expect(cell.startByte).toBe(at);
          for (const part of cell.parts) {
            expect(part.startByte).toBe(at);
            expect(part.endByte).toBeGreaterThan(at);
            at = part.endByte;
          }
          expect(cell.endByte).toBe(at);
        }
        expect(at).toBe(drawn.sizeBytes);
      }),
    );
  });

  test('no byte changes its kind, whatever the size of a cell', () => {
    fc.assert(
      fc.property(filesOfRuns, fc.integer({ min: 1, max: 4000 }), (drawn, cellBytes) => {
        expect(bytesByKind(drawn, cellBytes)).toEqual(tally(drawn.runs, drawn.sizeBytes));
      }),
    );
  });

  test('a cell never has more parts than can be seen', () => {
    fc.assert(
      fc.property(filesOfRuns, (drawn) => {
        for (const cell of rasterize(drawn.runs, drawn.sizeBytes, 5000))
          expect(cell.parts.length).toBeLessThanOrEqual(8);
      }),
    );
  });

  test('what is in flight fills from the left', () => {
    const runs: Run[] = [
      { startByte: 0, endByte: 200, state: 'present' },
      { startByte: 200, endByte: 300, state: 'fetching', priority: 'HIGH', bytesSoFar: 30 },
    ];
    const cells = rasterize(runs, 300, 50).slice(4);
    expect(cells.map((cell) => cell.parts.map((part) => [part.kind, part.endByte]))).toEqual([
      [
        ['received', 230],
        ['flying', 250],
      ],
      [['flying', 300]],
    ]);
  });

  test('what a called-off fetch brought is kept, and shown', () => {
    const runs: Run[] = [
      { startByte: 0, endByte: 100, state: 'missing', bytesSoFar: 30 },
      { startByte: 100, endByte: 200, state: 'queued', priority: 'LOW', bytesSoFar: 20 },
    ];
    expect(tally(runs, 200)).toMatchObject({ kept: 50, received: 0, missing: 70, queued: 80 });
  });

  test('bytes that no run speaks of are missing, runs past the end are cut', () => {
    const runs: Run[] = [
      { startByte: 10, endByte: 20, state: 'present' },
      { startByte: 90, endByte: 200, state: 'present' },
    ];
    expect(tally(runs, 100)).toMatchObject({ present: 20, missing: 80 });
    expect(rasterize([], 100, 100)[0]?.parts).toMatchObject([{ kind: 'missing', startByte: 0, endByte: 100 }]);
    expect(rasterize([], 0, 100)).toEqual([]);
  });

  test('a crowded cell shows its most urgent class', () => {
    const runs: Run[] = Array.from({ length: 20 }, (_, index) => ({
      startByte: index,
      endByte: index + 1,
      state: index % 2 === 0 ? 'queued' : 'present',
      priority: index === 12 ? 'CRITICAL' : 'LOW',
    }));
    const [cell] = rasterize(runs, 20, 20);
    expect(cell?.parts).toMatchObject([
      { kind: 'present', endByte: 10 },
      { kind: 'queued', priority: 'CRITICAL', endByte: 20 },
    ]);
  });
});

test('runsIn takes what touches a half-open stretch', () => {
  const runs: Run[] = [0, 10, 20].map((startByte) => ({ startByte, endByte: startByte + 10, state: 'present' }));
  expect(runsIn(runs, 10, 20)).toEqual([runs[1]]);
  expect(runsIn(runs, 9, 21)).toEqual(runs);
});
