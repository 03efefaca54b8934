import type { Run } from '../../src/protocol.ts';

/** A byte of the file that nobody has asked for yet, picked by `random` in 0…1; undefined when all was asked for. */
export function coldByte(runs: readonly Run[], random: number): number | undefined {
  const missing = runs.filter((run) => run.state === 'missing' && run.endByte > run.startByte);
  const total = missing.reduce((sum, run) => sum + run.endByte - run.startByte, 0);
  let left = Math.min(total - 1, Math.floor(random * total));
  for (const run of missing) {
    const bytes = run.endByte - run.startByte;
    if (left < bytes) return run.startByte + left;
    left -= bytes;
  }
  return undefined;
}
