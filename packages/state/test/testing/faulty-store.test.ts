import { settle, VirtualClock } from '@chunks/base/testing';
import { memoryStore } from '@chunks/state';
import { faultyStore, STORE_FAULTS, type StoreFault } from '@chunks/state/testing';
import { describe, expect, test } from 'vitest';

const signal = new AbortController().signal;

function make(fault: StoreFault, clock = new VirtualClock()) {
  const inner = memoryStore();
  let isOn = true;
  const store = faultyStore(inner, { next: () => (isOn ? fault : 'none'), clock, lateMs: () => 50 });
  const stands = async () => (await inner.read('key', { signal }))?.value;
  return { inner, store, clock, stands, off: () => void (isOn = false) };
}

const ended = async (promise: Promise<unknown>): Promise<unknown> => {
  let how: unknown = 'hangs';
  promise.then(
    (value) => (how = value),
    (error) => (how = error.definite ? 'refused' : 'cut'),
  );
  await settle();
  return how;
};

describe('faultyStore', () => {
  test.each([
    ['none', { revision: '1' }, '1'],
    ['refuse', 'refused', undefined],
    ['lose-request', 'cut', undefined],
    ['lose-reply', 'cut', '1'],
    ['hang-after', 'hangs', '1'],
    ['hang-before', 'hangs', undefined],
    ['resend', { conflict: true, current: { value: '1', revision: '1' } }, '1'],
    ['resend-blind', { conflict: true }, '1'],
  ] as const)('a write with %s', async (fault, how, stands) => {
    const { store, stands: value } = make(fault);
    expect(await ended(store.write('key', '1', undefined, { signal }))).toEqual(how);
    expect(await value()).toBe(stands);
    expect(store.counts).toEqual({ reads: 0, writes: 1 });
  });

  test.each([
    ['none', { value: '1', revision: '1' }],
    ['refuse', 'cut'],
    ['lose-request', 'cut'],
    ['lose-reply', 'cut'],
    ['land-late', 'cut'],
    ['hang-after', 'hangs'],
    ['hang-before', 'hangs'],
    ['resend', { value: '1', revision: '1' }],
  ] as const)('a read with %s', async (fault, how) => {
    const { store, inner } = make(fault);
    await inner.write('key', '1', undefined, { signal });
    expect(await ended(store.read('key', { signal }))).toEqual(how);
    expect(store.counts).toEqual({ reads: 1, writes: 0 });
  });

  test('what lands late is written then, if it still fits', async () => {
    const { store, clock, stands, inner } = make('land-late');
    expect(await ended(store.write('key', '1', undefined, { signal }))).toBe('cut');
    expect(await stands()).toBeUndefined();
    await clock.advance(50);
    expect(await stands()).toBe('1');
    const { revision } = (await inner.read('key', { signal })) ?? { revision: '' };
    expect(await ended(store.write('key', '2', revision, { signal }))).toBe('cut');
    await inner.write('key', '3', revision, { signal });
    await clock.advance(50);
    expect(await stands()).toBe('3');
  });

  test('a delayed answer comes late', async () => {
    const { store, clock, stands } = make('delay');
    const write = store.write('key', '1', undefined, { signal });
    expect(await ended(write)).toBe('hangs');
    expect(await stands()).toBe('1');
    await clock.advance(50);
    expect(await ended(write)).toEqual({ revision: '1' });
    const read = store.read('key', { signal });
    expect(await ended(read)).toBe('hangs');
    await clock.advance(50);
    expect(await ended(read)).toEqual({ value: '1', revision: '1' });
  });

  test('a stale read answers what stood there before', async () => {
    const { store } = make('stale');
    const first = await store.write('key', '1', undefined, { signal });
    expect(await store.read('key', { signal })).toBeUndefined();
    await store.write('key', '2', (first as { revision: string }).revision, { signal });
    expect(await store.read('key', { signal })).toEqual({ value: '1', revision: '1' });
    expect(STORE_FAULTS).not.toContain('stale');
  });

  test('a key takes one write in so many ms', async () => {
    const clock = new VirtualClock();
    const store = faultyStore(memoryStore(), { next: () => 'none', clock, writeEveryMs: 1_000 });
    const write = (key: string, expected?: string) => ended(store.write(key, '1', expected, { signal }));
    expect(await write('a')).toEqual({ revision: '1' });
    expect(await write('b')).toEqual({ revision: '2' });
    await clock.advance(999);
    expect(await write('a', '1')).toBe('refused');
    await clock.advance(1);
    expect(await write('a', '1')).toEqual({ revision: '3' });
  });
});
