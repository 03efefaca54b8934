import { checkFunction, checkInteger, checkNumber, checkOneOf, checkText, refuseRange, refuseType } from '@chunks/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const refusal = (check: () => unknown): { kind: string; message: string } | 'passed' => {
  try {
    check();
    return 'passed';
  } catch (error) {
    return { kind: (error as Error).name, message: (error as Error).message };
  }
};

describe('the message names option, rule and value', () => {
  test.each([
    [() => checkText('key', ''), 'RangeError', 'key must be a non-empty string, but is ""'],
    [() => checkText('key', 7), 'TypeError', 'key must be a string, but is 7'],
    [() => checkInteger('size', '7', 0), 'TypeError', 'size must be a number, but is "7"'],
    [() => checkInteger('size', Number.NaN, 0), 'RangeError', 'size must be an integer ≥ 0, but is NaN'],
    [() => checkInteger('size', 9, 1, 8), 'RangeError', 'size must be an integer from 1 to 8, but is 9'],
    [() => checkNumber('waitMs', -1, 0), 'RangeError', 'waitMs must be a number ≥ 0, but is -1'],
    [() => checkNumber('waitMs', Number.NaN, 0, 5), 'RangeError', 'waitMs must be a number from 0 to 5, but is NaN'],
    [() => checkNumber('waitMs', 7n, 0), 'TypeError', 'waitMs must be a number, but is 7'],
    [() => checkOneOf('mode', 'x', ['a', 'b']), 'RangeError', 'mode must be one of "a", "b", but is "x"'],
    [() => checkFunction('task', {}), 'TypeError', 'task must be a function, but is an object of Object'],
    [() => checkText('key', Object.create(null)), 'TypeError', 'key must be a string, but is an object of no class'],
    [() => checkText('key', Symbol('s')), 'TypeError', 'key must be a string, but is Symbol(s)'],
    [() => checkText('key', () => 'a long body'), 'TypeError', 'key must be a string, but is a function'],
    [() => refuseType('a', 'b', null), 'TypeError', 'a must be b, but is null'],
    [() => refuseRange('a', 'b', [1]), 'RangeError', 'a must be b, but is an object of Array'],
  ])('%o', (check, kind, message) => {
    expect(refusal(check)).toEqual({ kind, message });
  });

  test('a long text is cut', () => {
    const { message } = refusal(() => refuseType('a', 'short', 'x'.repeat(1000))) as { message: string };
    expect(message).toBe(`a must be short, but is "${'x'.repeat(60)}…"`);
  });
});

test('numbers pass exactly between the bounds, and come back', () => {
  const bound = fc.integer({ min: -20, max: 20 });
  const any = fc.oneof(fc.integer({ min: -30, max: 30 }), fc.double({ min: -30, max: 30 }), fc.double());
  fc.assert(
    fc.property(any, bound, bound, (value, a, b) => {
      const [min, max] = [Math.min(a, b), Math.max(a, b)];
      const inside = value >= min && value <= max;
      expect(refusal(() => expect(checkNumber('n', value, min, max)).toBe(value)) === 'passed').toBe(inside);
      const isInteger = Number.isInteger(value);
      expect(refusal(() => expect(checkInteger('n', value, min, max)).toBe(value)) === 'passed').toBe(
        inside && isInteger,
      );
    }),
  );
});

test('what is allowed is handed back', () => {
  expect(checkText('key', 'a')).toBe('a');
  expect(checkOneOf('mode', 'b', ['a', 'b'])).toBe('b');
  expect(checkNumber('waitMs', Number.POSITIVE_INFINITY, 0)).toBe(Number.POSITIVE_INFINITY);
  expect(refusal(() => checkInteger('n', 2 ** 53, 0))).toMatchObject({ kind: 'RangeError' });
  checkFunction('task', () => undefined);
});
