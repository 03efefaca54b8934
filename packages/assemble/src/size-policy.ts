import { checkInteger, checkNumber, checkOneOf } from '@chunks/base';
import { SizeMismatchError } from './errors.ts';
import type { SizePolicy } from './types.ts';

const DEFAULT_BYTES = 2048;
const DEFAULT_FRACTION = 0.001;

/** @throws TypeError | RangeError */
export function checkPolicy(policy: SizePolicy): void {
  if (checkOneOf('size.policy', policy?.policy, ['exact', 'tolerance']) === 'exact') return;
  const { bytes, fraction } = policy as { bytes?: number | undefined; fraction?: number | undefined };
  if (bytes !== undefined) checkInteger('size.bytes', bytes, 0);
  if (fraction !== undefined) checkNumber('size.fraction', fraction, 0, 1);
}

/** How many bytes too many or too few are the most that is tolerated for a chunk of that size. */
export function slackOf(expected: number, policy: SizePolicy): number {
  if (policy.policy === 'exact' || expected === 0) return 0;
  const byFraction = Math.ceil((policy.fraction ?? DEFAULT_FRACTION) * expected) - 1;
  return Math.max(0, (policy.bytes ?? DEFAULT_BYTES) - 1, byFraction);
}

/**
 * Compares a chunk's size with what it should be. Under `tolerance` a difference passes when either holds, strictly:
 * it is below `bytes` (2048), or below `fraction` (0.001) of the expected size. An expected size of 0 is exact.
 *
 * @returns actual − expected
 * @throws SizeMismatchError beyond what the policy tolerates; TypeError | RangeError for bad input.
 * @example
 * checkSize(5_242_880, 5_242_900, { policy: 'tolerance' }).difference; // 20
 */
export function checkSize(expected: number, actual: number, policy: SizePolicy): { difference: number } {
  checkInteger('expected', expected, 0);
  checkInteger('actual', actual, 0);
  checkPolicy(policy);
  const difference = actual - expected;
  if (Math.abs(difference) > slackOf(expected, policy)) throw new SizeMismatchError({ expected, actual });
  return { difference };
}
