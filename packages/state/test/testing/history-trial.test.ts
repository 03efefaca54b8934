import { seededRandom } from '@chunks/base/testing';
import { memoryStore, type VersionedStore } from '@chunks/state';
import { expect, test } from 'vitest';
import { HistoryTrial } from '../../src/testing/history-trial.ts';

const { signal } = new AbortController();

test('each client takes its share, one operation after the other, all clients at once', async () => {
  const trial = new HistoryTrial({ open: memoryStore }, { clients: 3, operations: 12 });
  const steps: string[] = [];
  let atOnce = 0;
  let most = 0;
  await trial.run(async (client) => async (step) => {
    most = Math.max(most, ++atOnce);
    await Promise.resolve();
    steps.push(`${client}.${step}`);
    atOnce--;
  });
  expect([steps.length, new Set(steps).size, most]).toEqual([12, 12, 3]);
  expect(steps.filter((name) => name.startsWith('1.'))).toEqual(['1.0', '1.1', '1.2', '1.3']);
});

test('what was opened is closed, then the bench, and nothing goes wrong unless asked', async () => {
  const ends: string[] = [];
  const open = (): VersionedStore => ({ ...memoryStore(), close: async () => void ends.push('store') });
  const bench = { open, close: () => void ends.push('bench') };
  const trial = new HistoryTrial(bench, {});
  const store = await trial.open();
  for (let i = 0; i < 100; i++) expect(await store.read('key', { signal })).toBeUndefined();
  const state = await trial.state(() => ({}));
  await trial.end();
  await expect(state.get('key')).rejects.toMatchObject({ code: 'STATE_CLOSED' });
  expect(new Set(ends.slice(0, -1))).toEqual(new Set(['store']));
  expect(ends.at(-1)).toBe('bench');
});

test('one call in five goes wrong, as asked', async () => {
  const trial = new HistoryTrial({ open: memoryStore }, { faults: ['refuse'], random: seededRandom(1) });
  const store = await trial.open();
  let refused = 0;
  for (let i = 0; i < 1_000; i++) await store.read('key', { signal }).catch(() => refused++);
  expect(refused).toBeGreaterThan(150);
  expect(refused).toBeLessThan(250);
});

test('whether a write may be sent again follows from the faults, or is said', () => {
  const mayResend = (o: ConstructorParameters<typeof HistoryTrial>[1]): boolean =>
    new HistoryTrial({ open: memoryStore }, o).mayResend;
  expect([mayResend({}), mayResend({ faults: ['delay'] }), mayResend({ faults: ['delay', 'resend-blind'] })]).toEqual([
    false,
    false,
    true,
  ]);
  expect([mayResend({ mayResend: true }), mayResend({ faults: ['resend'], mayResend: false })]).toEqual([true, false]);
  expect(() => mayResend({ clients: 0 })).toThrow('clients must be an integer ≥ 1');
});
