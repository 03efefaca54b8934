import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createState } from '@chunks/state';
import { sqliteStore } from '@chunks/state/sqlite';
import { historyCases, stateContract, VirtualClock, versionedStoreContract } from '@chunks/state/testing';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { isSoak } from '../../../../.ci/testing/runs.ts';
import { listsByPrefix } from '../support/listing.ts';
import { behindFaults, losesNothing, plainLoopDoubles } from '../support/lost-replies.ts';
import { oneInThreeLost, QUICK_FAULTS, recording } from '../support/stores.ts';

// Other processes, real files, and a machine that may be busy.
vi.setConfig({ testTimeout: isSoak ? 600_000 : 60_000 });

let folder = '';
const signal = new AbortController().signal;
const file = () => join(folder, 'state.sqlite');
const bench = () => ({ open: () => sqliteStore(file(), { watchEveryMs: 2 }) });
const { capabilities } = sqliteStore('unopened');

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'chunks-state-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('sqliteStore', () => {
  for (const { name, run } of versionedStoreContract(bench, capabilities)) test(name, run);
  for (const { name, run } of stateContract(bench, capabilities)) test(name, run);

  test('records outlive the store, and a closed store opens again', async () => {
    const store = sqliteStore(file());
    const written = await store.write('a', 'one', undefined, { signal });
    await store.close?.();
    await store.close?.();
    // The last connection takes its log with it.
    expect(existsSync(`${file()}-wal`)).toBe(false);
    expect(await store.read('a', { signal })).toMatchObject({ value: 'one', ...written });
    await store.close?.();
    expect(await sqliteStore(file()).read('a', { signal })).toMatchObject({ value: 'one', ...written });
  });

  test('writes ahead and syncs', async () => {
    const store = sqliteStore(file());
    await store.write('a', 'one', undefined, { signal });
    const database = new DatabaseSync(file());
    expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
    // The state can be read into by any tool that reads JSON.
    const state = createState({ store, initial: () => ({ n: 0 }) });
    await state.update('b', (draft) => void (draft.n = 7));
    const row = database
      .prepare("SELECT json_extract(value, '$.state.n') AS n FROM chunks_state WHERE key = 'b'")
      .get();
    expect(row).toEqual({ n: 7 });
    database.close();
    await state.close();
  });

  test('a file held by another for too long is a failure without a write, and is tried again', async () => {
    const store = sqliteStore(file(), { busyTimeoutMs: 0 });
    await store.write('a', 'one', undefined, { signal });
    const other = new DatabaseSync(file());
    other.exec('BEGIN IMMEDIATE');
    await expect(store.write('b', 'one', undefined, { signal })).rejects.toMatchObject({ definite: true });
    const state = createState({ store, initial: () => ({ n: 0 }) });
    const update = state.update('c', (draft) => ++draft.n);
    setTimeout(() => other.exec('COMMIT'), 30);
    expect(await update).toMatchObject({ version: 1, result: 1 });
    await expect(state.update('d', () => 1, { maxAttempts: 1 })).resolves.toMatchObject({ version: 1 });
    other.close();
    await state.close();
  });

  test('a path that cannot be opened: a failure that says nothing was written, then a retry', async () => {
    const store = sqliteStore(join(folder, 'none', 'state.sqlite'));
    await expect(store.write('a', 'one', undefined, { signal })).rejects.toMatchObject({ definite: true });
    const state = createState({ store, initial: () => ({}), retry: { maxMs: 2 } });
    await expect(state.update('a', () => 1, { maxAttempts: 2 })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      attempts: 2,
    });
  });

  test('lists whatever begins with a prefix, whatever that is', async () => {
    let files = 0;
    await listsByPrefix(() => ({ store: sqliteStore(join(folder, `${files++}.sqlite`)) }));
  });

  test('a value that SQLite finds too long is VALUE_TOO_LARGE, and the rest of its commit is written', async () => {
    const store = sqliteStore(file());
    const state = createState({ store, initial: () => ({ text: '' }) });
    await state.update('k', (draft) => void (draft.text += 'a'));
    const database = new DatabaseSync(file());
    // Its own limit is a billion bytes: a trigger meets it for us from ten thousand on.
    database.exec(`CREATE TRIGGER limited BEFORE UPDATE ON chunks_state WHEN length(NEW.value) > 10000
      BEGIN SELECT zeroblob(2000000000); END`);
    const ends = await Promise.allSettled([
      state.update('k', (draft) => void (draft.text += 'b')),
      state.update('k', (draft) => void (draft.text += 'x'.repeat(10_000))),
      state.update('k', (draft) => void (draft.text += 'c')),
    ]);
    expect(ends.map((end) => end.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(ends[1]).toMatchObject({ reason: { code: 'VALUE_TOO_LARGE' } });
    expect((await state.get('k'))?.state).toEqual({ text: 'abc' });
    database.close();
    await state.close();
  });

  test('a watch looks at its record once in so many ms, sees other processes, and leaves nothing behind', async () => {
    const clock = new VirtualClock();
    const store = sqliteStore(file(), { watchEveryMs: 250, clock });
    const stop = new AbortController();
    let ticks = 0;
    const ended = (async () => {
      for await (const _ of store.watch?.('k', { signal: stop.signal }) ?? []) ticks++;
    })().catch((error) => error);
    // Its looks are no requests that could be counted, but each starts one timer.
    await vi.waitFor(() => expect(clock.pending).toBe(1));
    expect(ticks).toBe(1);
    const other = sqliteStore(file());
    await other.write('other', '1', undefined, { signal });
    await clock.advance(1_000);
    expect(ticks).toBe(1);
    await other.write('k', '1', undefined, { signal });
    expect(ticks).toBe(1);
    await clock.advance(250);
    await vi.waitFor(() => expect(ticks).toBe(2));
    stop.abort(new Error('enough'));
    expect(await ended).toMatchObject({ message: 'enough' });
    expect(clock.pending).toBe(0);
    await store.close?.();
    await other.close?.();
  });

  test('bad input is refused at once', () => {
    expect(() => sqliteStore('x', { watchEveryMs: 0 })).toThrow('watchEveryMs must be');
    expect(() => sqliteStore('')).toThrow('path must be a non-empty string, but is ""');
    expect(() => sqliteStore(7 as never)).toThrow('path must be a string, but is 7');
    expect(() => sqliteStore('x', { busyTimeoutMs: -1 })).toThrow('busyTimeoutMs must be');
  });
});

