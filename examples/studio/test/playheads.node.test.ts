import type { ChunkManager } from '@chunks/manager';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Playheads } from '../src/play/playheads.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** What the manager was told, and which windows are open. */
function watched(idleMs: number): { heads: Playheads; open: () => string[]; changed: string[] } {
  const signals = new Map<string, AbortSignal>();
  const changed: string[] = [];
  const manager = {
    playhead: (fileId: string, o: { owner: string; signal: AbortSignal }) =>
      signals.set(`${fileId}/${o.owner}`, o.signal),
  } as unknown as ChunkManager;
  return {
    heads: new Playheads(manager, idleMs, (fileId) => changed.push(fileId)),
    open: () => [...signals].filter(([, signal]) => !signal.aborted).map(([name]) => name),
    changed,
  };
}

test('a playhead that is not reported any more ends, one that is goes on; with the last the timer stops', async () => {
  const { heads, open, changed } = watched(20_000);
  heads.report('film', { owner: 'gone', byte: 0 });
  for (let second = 0; second < 60; second++) {
    heads.report('film', { owner: 'here', byte: second });
    await vi.advanceTimersByTimeAsync(1_000);
  }
  expect(open()).toEqual(['film/here']);
  changed.length = 0;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(open()).toEqual([]);
  expect(changed).toEqual(['film']);
  expect(vi.getTimerCount()).toBe(0);
});

test('ending those of one file leaves the others', () => {
  const { heads, open } = watched(20_000);
  heads.report('a', { owner: 'x', byte: 0 });
  heads.report('b', { owner: 'x', byte: 0 });
  heads.endAll('a');
  expect(open()).toEqual(['b/x']);
  heads.endAll();
  expect(open()).toEqual([]);
});

test('a thousand and no more: the one that was silent for longest makes room', async () => {
  const { heads, open } = watched(1e9);
  for (let owner = 0; owner <= 1_000; owner++) {
    heads.report('film', { owner: `o${owner}`, byte: 0 });
    await vi.advanceTimersByTimeAsync(1);
  }
  expect(open()).toHaveLength(1_000);
  expect(open()).not.toContain('film/o0');
});
