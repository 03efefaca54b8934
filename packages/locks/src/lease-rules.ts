// What all stores of leases keep to, and the contract asks of them.

/** What was handed on is kept for its new holder so long, or for its lease where that is shorter: it may be dead. */
export const CLAIM_MS = 2_000;

/** A place in a store's line lapses when nobody asked for it for so long. */
export const PLACE_MS = 15_000;

/** A record may go when its token is older than the clock by so much: the clock then gives higher ones by itself. */
export const KEPT_MS = 86_400_000;

/** The next token: higher than the one before, and by the clock, so that it rises although that one was forgotten. */
export function tokenAfter(token: number, now: number): number {
  return Math.max(token + 1, Math.floor(now));
}
