import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { isOver, newMark } from '../src/owner.ts';

const HOUR_MS = 3_600_000;
/** The tag with one of its parts (machine, boot, process, start, thread, run) changed. */
const with_ = (tag: string, part: number, value: string): string => tag.split('-').with(part, value).join('-');

test('a mark lives until it is released, however idle', () => {
  const mark = newMark();
  expect(isOver(mark.tag, 9 * HOUR_MS)).toBe(false);
  mark.release();
  expect(isOver(mark.tag, 0)).toBe(true);
});

test('marks differ, and are fit for file names', () => {
  const tags = Array.from({ length: 50 }, () => newMark().tag);
  expect(new Set(tags).size).toBe(50);
  for (const tag of tags) expect(tag).toMatch(/^[0-9a-f-]{40,100}$/);
});

test('a live process is not over, its corpse and an unknown number are', async () => {
  const child = spawn(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1000)'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(child.stdout, 'data');
  const own = newMark().tag;
  const stat = await readFile(`/proc/${child.pid}/stat`, 'latin1').catch(() => undefined);
  const start = stat === undefined ? '0' : (stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '0');
  const tag = with_(with_(own, 2, String(child.pid)), 3, start);
  expect(isOver(tag, 0)).toBe(false);
  // The same number, given to another process meanwhile.
  expect(isOver(with_(tag, 3, '1'), 0)).toBe(true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(isOver(tag, 0)).toBe(true);
});

test.runIf(process.platform === 'linux')('a corpse that nobody has buried is over', async () => {
  // The shell's own child ends while the shell has become a sleep, which waits for no children.
  const parent = spawn('sh', ['-c', 'sleep 0.3 & echo $!; exec sleep 20'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [line] = await once(parent.stdout, 'data');
  const pid = String(line).trim();
  let fields: string[] = [];
  while (fields[0] !== 'Z') {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
    fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  }
  expect(isOver(with_(with_(newMark().tag, 2, pid), 3, fields[19] ?? ''), 0)).toBe(true);
  parent.kill('SIGKILL');
  await once(parent, 'exit');
});

test('our number and another start is an earlier process; another thread of ours lives', () => {
  const { tag } = newMark();
  expect(isOver(with_(tag, 3, '1'), 0)).toBe(true);
  expect(isOver(with_(tag, 4, '4711'), 9 * HOUR_MS)).toBe(false);
  expect(isOver(with_(tag, 5, '0123456789ab'), 0)).toBe(true);
});

test('another boot of this machine is over; another machine only when it has long written nothing', () => {
  const { tag } = newMark();
  expect(isOver(with_(tag, 1, '00000000'), 0)).toBe(true);
  expect(isOver(with_(tag, 0, '00000000'), HOUR_MS)).toBe(false);
  expect(isOver(with_(tag, 0, '00000000'), HOUR_MS + 1)).toBe(true);
});

test('what is no mark is nobody’s debris', () => {
  for (const tag of ['', 'x', '../../etc', 'a-b-c-d-e-f']) expect(isOver(tag, 99 * HOUR_MS)).toBe(false);
});
