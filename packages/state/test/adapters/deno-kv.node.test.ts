import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { denoKvStore } from '@chunks/state/deno-kv';
import { stateContract, versionedStoreContract } from '@chunks/state/testing';
import { openKv } from '@deno/kv';
import { describe, test } from 'vitest';

const bench = async () => {
  const folder = mkdtempSync(join(tmpdir(), 'chunks-state-'));
  const kv = await openKv(join(folder, 'kv.db'));
  return {
    open: () => denoKvStore(kv),
    close: () => {
      kv.close();
      rmSync(folder, { recursive: true });
    },
  };
};
const { capabilities } = denoKvStore({ atomic: () => undefined } as never);

describe('denoKvStore on @deno/kv', () => {
  for (const { name, run } of versionedStoreContract(bench, capabilities)) test(name, run);
  for (const { name, run } of stateContract(bench, capabilities)) test(name, run);
});
