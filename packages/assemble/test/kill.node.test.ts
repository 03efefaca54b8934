import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { assembleFile } from '@chunks/assemble';
import { seededRandom } from '@chunks/base/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ChildTask } from './support/assemble-child.ts';
import { contentOf, debris, inTemp, type Laid, layChunks } from './support/disk.ts';

// The soak run kills more often.
const KILLS = process.env['CHUNKS_SOAK'] === undefined ? 30 : 500;
const LANES = 3;
// From the claim (6) to the directory's sync; each engine and mode gets its share, in turns of four.
const STEPS = [6, 7, 8, 9, 10, 12, 14, 16, 18, 19, 20, 21];
const child = fileURLToPath(new URL('support/assemble-child.ts', import.meta.url));

// Stripping the types of twenty files is most of what a child does; one that ends in peace leaves the result here.
const cache = mkdtempSync(join(tmpdir(), 'chunks-compiled-'));
afterAll(() => rm(cache, { recursive: true, force: true }));
beforeAll(async () => {
  await inTemp(async (folder) => {
    const laid = await layChunks(folder, [1]);
    expect(await runAndKill(taskOf(folder, laid, 0), undefined)).toBe('done');
  });
}, 60_000);

/** Runs the task in a process of its own, killed so long after it started (or by its own hand). */
async function runAndKill(task: ChildTask, afterMs: number | undefined): Promise<'killed' | 'done'> {
  const run = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', child, JSON.stringify(task)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_COMPILE_CACHE: cache },
  });
  const exited = once(run, 'exit');
  if (afterMs !== undefined) {
    await once(run.stdout, 'data');
    await sleep(afterMs);
    run.kill('SIGKILL');
  } else run.stdout.resume();
  const [code, signal] = await exited;
  expect(signal === 'SIGKILL' || code === 0, `exit ${code} ${signal}`).toBe(true);
  return signal === 'SIGKILL' ? 'killed' : 'done';
}

async function checkAndFinish(folder: string, task: ChildTask, laid: Laid, what: string): Promise<void> {
  const content = await contentOf(task.destination);
  const before = task.overwrite ? Buffer.from('old') : undefined;
  const intact = content === undefined ? before === undefined : content.equals(laid.whole) || before?.equals(content);
  expect(intact, `${what}: absent, old or complete`).toBe(true);
  const error = await assembleFile({
    ...laid,
    destination: task.destination,
    overwrite: task.overwrite,
    durability: 'none',
  }).then(
    () => undefined,
    (reason) => reason,
  );
  if (error !== undefined) expect(error.code, what).toBe('DESTINATION_EXISTS');
  expect((await contentOf(task.destination))?.equals(laid.whole), what).toBe(true);
  expect(await debris(folder), what).toEqual([]);
}

const turns = (turn: number) =>
  ({ engine: turn % 2 === 0 ? 'inline' : 'async', overwrite: turn % 4 >= 2, durability: 'file' }) as const;

async function reset(task: ChildTask): Promise<void> {
  await (task.overwrite ? writeFile(task.destination, 'old') : rm(task.destination, { force: true }));
}

/** Each lane in a folder of its own; starting a process is most of the time, and that can overlap. */
async function lanes(
  task: (folder: string, laid: Laid, lane: number) => Promise<void>,
  sizes: number[],
): Promise<void> {
  const lane = (_: unknown, number: number) =>
    inTemp(async (folder) => task(folder, await layChunks(folder, sizes), number));
  await Promise.all(Array.from({ length: LANES }, lane));
}

const taskOf = (folder: string, { chunks, totalBytes }: Laid, turn: number): ChildTask => ({
  chunks,
  totalBytes,
  destination: join(folder, 'whole.bin'),
  ...turns(turn),
});

test(`killed at ${KILLS} random instants: absent, old or complete, and the next run finishes`, {
  timeout: 600_000,
}, async () => {
  const seed = Date.now() % 100_000;
  const random = seededRandom(seed);
  const counts = { killed: 0, done: 0, debris: 0 };
  let turn = 0;
  await lanes(
    async (folder, laid) => {
      while (turn < KILLS) {
        const task = taskOf(folder, laid, turn++);
        await reset(task);
        const afterMs = random() * 25;
        counts[await runAndKill(task, afterMs)]++;
        if ((await debris(folder)).length > 0) counts.debris++;
        await checkAndFinish(folder, task, laid, `seed ${seed}, killed after ${afterMs} ms, ${task.engine}`);
      }
    },
    [2_000_000, 0, 2_500_000, 1],
  );
  console.log(`kill test: ${JSON.stringify(counts)}`);
  expect(counts.killed + counts.done).toBe(KILLS);
});

test('killed before each kind of file call: absent, old or complete, and the next run finishes', {
  timeout: 600_000,
}, async () => {
  let killed = 0;
  let next = 0;
  await lanes(
    async (folder, laid) => {
      while (next < STEPS.length) {
        const turn = next++;
        const task: ChildTask = { ...taskOf(folder, laid, turn), dieAt: STEPS[turn] };
        await reset(task);
        if ((await runAndKill(task, undefined)) === 'killed') killed++;
        await checkAndFinish(folder, task, laid, `killed at call ${task.dieAt}, ${task.engine}`);
      }
    },
    [300_000, 100],
  );
  expect(killed).toBe(STEPS.length);
});
