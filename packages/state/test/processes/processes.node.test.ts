import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { checkVersionOrder, conditionalPutFront } from '@chunks/state/testing';
import { describe, expect, test } from 'vitest';
import { FrontServer } from '../../../../.ci/testing/front-server.ts';
import { isSoak } from '../../../../.ci/testing/runs.ts';
import { describeWith } from '../../../../.ci/testing/with-service.ts';
import { Crowd, type Outcome } from './crowd.ts';
import type { StoreAddress } from './stores.ts';
import { nameOf } from './updater-names.ts';

const UPDATERS = 50;
const ROUNDS = isSoak ? 20 : 2;
const patienceMs = isSoak ? 900_000 : 90_000;

let runs = 0;
const freshName = (): string => `chunks_state_processes_${process.pid}_${++runs}`;

/** @param killed whose last updates nobody heard of */
function check({ ends, log, version }: Outcome, killed?: string): void {
  expect(ends.filter(({ outcome }) => outcome !== 'done')).toEqual([]);
  const told = new Set(ends.map(({ name }) => name));
  const untold = Array.from({ length: killed ? UPDATERS * ROUNDS : 0 }, (_, i) =>
    nameOf(killed as string, i % UPDATERS, Math.floor(i / UPDATERS)),
  ).filter((name) => !told.has(name));
  const unknown = untold.map((name) => ({ name, start: 0, outcome: 'unknown' as const }));
  expect(checkVersionOrder([...ends, ...unknown], { version, log })).toEqual([]);
}

/** What is shown on each store. */
function cases(addressOf: (folder: string) => Promise<{ address: StoreAddress; end?: () => unknown }>): void {
  async function crowded(work: (crowd: Crowd) => Promise<void>): Promise<void> {
    const folder = mkdtempSync(path.join(tmpdir(), 'crowd-'));
    const { address, end } = await addressOf(folder);
    const crowd = new Crowd(address, { updaters: UPDATERS, rounds: ROUNDS });
    try {
      await work(crowd);
    } finally {
      crowd.clear();
      await end?.();
      rmSync(folder, { recursive: true, force: true });
    }
  }

  test(
    'all are there, once, in the order of (version, index)',
    () =>
      crowded(async (crowd) => {
        await crowd.run(['a', 'b', 'c', 'd']);
        const outcome = await crowd.end();
        check(outcome);
        expect(outcome.log).toHaveLength(4 * UPDATERS * ROUNDS);
      }),
    patienceMs,
  );

  test(
    'one is killed, another comes: nothing acknowledged is lost, nothing is there twice',
    () =>
      crowded(async (crowd) => {
        const killed = crowd.killAfter('a', UPDATERS);
        await crowd.run(['a', 'b', 'c', 'd']);
        await killed;
        await crowd.run(['e']);
        const outcome = await crowd.end();
        check(outcome, 'a');
        expect(outcome.ends.length).toBeGreaterThanOrEqual(4 * UPDATERS * ROUNDS + UPDATERS);
      }),
    patienceMs,
  );
}

const fixed = (kind: StoreAddress['kind'], port: string) => async () => ({
  address: { kind, at: port, name: freshName() },
});
const inFolder = (kind: StoreAddress['kind'], file: string) => async (folder: string) => ({
  address: { kind, at: path.join(folder, file), name: freshName() },
});

/** The front behind a real socket, for all processes. */
async function frontServer() {
  const server = await FrontServer.start(conditionalPutFront());
  const at = `http://127.0.0.1:${server.port}/bucket`;
  return { address: { kind: 's3' as const, at, name: '' }, end: () => server.close() };
}

describe('four processes of fifty updaters on one record', () => {
  describeWith('redis', 'Redis', () => cases(fixed('redis', '6379')));
  describeWith('postgres', 'Postgres', () => cases(fixed('postgres', '5432')));
  describeWith('nats', 'NATS', () => cases(fixed('nats', '4222')));
  describe('a SQLite file', () => cases(inFolder('sqlite', 'state.sqlite')));
  describe('a folder', () => cases(inFolder('fs', 'state')));
  describe('an S3 front', () => cases(frontServer));
  describe('a Deno KV file', () => cases(inFolder('deno-kv', 'kv.sqlite')));
});
