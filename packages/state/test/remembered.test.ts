import { expect, test } from 'vitest';
import { absent } from '../src/envelope.ts';
import { Remembered } from '../src/remembered.ts';

const remember = { commits: 64, keys: 256, maxBytes: 100 };
const make = () =>
  new Remembered('k', { ...absent(0), version: 4, applied: [{ key: 'old', version: 2, result: 1 }] }, remember);

test('finds what the record remembers and what was added, until that is dropped', () => {
  const remembered = make();
  expect([remembered.find(undefined), remembered.find('new'), remembered.own]).toEqual([undefined, undefined, []]);
  expect(remembered.find('old')).toEqual({ key: 'old', version: 2, result: 1 });
  const [one, two] = [remembered.entry('one', 1), remembered.entry('two', undefined)];
  remembered.add(one);
  remembered.add(two);
  remembered.add(undefined);
  expect(remembered.own).toEqual([
    { key: 'one', version: 5, result: 1 },
    { key: 'two', version: 5 },
  ]);
  remembered.drop(one);
  remembered.drop(undefined);
  expect([remembered.find('one'), remembered.find('two')]).toEqual([undefined, two]);
  remembered.clear();
  expect([remembered.find('two'), remembered.find('old')?.version]).toEqual([undefined, 2]);
});

test('an entry is a copy, of what survives and has room', () => {
  const remembered = make();
  const result = { list: [1] };
  const entry = remembered.entry('a', result);
  result.list.push(2);
  expect(entry?.result).toEqual({ list: [1] });
  expect(remembered.entry(undefined, new Date())).toBeUndefined();
  expect(() => remembered.entry('a', { at: new Date() })).toThrow('result.at does not survive');
  expect(() => remembered.entry('a', 'x'.repeat(100))).toThrow('the remembered result has 135 bytes, the limit is 100');
});
