import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../.ci/testing/runs.ts';
import { MAX_OBJECT_VALUE_BYTES, ObjectNames, stamped, unstamped } from '../src/object-records.ts';
import { opaqueKeys } from '../src/testing/opaque-keys.ts';

const key = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: fc.constantFrom('.', '/', '~', 'u', '2', 'f', '%', 'é', '\ud800', 'json', '.json'), maxLength: 6 }),
  fc.constantFrom(...opaqueKeys(300)),
);

describe('ObjectNames', () => {
  test('a name is its own URL path, gives its key back, and begins as its key begins', () => {
    const names = new ObjectNames();
    fc.assert(
      fc.property(key, key, (a, b) => {
        const name = names.of(a);
        expect(names.keyOf(name)).toBe(a);
        expect(new URL(`https://s3.test/bucket/${name}`).pathname).toBe(`/bucket/${name}`);
        expect(name).toMatch(/^state\/[A-Za-z0-9._~-]*\.json$/);
        expect(name.startsWith(names.start(b))).toBe(`${a}.json`.startsWith(b));
        expect(name).not.toBe(names.probe);
      }),
      { numRuns: runs(500) },
    );
  });

  test.each(['', 'state/', 'p'.repeat(200)])('every key of maxKeyBytes fits behind prefix %j', (prefix) => {
    const names = new ObjectNames(prefix);
    const unit = fc.constantFrom('a', '/', '\0', 'é', 'Ā', '日', '\ud800', '😀');
    const bytes = (text: string): number => new TextEncoder().encode(text).length;
    fc.assert(
      fc.property(fc.array(unit, { minLength: 300, maxLength: 400 }), (units) => {
        while (bytes(units.join('')) > names.maxKeyBytes) units.pop();
        expect(names.of(units.join('')).length).toBeLessThanOrEqual(1_024);
      }),
      { numRuns: runs(50) },
    );
    // And no byte is given away.
    expect(names.of('/'.repeat(names.maxKeyBytes)).length).toBeGreaterThan(1_021);
  });

  test('what else lies there is no key', () => {
    const names = new ObjectNames('p/');
    expect(names.keyOf('p/a.json')).toBe('a');
    const others = [
      'p/',
      'p/a',
      'p/a b.json',
      'p/~2F.json',
      'p/~61.json',
      'p/~.json',
      'p/~zz.json',
      'q/a.json',
      '.json',
    ];
    for (const name of [...others, 'p/~u00e9.json', 'p/a/b.json', names.probe, 'p.json', 'json']) {
      expect(names.keyOf(name)).toBe(undefined);
    }
  });

  test('a prefix that URLs would change is refused', () => {
    expect(() => new ObjectNames('a//b')).toThrow('prefix must be of letters, digits and _-./');
    expect(() => new ObjectNames(7 as never)).toThrow('prefix must be a string, but is 7');
  });
});

describe('stamped', () => {
  test('is the same JSON for others, never the same text, and comes off to the letter', () => {
    const text = fc.oneof(
      fc.json(),
      fc.json().map((json) => `\n${json}\r\n \t\n`),
      fc.json().map(stamped),
    );
    fc.assert(
      fc.property(text, (value) => {
        const content = stamped(value);
        expect(unstamped(content)).toBe(value);
        expect(JSON.parse(content)).toEqual(JSON.parse(value));
        expect(content.length).toBe(value.length + 97);
        expect(stamped(value)).not.toBe(content);
      }),
      { numRuns: runs(200) },
    );
  });

  test('what has no stamp is a value as it is', () => {
    for (const value of ['{}', '{}\n', ` {}\n${' '.repeat(95)}`, `{}\n${' '.repeat(97)}`]) {
      expect(unstamped(value)).toBe(value);
    }
  });

  test('the largest value fits into one upload, stamp and all', () => {
    expect(MAX_OBJECT_VALUE_BYTES + stamped('').length).toBe(5 * 1_024 ** 3 - 5 * 1_024 ** 2);
  });
});
