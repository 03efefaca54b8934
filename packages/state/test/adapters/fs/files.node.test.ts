import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Files, nodeFiles } from '../../../src/adapters/fs/files.ts';
import { Records } from '../../../src/adapters/fs/records.ts';

let folder = '';
const { signal } = new AbortController();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'chunks-state-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const CHANGES = ['write', 'move', 'sync', 'make', 'removeFile', 'removeFolder', 'erase'];

/** The call of this number: carried out or not, but an error. */
interface Failure {
  readonly at: number;
  readonly code: string;
  readonly isDone: boolean;
}

/** Tells each call, and fails the one that it is told to. */
function watched(files: Files, fails: Failure = { at: -1, code: '', isDone: false }) {
  const calls: string[] = [];
  const told = new Proxy(files, {
    get(target, name: keyof Files) {
      const call = target[name] as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]) => {
        const where = String(args[0])
          .slice(folder.length + 1)
          .replaceAll(/[0-9a-f]{24}/g, '*');
        calls.push(`${name} ${where}`.trim());
        if (calls.length - 1 !== fails.at) return call(...args);
        if (fails.isDone) await call(...args);
        throw Object.assign(new Error(fails.code), { code: fails.code });
      };
    },
  });
  return { calls, records: new Records({ directory: join(folder, 'state'), files: told, now: Date.now }) };
}

const revisionOf = (reply: unknown): string => (reply as { revision: string }).revision;

test('every name is synced in its folder before what relies on it, and before the answer', async () => {
  const { calls, records } = watched(nodeFiles(true));
  const changes = (): string[] => calls.splice(0).filter((call) => CHANGES.includes(call.split(' ')[0] as string));
  const first = revisionOf(await records.write('key', '1', undefined, signal));
  expect(changes()).toEqual([
    'make state/keys',
    'sync state',
    'sync',
    'make state/drafts',
    'sync state',
    'make state/drafts/*/1-*',
    'write state/drafts/*/1-*/1-*',
    'sync state/drafts/*/1-*',
    'sync state/drafts/*',
    'move state/drafts/*',
    'sync state/keys',
  ]);
  const second = revisionOf(await records.write('key', '2', first, signal));
  expect(changes()).toEqual([
    'write state/keys/key/1-*/2-*',
    'sync state/keys/key/1-*',
    'move state/keys/key/1-*',
    'sync state/keys/key',
    'removeFile state/keys/key/2-*/1-*',
  ]);
  await records.remove('key', second);
  expect(changes()).toEqual([
    'move state/keys/key/2-*',
    'sync state/keys/key',
    'removeFolder state/keys/key',
    'sync state/keys',
    'erase state/drafts/*',
  ]);
});

test.each([
  ['ENOSPC', false],
  ['EIO', false],
  // Half a move that is a whole one.
  ['EIO', true],
] as const)(
  '%s at any call, carried out: %s; it is not written and so said, or unknown; and all goes on',
  async (code, isDone) => {
    const seen = new Set<string>();
    for (const how of ['create', 'replace', 'remove']) {
      for (let at = 0; ; at++) {
        rmSync(join(folder, 'state'), { recursive: true, force: true });
        mkdirSync(join(folder, 'state'));
        const good = watched(nodeFiles(true)).records;
        const old = how === 'create' ? undefined : revisionOf(await good.write('key', '"old"', undefined, signal));
        const { calls, records } = watched(nodeFiles(true), { at, code, isDone });
        const act = (): Promise<unknown> =>
          how === 'remove' ? records.remove('key', old as string) : records.write('key', '"new"', old, signal);
        const end = await act().then(
          () => 'done',
          (error) => (error.definite ? 'definite' : 'unknown'),
        );
        if (calls.length <= at) break;
        seen.add(`${how} ${end}`);
        const found = await good.read('key', signal);
        const [before, after] = [how === 'create' ? undefined : '"old"', how === 'remove' ? undefined : '"new"'];
        if (end !== 'unknown') expect(found?.value).toBe(end === 'done' ? after : before);
        expect([before, after]).toContain(found?.value);
        // What failed has not left its file where it could fill the disk.
        const left = readdirSync(join(folder, 'state'), { recursive: true, encoding: 'utf8' });
        if (end === 'definite') expect(left.length).toBeLessThanOrEqual(old === undefined ? 2 : 5);
        const next = revisionOf(await good.write('key', '"next"', found?.revision, signal));
        expect(readdirSync(join(folder, 'state', 'keys', 'key', next))).toEqual([next]);
      }
    }
    for (const end of ['definite', 'done', 'unknown']) {
      for (const how of ['create', 'replace']) expect(seen).toContain(`${how} ${end}`);
    }
  },
);

test.each(['EIO', 'EACCES'])(
  'an empty folder that cannot be removed for %s is absent only to who may not',
  async (code) => {
    const { calls, records } = watched(nodeFiles(false), { at: 1, code, isDone: false });
    mkdirSync(join(folder, 'state', 'keys', 'key'), { recursive: true });
    const found = await records.read('key', signal).catch((error) => error.code);
    expect(found).toBe(code === 'EIO' ? 'EIO' : undefined);
    expect(calls).toEqual(['list state/keys/key', 'removeFolder state/keys/key']);
  },
);

test.each([
  [true, 10],
  [false, 0],
])('sync %s: %i syncs of the system for a directory, a record and its next value', async (isSynced, count) => {
  const handle = await open(folder);
  const synced = vi.spyOn(Object.getPrototypeOf(handle) as typeof handle, 'sync');
  await handle.close();
  try {
    const { records } = watched(nodeFiles(isSynced));
    const first = revisionOf(await records.write('key', '1', undefined, signal));
    await records.write('key', '2', first, signal);
    expect(synced).toHaveBeenCalledTimes(count);
  } finally {
    synced.mockRestore();
  }
});

test('drafts of the dead are swept when they are an hour old, by the next process', async () => {
  const { records } = watched(nodeFiles(false));
  await records.open();
  const drafts = join(folder, 'state', 'drafts');
  const files = nodeFiles(false);
  for (const [name, ageS] of [
    ['young', 3_500],
    ['old', 3_700],
  ] as const) {
    await files.make(join(drafts, name, '1-0'));
    await files.write(join(drafts, name, '1-0', '1-0'), '1');
    utimesSync(join(drafts, name), Date.now() / 1_000 - ageS, Date.now() / 1_000 - ageS);
  }
  await records.open();
  expect(readdirSync(drafts).sort()).toEqual(['old', 'young']);
  await watched(nodeFiles(false)).records.open();
  expect(readdirSync(drafts)).toEqual(['young']);
});
