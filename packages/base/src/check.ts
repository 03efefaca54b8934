// Bad input is refused before anything happens, by an error that names the option, the rule and the value.

const show = (value: unknown): string => {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === 'object' && value !== null) return `an object of ${value.constructor?.name ?? 'no class'}`;
  if (typeof value === 'function') return 'a function';
  return String(value);
};

/** @throws TypeError naming option, rule and value. */
export function refuseType(option: string, rule: string, value: unknown): never {
  throw new TypeError(`${option} must be ${rule}, but is ${show(value)}`);
}

/** @throws RangeError naming option, rule and value. */
export function refuseRange(option: string, rule: string, value: unknown): never {
  throw new RangeError(`${option} must be ${rule}, but is ${show(value)}`);
}

/** A string of at least one character. @throws TypeError | RangeError */
export function checkText(option: string, value: unknown): string {
  if (typeof value !== 'string') refuseType(option, 'a string', value);
  if (value === '') refuseRange(option, 'a non-empty string', value);
  return value;
}

/** A safe integer of at least `min` and at most `max`. @throws TypeError | RangeError */
export function checkInteger(
  option: string,
  value: unknown,
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): number {
  return checkBetween(option, 'an integer', value, min, max, Number.MAX_SAFE_INTEGER);
}

/** A number of at least `min`, Infinity included, NaN not. @throws TypeError | RangeError */
export function checkNumber(
  option: string,
  value: unknown,
  min: number,
  max: number = Number.POSITIVE_INFINITY,
): number {
  return checkBetween(option, 'a number', value, min, max, Number.POSITIVE_INFINITY);
}

/** @param top the `max` that is none, and need not be told */
function checkBetween(
  option: string,
  kind: 'a number' | 'an integer',
  value: unknown,
  min: number,
  max: number,
  top: number,
): number {
  if (typeof value !== 'number') refuseType(option, 'a number', value);
  // Written so that NaN fails it too.
  const fits = value >= min && value <= max && (kind === 'a number' || Number.isInteger(value));
  if (!fits) refuseRange(option, max === top ? `${kind} ≥ ${min}` : `${kind} from ${min} to ${max}`, value);
  return value;
}

/** One of the listed values. @throws RangeError */
export function checkOneOf<const T>(option: string, value: unknown, allowed: readonly T[]): T {
  if (!allowed.includes(value as T)) refuseRange(option, `one of ${allowed.map(show).join(', ')}`, value);
  return value as T;
}

/** A function. @throws TypeError */
export function checkFunction(option: string, value: unknown): void {
  if (typeof value !== 'function') refuseType(option, 'a function', value);
}
