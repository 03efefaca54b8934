import { expect, test } from 'vitest';
import { EMPTY, fromSnapshot, withDelta } from '../page/live/store.ts';
import type { BatchView, FileView, LiveSnapshot } from '../src/protocol.ts';

function fileView(id: string, stage: FileView['stage'] = 'uploading'): FileView {
  const facts = { name: id, sizeBytes: 1, contentType: 'video/webm' };
  return { id, ...facts, stage, uploadRuns: [], cacheRuns: [], cursors: [] };
}

const batch: BatchView = { id: 'studio', version: 1, status: 'open', files: [] };

function snapshot(...files: FileView[]): LiveSnapshot {
  return { files, batch, panels: {} as LiveSnapshot['panels'] };
}

test('a delta replaces whole files, adds new ones, takes removed ones away', () => {
  const first = fromSnapshot(snapshot(fileView('a'), fileView('b')));
  const next = withDelta(first, { files: [fileView('b', 'ready'), fileView('c')], removed: ['a'] });
  expect([...next.files.values()].map((file) => [file.id, file.stage])).toEqual([
    ['b', 'ready'],
    ['c', 'uploading'],
  ]);
  expect(next.batch).toBe(batch);
  expect(withDelta(next, { batch: { ...batch, version: 2 } }).batch?.version).toBe(2);
});

test('a delta leaves the state before it as it was', () => {
  const first = fromSnapshot(snapshot(fileView('a')));
  withDelta(first, { removed: ['a'] });
  expect([...first.files.keys()]).toEqual(['a']);
  expect(EMPTY.files.size).toBe(0);
});
