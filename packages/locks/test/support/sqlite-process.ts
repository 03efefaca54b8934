// Another process on the file of a test: `node sqlite-process.ts <what> <path> …`. Each line that it says is JSON; after
// the first it waits for a line, or to be killed.
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { sqliteLeases } from '../../src/adapters/sqlite.ts';

const [what, path = '', key = 'key', holder = 'other process', leaseMs = '60000'] = process.argv.slice(2);
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
const told = async (): Promise<void> => void (await once(process.stdin, 'data'));
const { signal } = new AbortController();

/** What a call came to: its answer, or SQLite's primary code. */
const outcome = (call: Promise<unknown>): Promise<unknown> =>
  call.catch((error: { errcode?: number; message: string }) => ({
    code: error.errcode === undefined ? error.message : error.errcode & 0xff,
  }));

/** Has the file, with half a grant and much else written into the log, and nothing committed. */
async function hold(): Promise<void> {
  const database = new DatabaseSync(path);
  database.exec('PRAGMA cache_size = 5; BEGIN IMMEDIATE');
  const write = database.prepare(
    `INSERT INTO chunks_leases (key, token, holder, expires_ms) VALUES (?, ?, ?, ?)
     ON CONFLICT (key) DO UPDATE SET token = excluded.token, holder = excluded.holder, expires_ms = excluded.expires_ms`,
  );
  write.run(key, 9e15, holder, 9e15);
  for (let i = 0; i < 2_000; i++) write.run(`filler ${i} ${'.'.repeat(200)}`, 9e15, holder, 9e15);
  say('held');
  await told();
  database.exec('ROLLBACK');
  database.close();
}

async function take(): Promise<void> {
  const driver = sqliteLeases(path);
  say(await outcome(driver.acquire(key, holder, Number(leaseMs), { mode: 'exclusive', signal })));
  await told();
  await driver.close?.();
}

/** On a disk of its own, which it fills. */
async function fill(): Promise<void> {
  const driver = sqliteLeases(path);
  const ask = (one: string): Promise<unknown> =>
    outcome(driver.acquire(one, holder, 60_000, { mode: 'exclusive', signal }));
  const { token } = (await ask(key)) as { token: number };
  const filler = join(dirname(path), 'filler');
  let size = 4_096;
  for (let content = '.'.repeat(size); size > 0; content = content.slice(0, size)) {
    try {
      writeFileSync(filler, content, { flag: 'a' });
    } catch {
      size = Math.floor(size / 2);
    }
  }
  let answer: unknown;
  for (let i = 0; i < 1_000 && (answer as { code?: number } | undefined)?.code === undefined; i++) {
    answer = await ask(`more ${i} ${'.'.repeat(400)}`);
  }
  rmSync(filler);
  say({
    whenFull: answer,
    renewed: await outcome(driver.renew(key, holder, token, 60_000)),
    again: 'token' in ((await ask('more')) as object),
  });
  await driver.close?.();
}

await { hold, take, fill }[what as 'hold' | 'take' | 'fill']();
process.exit();
