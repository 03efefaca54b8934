// One assembly in a process of its own: `node alone.ts <JSON of AssembleSettings and chunks>` prints what it cost here.
import { performance } from 'node:perf_hooks';
import { assembleFile } from '@chunks/assemble';

export interface Cost {
  readonly ms: number;
  /** Share of the time in which the event loop could do nothing else, 0 to 1. */
  readonly loop: number;
  /** Most resident memory during the run, less what was resident before it. */
  readonly rssGrowthBytes: number;
}

type Task = Parameters<typeof assembleFile>[0];
const { warmUp, task } = JSON.parse(process.argv[2] ?? '') as { warmUp: Task; task: Task };
// Modules, compiled code and the thread pool are there before anything is measured.
for (let i = 0; i < 3; i++) await assembleFile({ ...warmUp, overwrite: true });
globalThis.gc?.();
const before = process.memoryUsage.rss();
let most = before;
let calls = 0;
const sample = (): void => {
  if (calls++ % 16 === 0) most = Math.max(most, process.memoryUsage.rss());
};
const idle = performance.eventLoopUtilization();
const started = performance.now();
await assembleFile({ ...task, overwrite: true, onProgress: sample });
const ms = performance.now() - started;
most = Math.max(most, process.memoryUsage.rss());
const loop = performance.eventLoopUtilization(idle).utilization;
console.log(JSON.stringify({ ms, loop, rssGrowthBytes: most - before } satisfies Cost));
