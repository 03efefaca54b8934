import { memoryStore } from '@chunks/state';
import { expect, test } from 'vitest';
import { settingsOf } from '../src/settings.ts';

const initial = () => ({});

test('defaults are those that the options promise', () => {
  const settings = settingsOf({ store: memoryStore(), initial });
  expect(settings).toMatchObject({
    baseMs: 2,
    spreadMs: 0,
    maxBatch: 1_000,
    maxPending: 100_000,
    maxKeyBytes: Number.POSITIVE_INFINITY,
    random: Math.random,
    fold: {
      remember: { commits: 64, keys: 256, maxBytes: 16_384 },
      maxValueBytes: Number.POSITIVE_INFINITY,
      form: { shape: 0, schema: undefined },
    },
  });
  expect(settings.backoff.delayMs(100, () => 0.999_999)).toBeCloseTo(200);
});

test('a random that is none is refused at once', () => {
  expect(() => settingsOf({ store: memoryStore(), initial, random: 5 as never })).toThrow(
    'random must be a function, but is 5',
  );
});

test('what the store declares counts, and coalesce: false is one at a time', () => {
  const inner = memoryStore();
  const store = { ...inner, capabilities: { ...inner.capabilities, maxKeyBytes: 9, maxValueBytes: 99 } };
  expect(settingsOf({ store, initial, coalesce: false, shape: { version: 3, migrate: {} } })).toMatchObject({
    maxBatch: 1,
    maxPending: 100_000,
    maxKeyBytes: 9,
    fold: { maxValueBytes: 99, form: { shape: 3 } },
  });
});
