import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

/** Runs a script on the sources of base in a process of its own. */
const run = (script: string): { status: number | null; stdout: string } =>
  spawnSync(
    process.execPath,
    ['--conditions=@chunks/source', '--experimental-strip-types', '--no-warnings', '--input-type=module', '-e', script],
    { cwd: import.meta.dirname, encoding: 'utf8' },
  );

const load = "import { systemClock } from '@chunks/base';";

test('who sleeps wakes, with nothing else keeping the process alive', () => {
  const { status, stdout } = run(`${load} await systemClock.sleep(30); console.log('awake');`);
  expect({ status, stdout }).toEqual({ status: 0, stdout: 'awake\n' });
});

test('a sleep that was cut short keeps no process alive', () => {
  const script = `${load} const stop = new AbortController();
    systemClock.sleep(3_600_000, stop.signal).catch(() => console.log('cut short')); stop.abort();`;
  expect(run(script)).toMatchObject({ status: 0, stdout: 'cut short\n' });
});

test('a call that is set for later keeps no process alive', () => {
  const { status, stdout } = run(`${load} systemClock.after(3_600_000, () => {}); console.log('end');`);
  expect({ status, stdout }).toEqual({ status: 0, stdout: 'end\n' });
});
