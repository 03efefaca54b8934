import {
  type Backoff,
  checkFunction,
  checkInteger,
  checkNumber,
  exponentialBackoff,
  refuseRange,
  steadyClock,
} from '@chunks/base';
import type { LeaseDriver } from '../lease-driver.ts';
import { checkSettings, checkTerms, type Settings, type Terms } from '../settings.ts';
import type { AcquireOptions, LeaseLockerOptions } from '../types.ts';

// What every timer and every store can count: 24 days.
export const MAX_LEASE_MS: number = 2 ** 31 - 1;
/** Tokens of one lease are 128 apart from those of the next, so that each local grant can have its own. */
export const GRANTS_PER_TOKEN = 128;

/** A lease locker's options, checked, with their defaults. */
export interface LeaseSettings extends Settings {
  /** How much earlier than in the store a lease of this length ends here. */
  readonly driftMs: (leaseMs: number) => number;
  readonly poll: Backoff;
  readonly pollMinMs: number;
  readonly pollMaxMs: number;
  readonly maxGrants: number;
  readonly requestTimeoutMs: number;
}

/** @throws TypeError | RangeError naming option, rule and value. */
export function checkLeaseSettings(options: LeaseLockerOptions): LeaseSettings {
  const { driftMs, poll = { minMs: 25, maxMs: 500 }, handOff = { maxGrants: 64 }, requestTimeoutMs = 5_000 } = options;
  const pollMinMs = checkNumber('poll.minMs', poll.minMs, 1);
  const pollMaxMs = checkNumber('poll.maxMs', poll.maxMs, pollMinMs);
  if (driftMs !== undefined) checkNumber('driftMs', driftMs, 0);
  const settings: LeaseSettings = {
    ...checkSettings({ ...options, clock: options.clock ?? steadyClock }),
    driftMs: driftMs === undefined ? (leaseMs) => 2 + leaseMs / 100 : () => driftMs,
    poll: exponentialBackoff({ baseMs: pollMinMs, maxMs: pollMaxMs, jitter: 'decorrelated' }),
    pollMinMs,
    pollMaxMs,
    maxGrants: checkInteger('handOff.maxGrants', handOff.maxGrants, 1, GRANTS_PER_TOKEN - 1),
    requestTimeoutMs: checkNumber('requestTimeoutMs', requestTimeoutMs, 1),
  };
  checkLease(settings, settings.terms.leaseMs);
  return settings;
}

/** @throws TypeError | RangeError naming option, rule and value. */
export function checkLeaseTerms(settings: LeaseSettings, options: AcquireOptions | undefined): Terms {
  // Every lease is renewed, whether a task or somebody's own code is under it.
  const terms = checkTerms(settings, options, true);
  checkLease(settings, terms.leaseMs);
  return terms;
}

/** A lease that drift alone would use up is none, and no store counts to Infinity. @throws TypeError | RangeError */
function checkLease(settings: LeaseSettings, leaseMs: number): void {
  checkNumber('leaseMs', leaseMs, 1, MAX_LEASE_MS);
  const driftMs = settings.driftMs(leaseMs);
  if (leaseMs <= driftMs) refuseRange('leaseMs', `more than the drift of ${driftMs} ms`, leaseMs);
}

/** @throws TypeError naming what is missing. */
export function checkDriver(driver: LeaseDriver): void {
  for (const call of ['acquire', 'renew', 'release'] as const) checkFunction(`driver.${call}`, driver?.[call]);
  checkFunction('driver.modes.includes', driver.modes?.includes);
}
