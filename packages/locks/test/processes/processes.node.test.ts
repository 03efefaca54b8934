import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { OwnServer } from '../../../../.ci/testing/own-server.ts';
import { isSoak } from '../../../../.ci/testing/runs.ts';
import { describeWith } from '../../../../.ci/testing/with-service.ts';
import { Arena } from './arena.ts';
import type { StoreAddress } from './stores.ts';

const PROCESSES = 4;
const LEASE_MS = 800;
const patienceMs = isSoak ? 900_000 : 90_000;
const HOLDERS: readonly Fault[] = ['stopHolder', 'stopHolderUntilNextRead', 'killHolder'];

/** What befalls the processes or their store, once each; with CHUNKS_SOAK, again and again. */
type Fault = 'stopHolder' | 'stopHolderUntilNextRead' | 'killHolder' | 'killAll' | 'restart';

async function contend(
  address: StoreAddress,
  faults: readonly Fault[],
  restart = async (): Promise<void> => undefined,
) {
  const arena = new Arena({ address, contenders: 50, leaseMs: LEASE_MS });
  try {
    for (let i = 0; i < PROCESSES; i++) arena.start();
    await arena.granted(20);
    for (const fault of isSoak ? Array(10).fill(faults).flat() : faults) {
      if (fault === 'restart') {
        await restart();
        await arena.granted(5);
      } else await arena[fault as Exclude<Fault, 'restart'>]();
    }
    await arena.finish();
    check(arena);
    return arena;
  } finally {
    await arena.clear();
  }
}

function check(arena: Arena): void {
  const { grants, fenced, unfenced, failures, deaths, refused } = arena;
  if (isSoak) console.log(arena.summary());
  expect(deaths).toEqual([]);
  expect([...failures.keys()].filter((code) => code !== 'LOCK_UNAVAILABLE')).toEqual([]);

  // Nobody is inside with somebody who then still has the lock.
  expect(grants.filter(({ wasOverlapped, wasOurs }) => wasOverlapped && wasOurs === true)).toEqual([]);
  expect(new Set(grants.map(({ token }) => token)).size).toBe(grants.length);
  const tokens = grants.filter(({ wasOurs }) => wasOurs === true).map(({ token }) => token);
  expect(tokens.filter((token, i) => token <= (tokens[i - 1] ?? 0))).toEqual([]);
  expect(tokens.length).toBeGreaterThan(20);

  // The stopped holder wrote late. With the token checked nothing is lost by that, without it something is.
  expect(refused).toBeGreaterThan(0);
  expect(fenced.value).toBe(fenced.writes);
  expect(unfenced.value).toBeLessThan(unfenced.writes);
}

/** A server of its own, killed and started again in the midst of it. */
async function contendOn(kind: StoreAddress['kind'], start: () => Promise<OwnServer>): Promise<void> {
  const server = await start();
  try {
    const { failures } = await contend({ kind, at: `${server.port}` }, [...HOLDERS, 'restart'], async () => {
      await server.kill();
      await new Promise((resolve) => setTimeout(resolve, 1.2 * LEASE_MS));
      await server.start();
    });
    // A server that is away was told from a key that is taken.
    expect(failures.get('LOCK_UNAVAILABLE')).toBeGreaterThan(0);
  } finally {
    await server.close();
  }
}

// Most of their time is spent on waiting for leases to end.
describe.concurrent('four processes of fifty contenders on one key', () => {
  describeWith('redis', 'on a server', () => {
    test(
      'that keeps its data over a restart',
      () => contendOn('redis', () => OwnServer.redis('--appendonly', 'yes', '--appendfsync', 'always')),
      patienceMs,
    );
    test('that forgets everything at a restart', () => contendOn('redis', () => OwnServer.redis()), patienceMs);
  });

  describeWith('postgres', 'on a server', () => {
    test('that is killed and recovers', () => contendOn('postgres', () => OwnServer.postgres()), patienceMs);
  });

  describeWith('nats', 'on a server', () => {
    test('that is killed and recovers', () => contendOn('nats', () => OwnServer.nats()), patienceMs);
  });

  test(
    'in a SQLite file, all killed at once',
    async () => {
      const folder = mkdtempSync(path.join(tmpdir(), 'contended-'));
      try {
        await contend({ kind: 'sqlite', at: path.join(folder, 'locks.sqlite') }, [...HOLDERS, 'killAll']);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
    patienceMs,
  );
});
