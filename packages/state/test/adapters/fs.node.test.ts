import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createState } from '@chunks/state';
import { fsStore } from '@chunks/state/fs';
import { historyCases, stateContract, versionedStoreContract } from '@chunks/state/testing';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { isSoak } from '../../../../.ci/testing/runs.ts';
import { listsByPrefix } from '../support/listing.ts';
import { behindFaults, losesNothing, plainLoopDoubles } from '../support/lost-replies.ts';
import { QUICK_FAULTS } from '../support/stores.ts';

// Other processes, real files, and a machine that may be busy.
vi.setConfig({ testTimeout: isSoak ? 600_000 : 60_000 });

let folder = '';
const { signal } = new AbortController();
const directory = () => join(folder, 'state');
const quick = () => fsStore(directory(), { sync: false });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'chunks-state-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Every file and folder below the directory. */
const everything = (): string[] => readdirSync(directory(), { recursive: true, encoding: 'utf8' }).sort();

const NODE = [
  process.execPath,
  '--conditions=@chunks/source',
  '--disable-warning=ExperimentalWarning',
  fileURLToPath(new URL('./fs/fs-process.ts', import.meta.url)),
];

function start(line: readonly string[], options: SpawnOptions = {}): { child: ChildProcess; said: unknown[] } {
  const child = spawn(line[0] as string, line.slice(1), { ...options, stdio: ['ignore', 'pipe', 'inherit'] });
  const said: unknown[] = [];
  createInterface(child.stdout as NodeJS.ReadableStream).on('line', (text) => said.push(JSON.parse(text)));
  return { child, said };
}

async function another(line: readonly string[], options?: SpawnOptions): Promise<unknown[]> {
  const { child, said } = start(line, options);
  await once(child, 'close');
  return said;
}

for (const sync of [true, false]) {
  const bench = () => ({ open: () => fsStore(directory(), { sync }) });
  const { capabilities } = fsStore('unopened', { sync });
  describe(`fsStore, sync ${sync}`, () => {
    for (const { name, run } of versionedStoreContract(bench, capabilities)) test(name, run);
    for (const { name, run } of stateContract(bench, capabilities)) test(name, run);
  });
}

describe('histories', () => {
  const bench = () => ({ open: quick });
  const operations = isSoak ? 2_000 : 200;
  for (const { name, run } of historyCases(bench, { operations })) test(name, run);
  for (const { name, run } of historyCases(bench, { operations, faults: QUICK_FAULTS }))
    test(`${name}, with faults`, run);
});

test.each(['lose-reply', 'resend'] as const)(
  'with %s nothing is lost or doubled, and the plain loop doubles',
  async (fault) => {
    const run = { updates: isSoak ? 1_000 : 280 };
    await losesNothing(behindFaults(quick, fault), run);
    await plainLoopDoubles(behindFaults(quick, fault), run);
  },
);

test('lists whatever begins with a prefix, whatever that is', async () => {
  let stores = 0;
  await listsByPrefix(() => ({ store: fsStore(join(folder, `${stores++}`), { sync: false }) }));
});

describe('the directory', () => {
  test('any tool can read it, and it holds one value a key', async () => {
    const state = createState({ store: fsStore(directory()), initial: () => ({ n: 0 }) });
    for (let i = 0; i < 5; i++) await state.update('Video 7', (draft) => ++draft.n);
    const [, , key, revision, value] = everything();
    expect([key, everything().length]).toEqual(['keys/%56ideo%207', 5]);
    expect(revision).toMatch(/^keys\/[^/]+\/5-[0-9a-f]{24}$/);
    expect(JSON.parse(readFileSync(join(directory(), value as string), 'utf8'))).toMatchObject({ state: { n: 5 } });
  });

  test('a removed key leaves nothing', async () => {
    const store = quick();
    for (const key of ['key', 'k'.repeat(1_000)]) {
      const written = (await store.write(key, '1', undefined, { signal })) as { revision: string };
      expect(await store.remove?.(key, written.revision, { signal })).toBe(true);
    }
    expect(everything()).toEqual(['drafts', 'keys']);
  });

  test('what is not of this store is told, and left alone', async () => {
    const store = quick();
    const { revision } = (await store.write('key', '1', undefined, { signal })) as { revision: string };
    writeFileSync(join(directory(), 'keys', '.DS_Store'), '');
    writeFileSync(join(directory(), 'keys', 'key', '.DS_Store'), '');
    expect(await store.read('key', { signal })).toEqual({ value: '1', revision });
    for await (const key of store.list?.('', { signal }) ?? []) expect(key).toBe('key');
    // A backup laid over the directory: two records, and nobody can say which.
    mkdirSync(join(directory(), 'keys', 'key', `1-${'0'.repeat(24)}`));
    await expect(store.read('key', { signal })).rejects.toThrow('must hold one revision, but holds .DS_Store, 1-0000');
    rmSync(join(directory(), 'keys', 'key', revision), { recursive: true });
    await expect(store.read('key', { signal })).rejects.toThrow('has lost its content');
    expect(await store.write('key', '2', '../other', { signal })).toEqual({ conflict: true });
    expect(await store.remove?.('key', '../other', { signal })).toBe(false);
  });

  test('taken away under its feet, it is made anew by the next write but one', async () => {
    const store = quick();
    await store.write('key', '1', undefined, { signal });
    rmSync(directory(), { recursive: true });
    expect(await store.read('key', { signal })).toBeUndefined();
    await expect(store.write('key', '2', undefined, { signal })).rejects.toMatchObject({ definite: true });
    expect(await store.write('key', '3', undefined, { signal })).toHaveProperty('revision');
  });

  test('that cannot be: a failure that says that nothing was written', async () => {
    writeFileSync(join(folder, 'file'), '');
    const store = fsStore(join(folder, 'file', 'state'));
    await expect(store.write('a', '1', undefined, { signal })).rejects.toMatchObject({
      code: 'ENOTDIR',
      definite: true,
    });
  });

  test('bad input is refused at once', () => {
    expect(() => fsStore('')).toThrow('directory must be a non-empty string, but is ""');
    expect(() => fsStore('x', { sync: 1 as never })).toThrow('sync must be one of true, false, but is 1');
  });
});

