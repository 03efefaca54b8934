import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  escapeText,
  eventsOf,
  isPosition,
  markAt,
  Positions,
  parseMark,
  snapshotsOf,
  timeOf,
} from '../../src/event-log/names.ts';
import { opaqueKeys } from '../../src/testing/opaque-keys.ts';

const anyText = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...opaqueKeys(600)));

describe('keys', () => {
  test('two of them never become one, and none holds a separator', () => {
    fc.assert(
      fc.property(anyText, anyText, (a, b) => {
        expect(escapeText(a) === escapeText(b)).toBe(a === b);
        expect(escapeText(a)).toMatch(/^[\w%-]*$/);
      }),
    );
    const keys = opaqueKeys(undefined);
    expect(new Set(keys.map(escapeText)).size).toBe(keys.length);
  });

  test('no log’s prefix begins another’s', () => {
    fc.assert(
      fc.property(anyText, anyText, (a, b) => {
        if (a === b) return;
        for (const mine of [eventsOf(a), snapshotsOf(a)]) {
          for (const other of [eventsOf(b), snapshotsOf(b)]) expect(other.startsWith(mine)).toBe(false);
        }
      }),
    );
    expect(eventsOf('a').startsWith(snapshotsOf('a')) || snapshotsOf('a').startsWith(eventsOf('a'))).toBe(false);
  });
});

describe('positions', () => {
  test('rise, whatever the clock does, and tell their time', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 4_000_000_000_000 }), { minLength: 2, maxLength: 50 }), (times) => {
        const positions = new Positions(() => 'w');
        let last = '';
        let latestMs = 0;
        for (const ms of times) {
          const position = positions.next(ms);
          latestMs = Math.max(latestMs, ms);
          expect(position > last).toBe(true);
          expect(isPosition(position)).toBe(true);
          expect(timeOf(position)).toBe(latestMs);
          last = position;
        }
      }),
    );
  });

  test('more than fit into one millisecond borrow from the next', () => {
    const positions = new Positions(() => 'w');
    const given = Array.from({ length: 36 ** 3 + 1 }, () => positions.next(5));
    expect(
      given
        .slice(0, -1)
        .map(timeOf)
        .every((ms) => ms === 5),
    ).toBe(true);
    expect(timeOf(given.at(-1) as string)).toBe(6);
    expect((given.at(-1) as string) > (given.at(-2) as string)).toBe(true);
  });

  test('of two writers at one time are two', () => {
    expect(new Positions(() => 'a').next(7)).not.toBe(new Positions(() => 'b').next(7));
  });

  test.each(['', 'x', '0lq000000000', '0lq000000000-', '0LQ000000000-a', '0lq000000000-a/b', '0lq000000000-a\n'])(
    'what is none: %j',
    (text) => {
      expect(isPosition(text)).toBe(false);
    },
  );
});

describe('marks', () => {
  test('say which snapshot was seen, and when', () => {
    const name = new Positions(() => 'a%0020-b').next(1_700_000_000_000);
    expect(parseMark(name)).toEqual({ name, seenMs: undefined });
    expect(parseMark(markAt(name, 1_700_000_000_123.9))).toEqual({ name, seenMs: 1_700_000_000_123 });
  });

  test.each(['', 'x', '0lq000000000-a.', '0lq000000000-a.b', '0lq000000000-a.000000000.000000000'])(
    'what is none: %j',
    (text) => {
      expect(parseMark(text)).toBeUndefined();
    },
  );
});
