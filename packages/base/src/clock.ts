import { onAbort } from './abort.ts';

/** Where time comes from. Everything in the packages that waits or compares times takes one. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls back once after `ms`; the returned function cancels it. Infinity never calls back. Keeps no process alive. */
  after(ms: number, callback: () => void): () => void;
  /**
   * Resolves after `ms`; rejects with the signal's own reason when that aborts first. Keeps the process alive, because
   * whoever sleeps has work to do afterwards that somebody waits for.
   */
  sleep(ms: number, signal?: AbortSignal | undefined): Promise<void>;
}

// Timers above 2^31 − 1 ms fire at once in every runtime.
const MAX_TIMER_MS = 2 ** 31 - 1;

function startTimer(ms: number, callback: () => void, keepAlive: boolean): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const arm = (leftMs: number): void => {
    const stepMs = Math.min(leftMs, MAX_TIMER_MS);
    timer = setTimeout(() => (leftMs > stepMs ? arm(leftMs - stepMs) : callback()), stepMs);
    // Only Node's timers keep a process alive; elsewhere they are numbers.
    if (!keepAlive) (timer as { unref?: () => void }).unref?.();
  };
  // Rounded up, because runtimes cut fractions off: no timer is early.
  if (ms !== Number.POSITIVE_INFINITY) arm(Math.ceil(Math.max(0, ms)));
  return () => clearTimeout(timer);
}

/** {@link Clock.sleep} out of {@link Clock.after}, for clocks of any kind. */
export function sleepOn(clock: Pick<Clock, 'after'>, ms: number, signal?: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => {
      unlink();
      resolve();
    });
    const unlink = onAbort(signal, () => {
      cancel();
      reject(signal?.reason);
    });
  });
}

/** The host's wall clock and timers. */
export const systemClock: Clock = {
  // The wall clock, not a monotonic one: leases must also run out while a laptop sleeps.
  now: () => Date.now(),
  after: (ms, callback) => startTimer(ms, callback, false),
  sleep: (ms, signal) => sleepOn({ after: (afterMs, wake) => startTimer(afterMs, wake, true) }, ms, signal),
};

/**
 * Wall time that never goes back: an hour that somebody takes off the wall clock must not make a lease an hour longer
 * than its store knows. It counts on by the uptime, which does not see a laptop asleep, and catches up with the wall
 * clock wherever that is ahead.
 */
export function steadyNow(wall: () => number, uptime: () => number): () => number {
  let aheadMs = Number.NEGATIVE_INFINITY;
  return () => {
    const upMs = uptime();
    aheadMs = Math.max(aheadMs, wall() - upMs);
    return Math.floor(upMs + aheadMs);
  };
}

/** The host's timers, and its wall clock as {@link steadyNow}. */
export const steadyClock: Clock = /* @__PURE__ */ steady();

// A function, so that a bundler may leave it out where nobody counts by it.
function steady(): Clock {
  return { ...systemClock, now: steadyNow(systemClock.now, () => performance.now()) };
}
