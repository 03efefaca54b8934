import { expect, test } from 'vitest';
import { evaluatePreconditions, ifRangeHolds } from '../../src/http/preconditions.ts';

// What the RFC decides, in every mixture, stands in assemble/test/http.test.ts; here is what depends on "now" and on
// the parts of a second.

const AT = Date.UTC(2026, 0, 2, 3, 4, 5);
const DATE = 'Fri, 02 Jan 2026 03:04:05 GMT';
const current = { etag: undefined, lastModifiedMs: AT + 999 };

test('a date that was cut to the second when it was sent is the same when it comes back', () => {
  const since = (field: string): string => evaluatePreconditions(new Headers({ [field]: DATE }), current, AT);
  expect(since('if-modified-since')).toBe('not-modified');
  expect(since('if-unmodified-since')).toBe('proceed');
  expect(ifRangeHolds(new Headers({ 'if-range': DATE }), current, AT)).toBe(true);
});

test('the century of a two-digit year comes from now', () => {
  const headers = new Headers({ 'if-modified-since': 'Friday, 02-Jan-26 03:04:05 GMT' });
  expect(evaluatePreconditions(headers, current, AT)).toBe('not-modified');
  // In 1970 the year 26 is more than fifty years behind 1976's end of patience, so it is 1926.
  expect(evaluatePreconditions(headers, current, Date.UTC(1975, 0, 1))).toBe('proceed');
});

test('without a date or tag of its own, nothing can match', () => {
  const nothing = { etag: undefined, lastModifiedMs: undefined };
  expect(ifRangeHolds(new Headers({ 'if-range': DATE }), nothing, AT)).toBe(false);
  expect(ifRangeHolds(new Headers({ 'if-range': '"a"' }), nothing, AT)).toBe(false);
  expect(ifRangeHolds(new Headers(), nothing, AT)).toBe(true);
  expect(evaluatePreconditions(new Headers({ 'if-match': '"a"' }), nothing, AT)).toBe('precondition-failed');
  expect(evaluatePreconditions(new Headers({ 'if-none-match': '"a"' }), nothing, AT)).toBe('proceed');
});
