import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { VirtualClock } from '@chunks/base/testing';
import { type LeaseDriver, leaseLocker } from '@chunks/locks/lease';
import { sqliteLeases } from '@chunks/locks/sqlite';
import { type LeaseBench, type LockerBench, leaseDriverContract, lockerContract } from '@chunks/locks/testing';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { onRealTime } from '../../../../.ci/testing/runs.ts';
import { ask, take } from '../../src/testing/lease-bench.ts';

const folder = mkdtempSync(join(tmpdir(), 'locks-sqlite-'));
// Open to the user without rights who gets to try a file that cannot be written.
chmodSync(folder, 0o755);
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const newPath = (): string => join(folder, `${files++}.sqlite`);

const processes: ChildProcess[] = [];
afterEach(() => {
  for (const child of processes.splice(0)) child.kill('SIGKILL');
});

const SCRIPT = fileURLToPath(new URL('../support/sqlite-process.ts', import.meta.url));
const NODE = [process.execPath, '--conditions=@chunks/source', '--disable-warning=ExperimentalWarning', SCRIPT];

/** @returns what it says first, and what ends it */
async function another(command: readonly string[], user = {}): Promise<{ said: unknown; child: ChildProcess }> {
  const [program, ...args] = command as [string, ...string[]];
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], ...user });
  processes.push(child);
  const [line] = await once(child.stdout as NodeJS.ReadableStream, 'data');
  return { said: JSON.parse(String(line)), child };
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

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
      // Its clock stands still: what is not busy must not be waited for.
      const driver = sqliteLeases(join(missing, 'leases.sqlite'), { clock });
      return { driver, end: () => void mkdirSync(missing) };
    },
    turnBack: (ms) => clock.jump(-ms),
  };
}

describe('what every driver must do', () => {
  const abilities = { shared: false, inspect: true, watch: true, line: true, clock: 'injected', remote: true } as const;
  test.each(leaseDriverContract(bench, abilities))('$name', onRealTime, ({ run }) => run());
});

describe('what every locker must do, over it', () => {
  function lockers(): LockerBench {
    const path = newPath();
    const clock = new VirtualClock();
    const drivers: LeaseDriver[] = [];
    return {
      open(options) {
        const driver = sqliteLeases(path, { clock });
        drivers.push(driver);
        return leaseLocker(driver, { ...options, clock });
      },
      async pass(ms) {
        await clock.advance(ms);
        await sleep(1);
      },
      close: async () => void (await Promise.all(drivers.map((driver) => driver.close?.()))),
    };
  }
  test.each(lockerContract(lockers, { shared: false }))('$name', onRealTime, ({ run }) => run());
});

describe('the file', () => {
  test('is opened on first use, and nothing else is left behind by who does not wait', async () => {
    const path = newPath();
    const driver = sqliteLeases(path);
    expect(existsSync(path)).toBe(false);
    await driver.release('key', 'a', await take(driver, 'key', 'a'));
    await driver.close?.();
    expect(readdirSync(folder).filter((name) => name.startsWith(path.slice(folder.length + 1)))).toEqual([
      path.slice(folder.length + 1),
    ]);
  });

  test('keeps tokens, leases and the line over processes that come and go, whatever their clock says', async () => {
    const path = newPath();
    const clock = new VirtualClock();
    const first = sqliteLeases(path, { clock });
    const token = await take(first, 'key', 'a');
    await ask(first, 'key', 'b');
    await first.close?.();
    clock.jump(-3_600_000);
    const second = sqliteLeases(path, { clock });
    expect(await ask(second, 'key', 'c')).toMatchObject({ busy: true, holder: 'a', queued: true });
    expect(await second.release('key', 'a', token)).toBe(true);
    expect(await ask(second, 'key', 'c')).toMatchObject({ busy: true, holder: 'b' });
    expect(await take(second, 'key', 'b')).toBe(token + 1);
    await second.close?.();
  });

  test('refuses bad calls by name, and does nothing', async () => {
    const path = newPath();
    const driver = sqliteLeases(path);
    await expect(ask(driver, '', 'a')).rejects.toThrow(/^key must be/);
    await expect(ask(driver, 'key', '')).rejects.toThrow(/^holder must be/);
    await expect(ask(driver, 'key', 'a', Number.NaN)).rejects.toThrow(/^leaseMs must be a number ≥ 1/);
    await expect(driver.renew('key', 'a', 1, 0)).rejects.toThrow(/^leaseMs must be a number ≥ 1/);
    expect(existsSync(path)).toBe(false);
  });

  test('refuses bad options by name', () => {
    expect(() => sqliteLeases('')).toThrow(/path/);
    expect(() => sqliteLeases(':memory:')).toThrow(/path must be a file/);
    expect(() => sqliteLeases('x', { busyTimeoutMs: -1 })).toThrow(/busyTimeoutMs/);
    expect(() => sqliteLeases('x', { busyTimeoutMs: Number.NaN })).toThrow(/busyTimeoutMs/);
  });
});

