import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { VirtualClock } from '@chunks/base/testing';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import type { LeaseTable } from '../../../src/adapters/sqlite/lease-table.ts';
import { Transactions } from '../../../src/adapters/sqlite/transactions.ts';

const folder = mkdtempSync(join(tmpdir(), 'locks-transactions-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.restoreAllMocks());
let files = 0;

function bench(busyTimeoutMs = 1_000) {
  const path = join(folder, `${files++}.sqlite`);
  const clock = new VirtualClock();
  const freed: string[] = [];
  const transactions = new Transactions({
    path,
    busyTimeoutMs,
    clock,
    random: () => 0.5,
    onFreed: (key) => freed.push(key),
  });
  return { path, clock, freed, transactions };
}

const grant =
  (key: string, holder = 'a') =>
  (table: LeaseTable, nowMs: number) =>
    table.acquire(key, holder, 60_000, nowMs);
/** Statements that any connection runs by `exec`, from now on. */
function listenToStatements(): string[] {
  const heard: string[] = [];
  const { exec } = DatabaseSync.prototype;
  vi.spyOn(DatabaseSync.prototype, 'exec').mockImplementation(function (this: DatabaseSync, sql) {
    heard.push(sql);
    return exec.call(this, sql);
  });
  return heard;
}

/** Lets what goes on without the clock go on: the file is opened by a real import. */
async function settleFor(turns = 50): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
}

test('calls that come together share a transaction, 64 at most, in order', async () => {
  const { transactions, clock } = bench();
  await transactions.run(grant('first'));
  const heard = listenToStatements();
  const order: number[] = [];
  const all = Array.from({ length: 150 }, (_, i) =>
    transactions.run((table, nowMs) => {
      order.push(i);
      return table.acquire(`key ${i}`, 'a', 60_000, nowMs);
    }),
  );
  expect(await Promise.all(all)).toEqual(Array(150).fill({ token: clock.now() }));
  expect(order).toEqual(Array.from({ length: 150 }, (_, i) => i));
  expect(heard).toEqual(Array(3).fill(['BEGIN IMMEDIATE', 'COMMIT']).flat());
  await transactions.close();
});

test('a file that somebody else has is tried again by the clock, and every call waits for itself', async () => {
  const { path, transactions, clock } = bench(1_000);
  await transactions.run(grant('first'));
  const other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  const heard = listenToStatements();
  const failures: string[] = [];
  const call = (name: string): Promise<unknown> =>
    transactions.run(grant(name)).catch((error: { errcode: number }) => failures.push(`${name} ${error.errcode}`));
  const early = call('early');
  await clock.advance(700);
  const late = call('late');
  await clock.advance(299);
  expect(failures).toEqual([]);
  await clock.advance(50);
  // 5 is SQLITE_BUSY.
  expect(failures).toEqual(['early 5']);
  expect(heard.length).toBeGreaterThan(10);
  expect(heard.length).toBeLessThan(600);
  other.exec('COMMIT');
  await clock.advance(50);
  expect(await late).toHaveProperty('token');
  await early;
  expect(failures).toEqual(['early 5']);
  expect(clock.pending).toBe(0);
  other.close();
  await transactions.close();
});

test('who is not to wait at all is told at once', async () => {
  const { path, transactions, clock } = bench(0);
  await transactions.run(grant('first'));
  const other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  await expect(transactions.run(grant('key'))).rejects.toMatchObject({ errcode: 5 });
  expect(clock.pending).toBe(0);
  other.close();
  await transactions.close();
});

test('also the first call waits, when the file is busy while it is made', async () => {
  const { path, transactions, clock } = bench();
  const other = new DatabaseSync(path);
  other.exec('BEGIN EXCLUSIVE');
  const call = transactions.run(grant('key'));
  await settleFor();
  expect(clock.pending).toBe(1);
  other.exec('COMMIT');
  other.close();
  await clock.advance(50);
  expect(await call).toHaveProperty('token');
  await transactions.close();
});

test('what fails in a transaction undoes it whole, rejects its calls, and leaves nothing locked', async () => {
  const { path, freed, transactions } = bench();
  await transactions.run(grant('key'));
  const calls = [
    transactions.run((table, nowMs) => table.release('key', 'a', 0, nowMs)),
    transactions.run(grant('other')),
    transactions.run(() => {
      throw new Error('out of order');
    }),
  ];
  for (const { status } of await Promise.allSettled(calls)) expect(status).toBe('rejected');
  await expect(calls[0]).rejects.toThrow('out of order');
  expect(freed).toEqual([]);
  const other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  expect(other.prepare('SELECT key, holder FROM chunks_leases').all()).toEqual([{ key: 'key', holder: 'a' }]);
  other.exec('COMMIT');
  other.close();
  await transactions.run((table, nowMs) => table.release('key', 'a', 0, nowMs));
  expect(freed).toEqual(['key']);
  await transactions.close();
});

test('a call that is aborted while it waits does nothing, and the others go on', async () => {
  const { path, transactions, clock } = bench();
  await transactions.run(grant('first'));
  const other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  const controller = new AbortController();
  const aborted = transactions.run(grant('key', 'gone'), controller.signal);
  const goesOn = transactions.run(grant('other'), new AbortController().signal);
  const outcome = expect(aborted).rejects.toBe('no longer');
  await clock.advance(10);
  controller.abort('no longer');
  other.exec('COMMIT');
  await clock.advance(50);
  await outcome;
  expect(await goesOn).toHaveProperty('token');
  expect(await transactions.run((table, nowMs) => table.inspect('key', nowMs))).toBe(undefined);
  other.close();
  await transactions.close();
});

test('closing lets the calls so far end, and a later call opens the file again', async () => {
  const { path, transactions } = bench();
  const calls = ['a', 'b', 'c'].map((key) => transactions.run(grant(key)));
  await transactions.close();
  for (const call of calls) expect(await call).toHaveProperty('token');
  // Nobody has it open any more: SQLite has put the log away.
  const { existsSync } = await import('node:fs');
  expect([existsSync(path), existsSync(`${path}-wal`)]).toEqual([true, false]);
  expect(await transactions.run(grant('a', 'b'))).toMatchObject({ busy: true, holder: 'a' });
  await transactions.close();
  await transactions.close();
});
