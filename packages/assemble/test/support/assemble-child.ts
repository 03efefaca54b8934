// A process to be killed: assembles what its one argument says. With `dieAt` it kills itself before that file call,
// so that every step of the way can be the last one.
import { assembleFile } from '../../src/assemble-file.ts';
import { type FilePort, nodeFiles } from '../../src/file-port.ts';
import type { AssembleSettings } from '../../src/settings.ts';
import type { ChunkFile } from '../../src/types.ts';

export interface ChildTask {
  readonly chunks: ChunkFile[];
  readonly totalBytes: number;
  readonly destination: string;
  readonly engine: 'inline' | 'async';
  readonly overwrite: boolean;
  readonly durability: NonNullable<AssembleSettings['durability']>;
  readonly dieAt?: number | undefined;
}

function mortal(dieAt: number): FilePort {
  let calls = 0;
  const entries = Object.entries(nodeFiles as unknown as Record<string, (...args: unknown[]) => unknown>);
  const mortals = entries.map(([name, call]) => [
    name,
    typeof call !== 'function'
      ? call
      : (...args: unknown[]) => {
          if (calls++ === dieAt) process.kill(process.pid, 'SIGKILL');
          return call(...args);
        },
  ]);
  return Object.fromEntries(mortals) as FilePort;
}

const { dieAt, ...task } = JSON.parse(process.argv[2] ?? '') as ChildTask;
process.stdout.write('started\n');
await assembleFile({ ...task, files: dieAt === undefined ? undefined : mortal(dieAt) });
process.stdout.write('done\n');
