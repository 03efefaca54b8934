import { type FilePort, nodeFiles } from '../../src/file-port.ts';

/** What happens at the chosen call. `short` moves one byte, and `shortThen` also makes the call after it fail. */
export type Fault =
  | { readonly kind: 'fail' | 'doneButFails' | 'shortThen'; readonly code: string }
  | { readonly kind: 'short' }
  | { readonly kind: 'run'; readonly run: () => void };

export interface FaultyFiles extends FilePort {
  /** Names of the calls so far, in order. */
  readonly calls: string[];
}

const systemError = (code: string, call: string): Error =>
  Object.assign(new Error(`${code}: planted in ${call}`), { code, syscall: call });

const TRANSFERS = ['read', 'write', 'readSync', 'writeSync'];
const SYNCS = ['fsync', 'fdatasync'];

/**
 * The real file system, in which call number `at` goes wrong. Syncs are not carried out: what they would cost in time
 * proves nothing here.
 */
export function faultyFiles(at = -1, fault: Fault = { kind: 'short' }): FaultyFiles {
  const calls: string[] = [];
  let failNext: string | undefined;
  const real = nodeFiles as unknown as Record<string, (...args: unknown[]) => unknown>;

  const perform = (call: string, args: unknown[]): unknown => {
    const number = calls.push(call) - 1;
    const transfer = TRANSFERS.includes(call);
    if (failNext !== undefined && transfer) {
      const code = failNext;
      failNext = undefined;
      throw systemError(code, call);
    }
    const go = (): unknown => (SYNCS.includes(call) ? undefined : real[call]?.(...args));
    if (number !== at) return go();
    if (fault.kind === 'run') {
      fault.run();
      return go();
    }
    if (fault.kind === 'short' || fault.kind === 'shortThen') {
      if (!transfer || (args[3] as number) < 2) return go();
      if (fault.kind === 'shortThen') failNext = fault.code;
      return real[call]?.(args[0], args[1], args[2], 1, args[4]);
    }
    // A close that fails has closed all the same; and an open that "was done" would leave its descriptor to nobody.
    const done = call.startsWith('close') || (fault.kind === 'doneButFails' && !call.startsWith('open'));
    const result = done ? go() : undefined;
    if (!(result instanceof Promise)) throw systemError(fault.code, call);
    return result.then(() => {
      throw systemError(fault.code, call);
    });
  };

  const port: Record<string, unknown> = { name: 'faulty', calls };
  for (const call of Object.keys(real).filter((key) => key !== 'name')) {
    port[call] = call.endsWith('Sync')
      ? (...args: unknown[]) => perform(call, args)
      : async (...args: unknown[]) => await perform(call, args);
  }
  return port as unknown as FaultyFiles;
}
