import { VirtualClock } from '@chunks/base';
import { seededRandom } from '@chunks/base/testing';
import { createState, isStateError } from '@chunks/state';
import { EventLog } from '@chunks/state/event-log';
import { appendStoreContract, staleKv } from '@chunks/state/testing';
import { type KvNamespace, workersKvLog } from '@chunks/state/workers-kv';
import { describe, expect, test } from 'vitest';
import { drive, faultless, faultsOf, tallyLog } from '../support/event-logs.ts';

const LAG_MS = 60_000;

function bench(pageSize?: number) {
  const clock = new VirtualClock();
  const kv = staleKv({ clock, random: seededRandom(1), pageSize, colos: 1 });
  return { clock, kv, pageSize, store: workersKvLog(kv.colos[0] as KvNamespace), settle: () => clock.advance(LAG_MS) };
}

const withPut = (colo: KvNamespace, put: KvNamespace['put']): KvNamespace => ({
  get: (key, type) => colo.get(key, type),
  put,
  delete: (key) => colo.delete(key),
  list: (o) => colo.list(o),
});

describe('workersKvLog on a late namespace', () => {
  for (const { name, run } of appendStoreContract(() => bench())) test(name, run);
  for (const { name, run } of appendStoreContract(() => bench(90))) test(`${name}, in small pages`, run);

  test('a write that comes too soon says that nothing was written; other failures do not', async () => {
    const { store, kv } = bench();
    await store.put('k', 'one');
    await expect(store.put('k', 'two')).rejects.toMatchObject({ definite: true });
    expect(kv.truth().get('k')).toBe('one');
    const broken = withPut(kv.colos[0] as KvNamespace, async () => {
      throw new Error('KV PUT failed: 500 Internal Server Error');
    });
    await expect(workersKvLog(broken).put('k', 'two')).rejects.not.toHaveProperty('definite');
  });

  test('a log waits out the limit of one write a second, should it meet it', async () => {
    const { clock, kv } = bench();
    const colo = kv.colos[0] as KvNamespace;
    let puts = 0;
    // The reply to each first write is lost: the log writes the same again at once.
    const losing = withPut(colo, async (key, value) => {
      await colo.put(key, value);
      if (++puts % 2 === 1) throw new Error('Network connection lost.');
    });
    const store = workersKvLog(losing);
    const log = tallyLog(store, clock);
    for (let i = 0; i < 5; i++) await drive(clock, log.append('log', { name: `${i}` }));
    expect(kv.counts.refused).toBeGreaterThan(5);
    await clock.advance(LAG_MS);
    const { state } = await drive(clock, log.read('log'));
    expect(faultsOf(state, ['0', '1', '2', '3', '4'])).toEqual(faultless);
  });
});

describe('limits', () => {
  test('25 MiB of a value and 512 bytes of a key, in UTF-8; beyond, nothing is written', async () => {
    const { store, kv } = bench();
    const limit = 25 * 1024 * 1024;
    await store.put('k'.repeat(512), 'v');
    await store.put('full', 'v'.repeat(limit));
    expect(kv.truth().size).toBe(2);
    const tooLarge = { code: 'VALUE_TOO_LARGE', retryable: false };
    await expect(store.put('k', `${'v'.repeat(limit - 1)}é`)).rejects.toMatchObject({
      ...tooLarge,
      what: 'the record',
      bytes: limit + 1,
      limit,
    });
    const long = `${'k'.repeat(511)}é`;
    for (const call of [store.put(long, 'v'), store.get(long), store.list(long)]) {
      await expect(call).rejects.toMatchObject({ ...tooLarge, what: 'the key', bytes: 513, limit: 512 });
    }
    expect(kv.counts.put).toBe(2);
  });

  test('a log with too long a key says so, and tries once', async () => {
    const { clock, store, kv } = bench();
    const log = tallyLog(store, clock);
    await expect(log.append('k'.repeat(600), { name: 'a' })).rejects.toMatchObject({ code: 'VALUE_TOO_LARGE' });
    await expect(log.read('k'.repeat(600))).rejects.toMatchObject({ code: 'VALUE_TOO_LARGE' });
    expect(kv.counts).toMatchObject({ put: 0, list: 0 });
    await log.append('k'.repeat(470), { name: 'a' });
  });
});

describe('as a store with a compare-and-set', () => {
  test('it is refused at construction, with what to use instead', () => {
    const { store } = bench();
    let error: unknown;
    try {
      createState({ store: store as never, initial: () => ({}) });
    } catch (caught) {
      error = caught;
    }
    expect(isStateError(error) && error.code).toBe('UNSUPPORTED');
    expect(error).toMatchObject({ capability: 'compare-and-set', store: 'workers-kv', retryable: false });
    expect((error as Error).message).toContain("use new EventLog({ store }) from '@chunks/state/event-log'");
  });

  test('and is still an object that can be shown, copied and given to a log', () => {
    const { store } = bench();
    expect(Object.keys(store)).toEqual(['name', 'put', 'get', 'list', 'delete']);
    expect(() => new EventLog({ store, initial: () => ({}), reduce: () => undefined })).not.toThrow();
  });

  test('what is no namespace is refused', () => {
    expect(() => workersKvLog(undefined as never)).toThrow(
      'namespace must be a binding to Workers KV, but is undefined',
    );
    expect(() => workersKvLog({ get: () => 1 } as never)).toThrow(TypeError);
  });
});
