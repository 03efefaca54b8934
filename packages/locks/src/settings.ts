import {
  type Clock,
  checkFunction,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkText,
  refuseType,
  systemClock,
} from '@chunks/base';
import type { DeadlockClaim, DeadlockDetector } from './deadlock-detector.ts';
import type { AcquireOptions, KeyedMutexOptions, LockMode } from './types.ts';

// `run` is there to see its task through: its lock lasts ten leases, where a bare lock's may be forgotten after one.
const TASK_LEASES = 10;
const DEFAULTS: Pick<Terms, 'timeoutMs' | 'leaseMs'> = { timeoutMs: Number.POSITIVE_INFINITY, leaseMs: 30_000 };

/** A locker's options, checked, with their defaults. */
export interface Settings {
  readonly clock: Clock;
  readonly random: () => number;
  readonly maxWaiting: number;
  readonly reclaims: boolean;
  readonly deadlocks: DeadlockDetector | undefined;
  /** What an acquisition that names nothing gets: one object for all of them. */
  readonly terms: Terms;
  /** The same, for `run`. */
  readonly taskTerms: Terms;
}

/** One acquisition's options, checked, with the locker's defaults. */
export interface Terms {
  readonly mode: LockMode;
  readonly owner: string;
  readonly timeoutMs: number;
  readonly leaseMs: number;
  /** From the grant to the end of the lease. */
  readonly holdMs: number;
  readonly signal: AbortSignal | undefined;
  /** There only where there is a detector and it knows who asks. */
  readonly claim?: DeadlockClaim;
}

/** @throws TypeError | RangeError naming option, rule and value. */
export function checkSettings(options: KeyedMutexOptions): Settings {
  const { timeoutMs, leaseMs, onExpired = 'reclaim', random = Math.random, deadlocks } = options;
  checkFunction('random', random);
  if (deadlocks !== undefined) checkFunction('deadlocks.claim', deadlocks?.claim);
  const terms = readTerms({ timeoutMs, leaseMs }, DEFAULTS, 1);
  return {
    clock: options.clock ?? systemClock,
    random,
    maxWaiting: checkInteger('maxWaiting', options.maxWaiting ?? 1_000_000, 0),
    reclaims: checkOneOf('onExpired', onExpired, ['reclaim', 'report']) === 'reclaim',
    deadlocks,
    terms,
    taskTerms: readTerms({}, terms, TASK_LEASES),
  };
}

/**
 * In one process no message can be late, so renewal needs none: a lock that is renewed up to `maxHoldMs` simply
 * lasts that long.
 * @param isTask whether it is renewed for `run`, where `maxHoldMs` is not given
 * @throws TypeError | RangeError naming option, rule and value.
 */
export function checkTerms(settings: Settings, options: AcquireOptions | undefined, isTask: boolean): Terms {
  const terms = isTask ? settings.taskTerms : settings.terms;
  return options === undefined ? terms : readTerms(options, terms, isTask ? TASK_LEASES : 1);
}

function readTerms(options: AcquireOptions, defaults: typeof DEFAULTS, leases: number): Terms {
  const {
    signal,
    timeoutMs = defaults.timeoutMs,
    leaseMs = defaults.leaseMs,
    mode = 'exclusive',
    owner = '',
  } = options;
  if (typeof owner !== 'string') refuseType('owner', 'a string', owner);
  // By shape: a signal may come from another realm.
  if (signal !== undefined && typeof Object(signal).aborted !== 'boolean')
    refuseType('signal', 'an AbortSignal', signal);
  return {
    mode: checkOneOf('mode', mode, ['exclusive', 'shared']),
    owner,
    timeoutMs: checkNumber('timeoutMs', timeoutMs, 0),
    leaseMs: checkNumber('leaseMs', leaseMs, 1),
    holdMs: checkNumber('maxHoldMs', options.maxHoldMs ?? leases * leaseMs, 1),
    signal,
  };
}

/** Sorted by UTF-16 code units, each once: whoever takes several takes them in this order, so nobody waits in a circle. */
export function checkKeys(keys: Iterable<string>): string[] {
  // A string is iterable too, and its letters are never what was meant.
  if (typeof keys === 'string') refuseType('keys', 'an iterable of strings', keys);
  return [...new Set(keys)].map((key) => checkText('keys', key)).sort();
}
