import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type ChunkRepository, Coverage } from '@chunks/manager';
import { sqliteRepository } from '@chunks/manager/sqlite';
import { afterAll, expect, test } from 'vitest';
import { repositoryContract } from '../support/contracts.ts';

const folder = mkdtempSync(join(tmpdir(), 'manager-sqlite-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const paths = new WeakMap<ChunkRepository, string>();
const openAt = (path: string): ChunkRepository => {
  const repository = sqliteRepository(path);
  paths.set(repository, path);
  return repository;
};
const newPath = (): string => join(folder, `${files++}.sqlite`);

repositoryContract({
  open: async () => openAt(newPath()),
  // Not closed: what was acknowledged must be there all the same.
  reopen: async (repository) => openAt(paths.get(repository) as string),
  numRuns: 25,
});

const COUNT = 5000;
const row = {
  id: 'film',
  generation: 'v1',
  totalBytes: COUNT,
  chunkSizeBytes: 1,
  coverage: new Coverage(COUNT).toBytes(),
};

test('marks go into the image now and then, so that a start replays few rows however many chunks there are', async () => {
  const path = newPath();
  const repository = sqliteRepository(path);
  await repository.upsertFile(row);
  const database = new DatabaseSync(path, { readOnly: true });
  let most = 0;
  for (let chunk = 0; chunk < COUNT; chunk++) {
    await repository.markChunks('film', 'v1', [{ chunk, size: 1 }]);
    most = Math.max(most, Number(database.prepare('SELECT count(*) AS n FROM cache_chunks').get()?.['n']));
  }
  expect(most).toBe(1023);
  const loaded = await sqliteRepository(path).loadFile('film');
  expect(Coverage.from(loaded?.coverage as Uint8Array, COUNT).complete).toBe(true);
  expect(database.prepare('SELECT count(*) AS n FROM cache_chunks').get()?.['n']).toBe(0);
  database.close();
  await repository.close?.();
});

test('a million chunks load as one image', async () => {
  const repository = sqliteRepository(newPath());
  const coverage = new Uint8Array(125_000).fill(0xff);
  await repository.upsertFile({ ...row, totalBytes: 1_000_000, coverage });
  const loaded = await repository.loadFile('film');
  expect(Coverage.from(loaded?.coverage as Uint8Array, 1_000_000).complete).toBe(true);
  await repository.close?.();
});

test('nothing is opened before it is used, and a path that cannot be opened is tried anew', async () => {
  const path = join(folder, 'later', 'index.sqlite');
  const repository = sqliteRepository(path);
  await expect(repository.loadFile('film')).rejects.toThrow();
  const { mkdirSync } = await import('node:fs');
  mkdirSync(join(folder, 'later'));
  expect(await repository.loadFile('film')).toBe(undefined);
  await repository.close?.();
});

test('uses WAL and waits for others as long as told', async () => {
  const path = newPath();
  const repository = sqliteRepository(path, { busyTimeoutMs: 1 });
  await repository.upsertFile(row);
  const other = new DatabaseSync(path);
  expect(other.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
  other.exec('BEGIN IMMEDIATE');
  await expect(repository.markChunks('film', 'v1', [{ chunk: 1, size: 1 }])).rejects.toThrow(/locked/);
  other.exec('COMMIT');
  await repository.markChunks('film', 'v1', [{ chunk: 1, size: 1 }]);
  other.close();
  await repository.close?.();
});

test('refuses bad options by name', () => {
  expect(() => sqliteRepository('')).toThrow(/path/);
  expect(() => sqliteRepository('x', { busyTimeoutMs: -1 })).toThrow(/busyTimeoutMs/);
});
