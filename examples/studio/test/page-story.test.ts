import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { coldByte } from '../page/play/cold.ts';
import { awaitedRun, type StoryInput, tellStory } from '../page/play/story.ts';
import type { FileView, Run } from '../src/protocol.ts';

const MiB = 1024 * 1024;

function run(startByte: number, endByte: number, state: Run['state'], priority?: Run['priority']): Run {
  return { startByte: startByte * MiB, endByte: endByte * MiB, state, priority };
}

function input(file: Partial<FileView> | undefined, other: Partial<StoryInput> = {}): StoryInput {
  const whole: FileView = {
    id: 'f',
    name: 'clip.mp4',
    sizeBytes: 30 * MiB,
    contentType: 'video/mp4',
    stage: 'ready',
    uploadRuns: [],
    cacheRuns: [run(0, 30, 'missing')],
    cursors: [],
    ...file,
  };
  const playing = { started: false, playing: false };
  return {
    connected: true,
    file: file === undefined ? undefined : whole,
    phase: 'idle',
    inFlight: 0,
    playing,
    ...other,
  };
}

describe('tellStory', () => {
  test('every state of the page has a sentence of its own', () => {
    const started = { started: true, playing: true };
    const jump = { toSeconds: 61, chunk: { startByte: 10 * MiB, endByte: 20 * MiB }, tookMs: undefined };
    const stories = [
      input(undefined),
      input({}, { connected: false }),
      input({ stage: 'uploading' }),
      input({ stage: 'uploading' }, { phase: 'sending', inFlight: 4 }),
      input({ stage: 'uploading' }, { phase: 'paused' }),
      input({ stage: 'assembling' }),
      input({ stage: 'failed', problem: 'The disk is full.' }),
      input({}),
      input({}, { playing: started }),
      input({}, { playing: { ...started, jump } }),
      input({}, { playing: { ...started, jump: { ...jump, chunk: undefined } } }),
      input({}, { playing: { ...started, jump: { ...jump, chunk: undefined, tookMs: 8 } } }),
      input({ cacheRuns: [run(0, 30, 'present')] }, { playing: started }),
      input({ cacheRuns: [run(0, 30, 'failed')] }, { playing: started }),
      input({ contentType: 'text/plain' }),
      input({ sizeBytes: 0, cacheRuns: [] }),
    ].map((one) => tellStory(one).text);
    expect(new Set(stories).size).toBe(stories.length);
    for (const text of stories) expect(text).toMatch(/[.?]$/);
  });

  test('a jump names its chunk while it waits, and its time when it is there', () => {
    const jump = { toSeconds: 61, chunk: { startByte: 10 * MiB, endByte: 20 * MiB }, tookMs: undefined };
    const waiting = tellStory(input({}, { playing: { started: true, playing: true, jump } }));
    expect(waiting).toMatchObject({ tone: 'critical' });
    expect(waiting.text).toMatch(/1:01.*10\.0–20\.0 MiB.*CRITICAL/);
    const there = tellStory(input({}, { playing: { started: true, playing: true, jump: { ...jump, tookMs: 640 } } }));
    expect(there.text).toMatch(/There after 640 ms/);
  });

  test('before anybody knows, it does not claim that the cache has it', () => {
    const jump = { toSeconds: 61, chunk: undefined, tookMs: undefined };
    const text = (one: typeof jump | { toSeconds: number; chunk: undefined; tookMs: number }): string =>
      tellStory(input({}, { playing: { started: true, playing: true, jump: one } })).text;
    expect(text(jump)).not.toMatch(/is in the cache/);
    expect(text({ ...jump, tookMs: 8 })).toMatch(/is in the cache/);
  });

  test('a server that is away comes before everything else', () => {
    expect(tellStory(input({ stage: 'uploading' }, { phase: 'waiting' })).tone).toBe('amber');
  });
});

describe('awaitedRun', () => {
  const runs = [
    run(0, 10, 'fetching', 'CRITICAL'),
    run(10, 20, 'queued', 'HIGH'),
    run(20, 30, 'missing'),
    run(30, 40, 'missing'),
    run(40, 50, 'queued', 'CRITICAL'),
  ];
  test('is the critical run where the jump went', () => {
    expect(awaitedRun(runs, 42 * MiB)).toBe(runs[4]);
    expect(awaitedRun(runs, 9 * MiB)).toBe(runs[0]);
  });
  test('or the one next to it, the nearer of two', () => {
    expect(awaitedRun(runs, 36 * MiB)).toBe(runs[4]);
    expect(awaitedRun([...runs.slice(0, 2), run(20, 30, 'queued', 'CRITICAL')], 18 * MiB)?.startByte).toBe(20 * MiB);
  });
  test('never one that is farther away than it is long', () => {
    expect(awaitedRun(runs, 25 * MiB)).toBeUndefined();
    expect(awaitedRun(runs.slice(1, 4), 12 * MiB)).toBeUndefined();
  });
});

describe('coldByte', () => {
  test('is always a byte that nobody asked for', () => {
    const states = fc.constantFrom<Run['state']>('missing', 'queued', 'fetching', 'present');
    const drawn = fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), states), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(drawn, fc.double({ min: 0, max: 1, noNaN: true }), (lengths, random) => {
        let at = 0;
        const runs = lengths.map(([length, state]): Run => {
          const startByte = at;
          at += length;
          return { startByte, endByte: at, state };
        });
        const byte = coldByte(runs, random);
        const there = runs.find((one) => byte !== undefined && one.startByte <= byte && one.endByte > byte);
        expect(there?.state).toBe(runs.some((one) => one.state === 'missing') ? 'missing' : undefined);
      }),
    );
  });
});
