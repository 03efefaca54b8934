import { CodedError } from '@chunks/base';
import { expect, test } from 'vitest';

class TornError extends CodedError {
  readonly code = 'TORN';
  readonly retryable = true;
  readonly index: number;
  constructor(index: number, options?: { cause?: unknown }) {
    super(`chunk ${index} is torn`, options);
    this.index = index;
  }
}

test('is an error with the name of its class, a code, its data and its cause', () => {
  const cause = new Error('disk');
  const error = new TornError(3, { cause });
  expect(error).toBeInstanceOf(CodedError);
  expect(error).toBeInstanceOf(Error);
  expect(String(error)).toBe('TornError: chunk 3 is torn');
  expect(error).toMatchObject({ name: 'TornError', code: 'TORN', retryable: true, index: 3, cause });
  expect(error.stack).toContain('chunk 3 is torn');
});

test('only its data can be enumerated, and no cause shows where none was given', () => {
  const error = new TornError(3);
  expect(Object.keys(error).sort()).toEqual(['code', 'index', 'retryable']);
  expect('cause' in error).toBe(false);
});