describe('createState over a SQLite file that loses one call in three', () => {
  for (const { name, run } of stateContract(oneInThreeLost(bench, 100), capabilities)) test(name, run);
});

describe('histories', () => {
  const operations = isSoak ? 2_000 : 200;
  for (const { name, run } of historyCases(bench, { operations })) test(name, run);
  for (const { name, run } of historyCases(bench, { operations, faults: QUICK_FAULTS }))
    test(`${name}, with faults`, run);
});

test('a commit without a reply is found: nothing is lost or doubled, and the plain loop doubles', async () => {
  const run = { updates: isSoak ? 1_000 : 280 };
  const store = sqliteStore(file());
  const link = () => behindFaults(() => store, 'lose-reply');
  await losesNothing(link(), run);
  await plainLoopDoubles(link(), run);
});

test('versions in the file rise by one a commit, without a gap', async () => {
  const store = recording(sqliteStore(file()));
  const states = [1, 2, 3].map(() => createState({ store, initial: () => ({ n: 0 }) }));
  await Promise.all(
    states.flatMap((state) => Array.from({ length: 30 }, () => state.update('k', (draft) => ++draft.n))),
  );
  const versions = store.history.map(({ value }) => JSON.parse(value).version);
  expect(versions).toEqual(versions.map((_, i) => i + 1));
  await store.close?.();
});