describe('busy, unreachable and lost are three things', () => {
  test('a file that another process keeps locked: waits beside the event loop, then rejects, and works again', async () => {
    const path = newPath();
    const clock = new VirtualClock();
    const driver = sqliteLeases(path, { clock });
    const token = await take(driver, 'mine', 'a');
    const { child } = await another([...NODE, 'hold', path]);
    const calls = {
      acquire: ask(driver, 'key', 'a'),
      renew: driver.renew('mine', 'a', token, 60_000),
      release: driver.release('mine', 'a', token),
      inspect: driver.inspect?.('key') ?? Promise.resolve(),
    };
    const settled = Promise.allSettled(Object.values(calls));
    await clock.advance(1_950);
    expect(await Promise.race([settled, 'all wait'])).toBe('all wait');
    await clock.advance(100);
    for (const outcome of await settled) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { errcode: 5 } });
    }
    const patient = ask(driver, 'key', 'a');
    await clock.advance(1_000);
    await kill(child);
    await clock.advance(100);
    expect(await patient).toEqual({ token: expect.any(Number) });
    // Nothing was done by the calls that rejected.
    expect(await driver.renew('mine', 'a', token, 60_000)).toBe(true);
    await driver.close?.();
  });

  test('a process that is killed between BEGIN and COMMIT has done nothing', async () => {
    const path = newPath();
    const driver = sqliteLeases(path);
    const token = await take(driver, 'key', 'a');
    await ask(driver, 'key', 'b');
    const { child } = await another([...NODE, 'hold', path, 'key', 'ghost']);
    await kill(child);
    expect(await driver.inspect?.('key')).toMatchObject({ holder: 'a' });
    expect(await driver.renew('key', 'a', token, 60_000)).toEqual({ contended: true });
    expect(await driver.release('key', 'a', token)).toBe(true);
    const next = await take(driver, 'key', 'b');
    expect(next).toBeGreaterThan(token);
    expect(next).toBeLessThan(9e15);
    await driver.close?.();
    const database = new DatabaseSync(path);
    expect(database.prepare('SELECT key FROM chunks_leases').all()).toEqual([{ key: 'key' }]);
    expect(database.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' });
    database.close();
  });

  test('a holder that is killed: busy until its lease ends, then the first in line has it', async () => {
    const path = newPath();
    const { said, child } = await another([...NODE, 'take', path, 'key', 'killed', '60000']);
    const { token } = said as { token: number };
    await kill(child);
    const clock = new VirtualClock(token);
    const driver = sqliteLeases(path, { clock });
    const { retryAfterMs = 0 } = (await ask(driver, 'key', 'b')) as { retryAfterMs?: number };
    expect(await ask(driver, 'key', 'b')).toMatchObject({ busy: true, holder: 'killed' });
    await clock.advance(retryAfterMs - 1);
    await ask(driver, 'key', 'b');
    await clock.advance(1);
    expect(await ask(driver, 'key', 'newcomer')).toMatchObject({ busy: true, holder: 'b' });
    expect(await take(driver, 'key', 'b')).toBeGreaterThan(token);
    await driver.close?.();
  });

  test('a file that must not be written: unreachable, not busy and not free', async () => {
    const path = join(folder, `read-only-${files++}`, 'leases.sqlite');
    mkdirSync(join(path, '..'));
    const driver = sqliteLeases(path);
    await take(driver, 'key', 'a');
    await driver.close?.();
    chmodSync(path, 0o444);
    chmodSync(join(path, '..'), 0o555);
    // Who may do everything may write to it, too.
    const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
    // SQLITE_READONLY or, as there is no log yet, SQLITE_CANTOPEN.
    for (const key of ['key', 'free']) {
      const { said } = await another([...NODE, 'take', path, key], user);
      expect([{ code: 8 }, { code: 14 }]).toContainEqual(said);
    }
    chmodSync(join(path, '..'), 0o755);
  });

  const ownDisk = ['unshare', '-rm', 'sh', '-c', 'mount -t tmpfs -o size=256k none "$0" && exec "$@"'];
  const [unshare, ...options] = ownDisk as [string, ...string[]];
  const hasOwnDisk = spawnSync(unshare, [...options, folder, 'true']).status === 0;
  test.skipIf(!hasOwnDisk)(
    'a full disk: unreachable; what was held is held, and all goes on when there is room',
    async () => {
      const disk = join(folder, 'disk');
      mkdirSync(disk);
      const { said } = await another([...ownDisk, disk, ...NODE, 'fill', join(disk, 'leases.sqlite')]);
      expect(said).toEqual({ whenFull: { code: 13 }, renewed: true, again: true });
    },
  );

  test.each([
    ['removed', (path: string) => rmSync(path)],
    ['removed, with its log', (path: string) => ['', '-wal', '-shm'].forEach((end) => void rmSync(path + end))],
    ['moved away', (path: string) => renameSync(path, `${path}-old`)],
    [
      'replaced by another process',
      (path: string) => {
        for (const end of ['', '-wal', '-shm']) rmSync(path + end);
        new DatabaseSync(path).exec('PRAGMA journal_mode = WAL; CREATE TABLE theirs (a)');
      },
    ],
  ])(
    'a file that was %s: the next call says so, then the leases in it are lost, and tokens rise',
    async (_, remove) => {
      const path = newPath();
      const [here, there] = [sqliteLeases(path), sqliteLeases(path)];
      const token = await take(here, 'key', 'a');
      expect(await ask(there, 'key', 'b')).toMatchObject({ busy: true });
      remove(path);
      // Not busy, not free, not lost: nobody knows.
      await expect(ask(there, 'key', 'b')).rejects.toThrow(/removed or replaced/);
      await expect(here.renew('key', 'a', token, 60_000)).rejects.toThrow(/removed or replaced/);
      expect(await here.renew('key', 'a', token, 60_000)).toBe(false);
      expect(await take(there, 'key', 'b')).toBeGreaterThan(token);
      expect(await ask(here, 'key', 'a')).toMatchObject({ busy: true, holder: 'b' });
      for (const driver of [here, there]) await driver.close?.();
    },
  );
});

