import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from '../options.ts';
import { checkBadInput } from './bad-input.ts';
import { checkBatchUpdates } from './batch-updates.ts';
import { Chance } from './chance.ts';
import { Journey } from './journey.ts';
import { Report } from './report.ts';
import { ownSamples, type Sample, sampleOf } from './samples.ts';
import { ServerProcess } from './server-process.ts';

export interface SelfTestOptions {
  /** Empty: the studio's own samples. */
  readonly files: readonly string[];
  readonly seed?: number | undefined;
  say(line: string): void;
}

/** Drives the studio as a page would, on real files and with real kills. @returns the exit code */
export async function selfTest({ files, seed = randomInt(2 ** 32), say }: SelfTestOptions): Promise<number> {
  const report = new Report(say);
  const directory = await mkdtemp(join(tmpdir(), 'chunks-studio-'));
  try {
    const samples = files.length > 0 ? await Promise.all(files.map(sampleOf)) : await ownSamples(directory);
    report.note(`Self-test with seed ${seed} (--seed ${seed} repeats its choices)`);
    for (const sample of samples) await journey(sample, new Chance(seed), report, directory);
    await records(report, directory);
  } catch (error) {
    if (error instanceof UsageError) {
      say(error.message);
      return 2;
    }
    throw error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  return report.finish();
}

async function journey(sample: Sample, chance: Chance, report: Report, directory: string): Promise<void> {
  report.note(`${sample.name}, ${sample.sizeBytes} bytes`);
  try {
    await Journey.run(sample, chance, report, directory);
  } catch (error) {
    report.check(false, 'the whole way', error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
}

async function records(report: Report, directory: string): Promise<void> {
  report.note('Batch record and bad input');
  const data = join(directory, 'records');
  const server = await ServerProcess.start({ data, chunkSizeBytes: 1024 });
  try {
    await checkBatchUpdates(server.url, report);
    await checkBadInput(server.url, data, report);
  } catch (error) {
    report.check(false, 'records', error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    await server.kill();
  }
}
