export type Jitter = 'full' | 'decorrelated' | 'none';

/** How long to wait before each retry: an immutable value, the random injected. */
export interface Backoff {
  /** The wait in ms before the retry that follows failed attempt number `attempt` (1, 2, …). */
  delayMs(attempt: number, random: () => number): number;
}

/**
 * Exponential waits, doubled from `baseMs` up to `maxMs`.
 * - `full`: uniform in [0, ceiling), so that contenders spread over the whole window.
 * - `decorrelated`: uniform in [baseMs, 3 × the ceiling before), capped: never near zero.
 * - `none`: the ceiling itself.
 */
export function exponentialBackoff(o: { baseMs: number; maxMs: number; jitter: Jitter }): Backoff {
  const { baseMs, maxMs } = o;
  const ceilingMs = (attempt: number): number => Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 52));
  const delays: Record<Jitter, (attempt: number, random: () => number) => number> = {
    none: ceilingMs,
    full: (attempt, random) => random() * ceilingMs(attempt),
    decorrelated: (attempt, random) => {
      const previousMs = attempt === 1 ? baseMs : ceilingMs(attempt - 1);
      return Math.min(maxMs, baseMs + random() * (3 * previousMs - baseMs));
    },
  };
  return { delayMs: delays[o.jitter] };
}
