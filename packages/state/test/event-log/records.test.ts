import { CorruptRecordError, InvalidStateError, LossyStateError } from '@chunks/state';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeEvent,
  decodeSnapshot,
  encodeEvent,
  encodeSnapshot,
  type Snapshot,
} from '../../src/event-log/records.ts';

const NAME = '0lq000000000-a';

const snapshot = (o: Partial<Snapshot> = {}): Snapshot => ({
  name: NAME,
  atMs: 5,
  count: 3,
  forgot: '',
  folded: new Map([
    ['0lp000000000-a', { id: undefined, goneMs: 0 }],
    ['0lp000000000-b', { id: 'own', goneMs: 4 }],
  ]),
  supersedes: new Map([['0lo000000000-a', 0]]),
  state: { n: 1 },
  ...o,
});

describe('events', () => {
  test('come back as they went in', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.option(fc.string(), { nil: undefined }), (any, id) => {
        // −0 is refused, and is no JSON anyway.
        const event: unknown = JSON.parse(JSON.stringify(any));
        const text = encodeEvent('k', id, event);
        expect(decodeEvent('k', 's', NAME, text)).toEqual({ position: NAME, id: id ?? NAME, event });
      }),
    );
  });

  test('that JSON would lose are refused with the path', () => {
    const encode = (): string => encodeEvent('k', 'id', { at: [new Date(0)] });
    expect(encode).toThrow(LossyStateError);
    expect(encode).toThrow(expect.objectContaining({ code: 'LOSSY_STATE', path: 'event.at[0]', key: 'k' }));
    expect(() => encodeEvent('k', undefined, undefined)).toThrow(LossyStateError);
  });
});

describe('snapshots', () => {
  test('come back as they went in', () => {
    expect(decodeSnapshot('k', 's', NAME, encodeSnapshot('k', snapshot()))).toEqual(snapshot());
  });

  test('of a state that JSON would lose are refused with the path', () => {
    const encode = (): string => encodeSnapshot('k', snapshot({ state: { n: Number.NaN } }));
    expect(encode).toThrow(expect.objectContaining({ code: 'LOSSY_STATE', path: 'state.n' }));
  });
});

describe('what was not written by this package, or is damaged', () => {
  const event = encodeEvent('k', 'id', { a: 1 });
  const whole = encodeSnapshot('k', snapshot());

  test('truncated anywhere', () => {
    for (const text of [event, whole]) {
      for (let end = 0; end < text.length; end++) {
        const cut = text.slice(0, end);
        expect(() => decodeEvent('k', 's', NAME, cut)).toThrow(CorruptRecordError);
        expect(() => decodeSnapshot('k', 's', NAME, cut)).toThrow(CorruptRecordError);
      }
    }
  });

  test.each([
    'null',
    '7',
    '"x"',
    '[]',
    '{}',
    '{"format":0,"event":1}',
    '{"format":1}',
    '{"format":1,"id":7,"event":1}',
  ])('no event: %s', (text) => {
    expect(() => decodeEvent('k', 's/e/x', NAME, text)).toThrow(CorruptRecordError);
  });

  test.each([
    { atMs: -1 },
    { count: 1.5 },
    { forgot: 7 },
    { folded: {} },
    { folded: [['x']] },
    { folded: [['x', 0, 7]] },
    { folded: ['x0'] },
    { supersedes: [[7, 0]] },
    { supersedes: null },
    { state: 7 },
    { state: null },
  ])('no snapshot: %j', (wrong) => {
    const text = JSON.stringify({ ...JSON.parse(whole), ...wrong });
    expect(() => decodeSnapshot('k', 's', NAME, text)).toThrow(CorruptRecordError);
  });

  test('the error names the log, and its cause the store’s key', () => {
    expect(() => decodeEvent('k', 'k/e/x', NAME, '{')).toThrow(
      expect.objectContaining({ key: 'k', cause: expect.objectContaining({ message: 'under k/e/x' }) }),
    );
  });

  test('one of a newer format is told apart', () => {
    expect(() => decodeEvent('k', 's', NAME, '{"format":2}')).toThrow(InvalidStateError);
    expect(() => decodeSnapshot('k', 's', NAME, '{"format":2}')).toThrow(InvalidStateError);
  });
});
