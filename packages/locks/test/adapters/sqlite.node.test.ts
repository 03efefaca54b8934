import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { VirtualClock } from '@chunks/base/testing';
import { sqliteLeases } from '@chunks/locks/sqlite';
import { type LeaseBench, leaseDriverContract } from '@chunks/locks/testing';
import { afterAll, describe, expect, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'locks-sqlite-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const newPath = (): string => join(folder, `${files++}.sqlite`);

function bench(): LeaseBench {
  const path = newPath();
  const clock = new VirtualClock();
  return {
    open: () => sqliteLeases(path, { clock }),
    async pass(ms) {
      await clock.advance(ms);
      // Wakes come from the file system, in real time.
      await sleep(1);
    },
    now: () => clock.now(),
    outage() {
      const missing = join(folder, `missing-${files++}`);
      const driver = sqliteLeases(join(missing, 'leases.sqlite'));
      return { driver, end: () => void mkdirSync(missing) };
    },
    turnBack: (ms) => clock.jump(-ms),
  };
}

describe('what every driver must do', () => {
  const abilities = { shared: false, inspect: true, watch: true, line: true, clock: 'injected', remote: true } as const;
  test.each(leaseDriverContract(bench, abilities))('$name', ({ run }) => run());
});