describe('other processes', () => {
  // All of them in the soak; otherwise two: in memory every step is tried each time.
  const every = Array.from({ length: isSoak ? 20 : 0 }, (_, i) => [i, 'before'] as const);
  const STEPS = [...every, [6, 'before'] as const, [7, 'after'] as const];

  test.each(['create', 'replace', 'remove'])(
    'killed at a step of the file system in %s: the record is the old one or the new one, and goes on',
    async (how) => {
      let killed = 0;
      for (const [n, when] of STEPS) {
        rmSync(directory(), { recursive: true, force: true });
        const store = quick();
        if (how !== 'create') await store.write('key', '"old"', undefined, { signal });
        const said = await another([...NODE, 'die', directory(), how, `${n}`, when]);
        if (said.length === 0) killed++;
        const found = await store.read('key', { signal });
        const allowed = { create: [undefined, '"new"'], replace: ['"old"', '"new"'], remove: ['"old"', undefined] };
        expect(allowed[how as keyof typeof allowed]).toContain(found?.value);
        expect(await store.write('key', '"next"', found?.revision, { signal })).toHaveProperty('revision');
        // Old values are gone with it.
        expect(everything().filter((path) => path.startsWith('keys'))).toHaveLength(4);
      }
      expect(killed).toBeGreaterThanOrEqual(isSoak ? 12 : 2);
    },
  );

  test('writers killed in the midst of it, one after the other: nothing acknowledged is lost, nothing is there twice', async () => {
    const kills = isSoak ? 40 : 3;
    const acknowledged: unknown[] = [];
    const line = (i: number) => [...NODE, 'update', directory(), `process ${i}`];
    const living = [0, 1, 2].map((i) => start(line(i)));
    for (let i = 0; i < kills; i++) {
      const victim = living[i % 3] as (typeof living)[number];
      // At another moment each time.
      await vi.waitFor(() => expect(victim.said.length).toBeGreaterThan(3 + (i % 5)), { timeout: 30_000, interval: 1 });
      victim.child.kill('SIGKILL');
      await once(victim.child, 'close');
      acknowledged.push(...victim.said);
      living[i % 3] = start(line(3 + i));
    }
    for (const { child, said } of living) {
      child.kill('SIGKILL');
      await once(child, 'close');
      acknowledged.push(...said);
    }
    const state = createState({ store: quick(), initial: () => ({ log: [] as string[] }) });
    const log = (await state.get('shared'))?.state.log ?? [];
    expect(new Set(log).size).toBe(log.length);
    expect(log).toEqual(expect.arrayContaining(acknowledged));
    // What the killed did not live to tell: one each at most.
    expect(log.length - acknowledged.length).toBeLessThanOrEqual(kills + 3);
    await state.update('shared', (draft) => void draft.log.push('last'));
    expect(everything().filter((path) => path.startsWith('keys'))).toHaveLength(4);
  });

  test('one that may only read reads; a write is a failure without a write', async () => {
    const store = quick();
    await store.write('key', '"one"', undefined, { signal });
    mkdirSync(join(directory(), 'keys', 'removed'));
    for (const path of ['', 'drafts', 'keys', ...everything().filter((path) => path.startsWith('keys/key'))]) {
      chmodSync(join(directory(), path), path.split('/').length === 4 ? 0o444 : 0o555);
    }
    chmodSync(folder, 0o755);
    // Who may do everything may write to it, too.
    const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
    const refused = { code: 'EACCES', definite: true };
    const [said] = await another([...NODE, 'look', directory()], user);
    expect(said).toEqual({
      value: '"one"',
      removed: 'absent',
      replaced: refused,
      created: refused,
      updated: 'STORE_UNAVAILABLE',
    });
  });

  const ownDisk = ['unshare', '-rm', 'sh', '-c', 'mount -t tmpfs -o size=512k none "$0" && exec "$@"'];
  const [unshare, ...options] = ownDisk as [string, ...string[]];
  const hasOwnDisk = spawnSync(unshare, [...options, tmpdir(), 'true']).status === 0;
  test.skipIf(!hasOwnDisk)(
    'a full disk (of its own, by unshare): nothing is written, what was there is, and all goes on',
    async () => {
      const disk = join(folder, 'disk');
      mkdirSync(disk);
      const refused = { code: 'ENOSPC', definite: true };
      const [said] = await another([...ownDisk, disk, ...NODE, 'fill', join(disk, 'state')]);
      expect(said).toEqual({ whenFull: refused, created: refused, isOld: true, isWritten: true });
    },
  );
});
