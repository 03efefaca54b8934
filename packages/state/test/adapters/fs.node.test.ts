import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fsStore } from '@chunks/state/fs';
import { stateContract, versionedStoreContract } from '@chunks/state/testing';
import { afterEach, beforeEach, describe, test, vi } from 'vitest';

// Other processes, real files, and a machine that may be busy.
vi.setConfig({ testTimeout: 60_000 });

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'chunks-state-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

for (const sync of [true, false]) {
  const bench = () => ({ open: () => fsStore(join(folder, 'state'), { sync }) });
  const { capabilities } = fsStore('unopened', { sync });
  describe(`fsStore, sync ${sync}`, () => {
    for (const { name, run } of versionedStoreContract(bench, capabilities)) test(name, run);
    for (const { name, run } of stateContract(bench, capabilities)) test(name, run);
  });
}
