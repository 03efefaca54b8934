import { describe, expect, test } from 'vitest';
import { equal, isTrue, rejection } from '../../src/testing/contract-case.ts';

describe('assertions of the contracts', () => {
  test('equal compares plain values, and says what differs', () => {
    equal({ a: [1, undefined] }, { a: [1, undefined] }, 'it');
    equal(undefined, undefined, 'it');
    for (const [actual, expected] of [
      [1, 2],
      [undefined, 0],
      [{ a: 1 }, { a: 1, b: 2 }],
      [() => 1, undefined],
    ]) {
      expect(() => equal(actual, expected, 'it')).toThrow('it: expected');
    }
  });

  test('isTrue says what was not so', () => {
    isTrue(true, 'fine');
    expect(() => isTrue(false, 'it must be so')).toThrow('it must be so');
  });

  test('rejection gives what a promise rejects with, and refuses one that resolves', async () => {
    const error = new Error('no');
    expect(await rejection(Promise.reject(error), 'it')).toBe(error);
    await expect(rejection(Promise.resolve(1), 'it')).rejects.toThrow('it: expected a rejection, got 1');
  });
});
