// `pnpm bench assemble`. The measure is coreutils' `cat`, which copies inside the kernel, warm page cache, in the same
// rounds: read the ratios. Figures of memory and event loop come from fresh processes.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { type AssembleSettings, assembleFile } from '@chunks/assemble';
import { type Contender, compare, median } from '../../base/bench/interleave.ts';
import type { Cost } from './alone.ts';
import { type Bed, MIB, onBed } from './disk.ts';

const engines = ['inline', 'async'] as const;
const durabilities = ['none', 'full'] as const;
const quick = process.argv.includes('--quick');
const GIB = quick ? 128 * MIB : 1024 * MIB;
const options = { rounds: quick ? 5 : 7, drop: 1 };

/** Spawned without waiting synchronously, as a server would have to. @returns processor ms of the child. */
async function cat({ chunks, destination }: Bed, sync: boolean): Promise<number> {
  const line = `cat "$@" > '${destination}'${sync ? ` && sync '${destination}'` : ''} && times`;
  const child = spawn('sh', ['-c', line, 'cat', ...chunks.map((chunk) => chunk.path)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [printed, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  if (code !== 0) throw new Error(`cat ended with ${code}`);
  // The second line is of the shell's children: user, then system, as 0m0.123s.
  const times =
    printed
      .trim()
      .split('\n')[1]
      ?.matchAll(/(\d+)m([\d.]+)s/g) ?? [];
  return [...times].reduce((ms, [, minutes, seconds]) => ms + Number(minutes) * 60_000 + Number(seconds) * 1000, 0);
}

const fresh = (bed: Bed, name: string, run: () => Promise<unknown>): Contender => {
  const gone = (): void => rmSync(bed.destination, { force: true });
  return { name, before: gone, run: async () => void (await run()), after: gone };
};

const ours = (bed: Bed, name: string, o: Partial<AssembleSettings>): Contender =>
  fresh(bed, name, () => assembleFile({ ...bed, ...o }));

async function speed(totalBytes: number, chunkBytes: number): Promise<void> {
  await onBed(totalBytes, chunkBytes, async (bed) => {
    for (const durability of durabilities) {
      const sync = durability === 'full';
      const what = `${totalBytes / MIB} MiB in chunks of ${chunkBytes / MIB} MiB${sync ? ', synced' : ''}`;
      await compare(
        what,
        [
          fresh(bed, sync ? 'cat, sync' : 'cat', () => cat(bed, sync)),
          ...engines.map((engine) => ours(bed, engine, { engine, durability })),
        ],
        options,
      );
    }
  });
}

/** In processor time, which tells more than the clock when the machine has other things to do. */
async function work(totalBytes: number, chunkBytes: number): Promise<void> {
  await onBed(totalBytes, chunkBytes, async (bed) => {
    const gone = (): void => rmSync(bed.destination, { force: true });
    const own = (engine: (typeof engines)[number]): Contender => ({
      name: engine,
      before: gone,
      run: async () => {
        const before = process.cpuUsage();
        await assembleFile({ ...bed, engine, durability: 'none' });
        const { user, system } = process.cpuUsage(before);
        return (user + system) / 1000;
      },
    });
    const what = `${totalBytes / MIB} MiB in chunks of ${chunkBytes / MIB} MiB, processor time`;
    await compare(what, [{ name: 'cat', before: gone, run: () => cat(bed, false) }, ...engines.map(own)], options);
  });
}

async function digests(): Promise<void> {
  await onBed(GIB / 4, 2 * MIB, async (bed) => {
    const run = (name: string, o: Partial<AssembleSettings>) => ours(bed, name, { durability: 'none', ...o });
    await compare(
      `${GIB / 4 / MIB} MiB with a digest of the whole`,
      [
        fresh(bed, 'cat', () => cat(bed, false)),
        ...engines.flatMap((engine) =>
          (['crc32', 'sha256'] as const).map((whole) => run(`${engine}, ${whole}`, { engine, verify: { whole } })),
        ),
      ],
      options,
    );
  });
}

async function cost(): Promise<void> {
  await onBed(GIB, 2 * MIB, async (bed) => {
    const script = fileURLToPath(new URL('alone.ts', import.meta.url));
    console.log(`| ${GIB / MIB} MiB, five fresh processes each | event loop used | RSS growth MiB, most |\n|-|-:|-:|`);
    for (const engine of engines) {
      const task = { ...bed, engine, durability: 'none' };
      const warmUp = { ...task, chunks: bed.chunks.slice(0, bed.chunks.length / 4), totalBytes: GIB / 4 };
      const argument = JSON.stringify({ task, warmUp });
      const costs = Array.from({ length: 5 }, () => {
        const printed = execFileSync(process.execPath, ['--expose-gc', script, argument], { encoding: 'utf8' });
        rmSync(bed.destination);
        return JSON.parse(printed) as Cost;
      });
      const growth = Math.max(...costs.map((c) => c.rssGrowthBytes)) / MIB;
      console.log(`| ${engine} | ${median(costs.map((c) => c.loop)).toFixed(2)} | ${growth.toFixed(1)} |`);
    }
    console.log();
  });
}

await speed(8 * MIB, 2 * MIB);
await speed(GIB, 2 * MIB);
await speed(GIB, 10 * MIB);
await work(GIB, 2 * MIB);
await work(GIB, 10 * MIB);
await digests();
await cost();
