import { expect, test } from 'vitest';
import { opaqueKeys } from '../../src/testing/opaque-keys.ts';

const bytes = (key: string): number => new TextEncoder().encode(key).length;

test.each([undefined, 50_000, 700, 24])('keys to confuse a store of at most %s bytes a key', (maxKeyBytes) => {
  const keys = opaqueKeys(maxKeyBytes);
  expect(new Set(keys).size).toBe(keys.length);
  const longest = Math.max(...keys.map(bytes));
  // As long as can be, and no longer.
  expect(longest).toBe(maxKeyBytes ?? 50_000);
  expect(keys.filter((key) => bytes(key) === longest).length).toBeGreaterThan(2);
});
