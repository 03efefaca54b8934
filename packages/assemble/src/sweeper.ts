import { checkFunction, checkNumber, sleepOn, systemClock } from '@chunks/base';
import { checkSweep, type SweepOptions, type SweepResult, sweepStale } from './sweep.ts';

export interface SweeperOptions extends SweepOptions {
  /** From the end of one sweep to the start of the next. @default 30 min */
  everyMs?: number | undefined;
  onSweep?: ((result: SweepResult) => void) | undefined;
  /** A sweep that failed, or an error that `onSweep` threw. The next sweep comes all the same. @default ignored */
  onError?: ((error: unknown) => void) | undefined;
}

const DEFAULT_EVERY_MS = 30 * 60_000;

/**
 * Sweeps at once and then every 30 minutes, one sweep at a time. Keeps no process alive. Disposing stops it, aborts a
 * sweep under way and resolves when that has come to rest; so does an abort of `signal`.
 *
 * @throws TypeError | RangeError for bad options.
 * @example
 * const sweeper = startSweeper({ root: 'uploads', onSweep: ({ removed }) => log(removed) });
 * process.once('SIGTERM', () => void sweeper[Symbol.asyncDispose]());
 */
export function startSweeper(o: SweeperOptions): AsyncDisposable {
  checkSweep(o);
  const everyMs = o.everyMs === undefined ? DEFAULT_EVERY_MS : checkNumber('everyMs', o.everyMs, 1);
  if (o.onSweep !== undefined) checkFunction('onSweep', o.onSweep);
  if (o.onError !== undefined) checkFunction('onError', o.onError);
  const clock = o.clock ?? systemClock;
  const stop = new AbortController();
  const signal = o.signal === undefined ? stop.signal : AbortSignal.any([o.signal, stop.signal]);

  const sweepOnce = async (): Promise<void> => {
    try {
      const result = await sweepStale({ ...o, signal });
      o.onSweep?.(result);
    } catch (error) {
      if (signal.aborted) return;
      try {
        o.onError?.(error);
      } catch {
        // An error handler that fails has nobody left to tell.
      }
    }
  };
  const sweepOnAndOn = async (): Promise<void> => {
    while (!signal.aborted) {
      await sweepOnce();
      // On `after`, which keeps no process alive. Rejects when stopped, which is the one way out.
      await sleepOn(clock, everyMs, signal).catch(() => undefined);
    }
  };
  const ended = sweepOnAndOn();
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort(new DOMException('the sweeper was stopped', 'AbortError'));
      await ended;
    },
  };
}