describe('waking', () => {
  let touched = 0;
  /** Until all that the file system has to tell by now is told: it keeps to the order. */
  async function told(to: LeaseDriver, by: LeaseDriver): Promise<void> {
    const key = `last ${touched++}`;
    let wakes = 0;
    const stop = await to.watch?.(key, () => wakes++);
    await by.release(key, 'a', await take(by, key, 'a'));
    await until(() => wakes > 0);
    stop?.();
  }

  async function until(isSo: () => boolean): Promise<void> {
    for (let i = 0; i < 2_000 && !isSo(); i++) await sleep(5);
    expect(isSo()).toBe(true);
  }

  test('an ended lease that a stranger sees wakes the one it is handed to', async () => {
    const path = newPath();
    const clock = new VirtualClock();
    const [here, there] = [sqliteLeases(path, { clock }), sqliteLeases(path, { clock })];
    await take(here, 'key', 'a', 1_000);
    await ask(there, 'key', 'b');
    let wakes = 0;
    const stop = await there.watch?.('key', () => wakes++);
    await told(there, here);
    wakes = 0;
    await here.inspect?.('key');
    await told(there, here);
    expect(wakes).toBe(0);
    await clock.advance(1_000);
    expect(await here.inspect?.('key')).toMatchObject({ holder: 'b' });
    await until(() => wakes > 0);
    stop?.();
    for (const driver of [here, there]) await driver.close?.();
  });

  test('when the folder goes away everybody looks once, and the next question opens it anew', async () => {
    const path = newPath();
    const driver = sqliteLeases(path);
    const token = await take(driver, 'key', 'a');
    let wakes = 0;
    const stop = await driver.watch?.('key', () => wakes++);
    await told(driver, driver);
    wakes = 0;
    rmSync(`${path}-wake`, { recursive: true });
    await until(() => wakes > 0);
    await ask(driver, 'key', 'b');
    await until(() => existsSync(`${path}-wake`));
    await told(driver, driver);
    wakes = 0;
    await driver.release('key', 'a', token);
    await until(() => wakes > 0);
    stop?.();
    await driver.close?.();
  });

  test('a wake that cannot be told does not undo the release; a watch that cannot be opened says so', async () => {
    const path = newPath();
    const driver = sqliteLeases(path);
    const token = await take(driver, 'key', 'a');
    const { writeFileSync } = await import('node:fs');
    writeFileSync(`${path}-wake`, 'a file where the folder should be');
    await expect(driver.watch?.('key', () => undefined)).rejects.toThrow(/EEXIST/);
    expect(await driver.release('key', 'a', token)).toBe(true);
    rmSync(`${path}-wake`);
    (await driver.watch?.('key', () => undefined))?.();
    await driver.close?.();
  });
});
