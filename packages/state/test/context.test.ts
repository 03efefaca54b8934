import { describe, expect, test } from 'vitest';
import { contextOf, Heard, looksLikeState } from '../src/context.ts';
import type { Member } from '../src/member.ts';

describe('looksLikeState', () => {
  const draft = { n: 1, items: ['a'] };
  test.each<[string, unknown, object, boolean]>([
    ['all fields, one of them new', { ...draft, n: 2 }, draft, true],
    ['all fields and more', { ...draft, more: 1 }, draft, true],
    ['an equal copy', { ...draft }, draft, false],
    ['the draft', draft, draft, false],
    ['a field missing', { n: 2 }, draft, false],
    ['a list for an object', Object.assign([], draft), draft, false],
    ['a longer list', [1, 2], [1], true],
    ['a shorter list', [1], [1, 2], false],
    ['anything for an empty object, which has no fields to go by', { ok: false }, {}, false],
    ['something in a list for an empty one', [1], [], true],
    ['null', null, draft, false],
    ['undefined', undefined, draft, false],
    ['what cannot be stored', { ...draft, n: 1n }, draft, true],
  ])('%s', (_, result, against, expected) => {
    expect(looksLikeState(result, against)).toBe(expected);
  });
});

test('what is said through the context is heard, also when taken apart', () => {
  const heard = new Heard();
  let asked = 0;
  const member = {
    attempts: 2,
    get signal() {
      asked++;
      return new AbortController().signal;
    },
  } as unknown as Member;
  const context = contextOf(member, 7, heard);
  const { attempt, version, replace, skip } = context;
  expect([attempt, version, asked]).toEqual([2, 7, 0]);
  expect(context.signal.aborted).toBe(false);
  expect(skip('result')).toBe('result');
  replace({ n: 1 });
  expect(heard).toEqual({ skipped: true, replaced: true, next: { n: 1 } });
});
