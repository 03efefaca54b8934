import { env } from 'cloudflare:workers';
import { seededRandom } from '@chunks/base/testing';
import { createState, type VersionedStore } from '@chunks/state';
import { type R2StoreBucket, r2Store } from '@chunks/state/r2';
import { s3Store } from '@chunks/state/s3';
import { historyCases, stateContract, versionedStoreContract } from '@chunks/state/testing';
import { describe, expect, test } from 'vitest';
import { type LossyLink, losesNothing, plainLoopDoubles } from '../support/lost-replies.ts';
import { oneInThreeLost, QUICK_FAULTS } from '../support/stores.ts';

const { signal } = new AbortController();
const { capabilities } = r2Store(env.RECORDS);

let stores = 0;
/** One bucket for all: each store has a prefix of its own, and all of them are as long. */
const freshPrefix = (): string => `r${String(++stores).padStart(4, '0')}/`;

const bench = () => {
  const prefix = freshPrefix();
  return { open: () => r2Store(env.RECORDS, { prefix }) };
};

describe('r2Store', () => {
  for (const { name, run } of versionedStoreContract(bench, capabilities)) test(name, run);
  for (const { name, run } of stateContract(bench, capabilities)) test(name, run);
});

describe('random histories, one call in five goes wrong', () => {
  const o = { faults: QUICK_FAULTS, random: seededRandom(700) };
  for (const { name, run } of historyCases(bench, o)) test(name, run);
});

describe('createState over a bucket that loses one call in three', () => {
  for (const { name, run } of stateContract(oneInThreeLost(bench, 300), capabilities)) test(name, run);
});

/** The binding, with a say in what becomes of each `put`. */
function binding(
  put: (send: () => ReturnType<R2StoreBucket['put']>) => ReturnType<R2StoreBucket['put']>,
): R2StoreBucket {
  const { RECORDS } = env;
  return {
    get: (name) => RECORDS.get(name),
    put: (...all) => put(() => RECORDS.put(...all)),
    list: (options) => RECORDS.list(options),
  };
}

/** Every so manieth `put` is carried out, and then `after` says how it ends. */
function lossy(after: (send: () => ReturnType<R2StoreBucket['put']>) => ReturnType<R2StoreBucket['put']>): LossyLink {
  let every = Number.POSITIVE_INFINITY;
  let [writes, lost] = [0, 0];
  const prefix = freshPrefix();
  const bucket = binding(async (send) => {
    if (++writes % every !== 0) return send();
    lost++;
    await send();
    return after(send);
  });
  return {
    open: () => r2Store(bucket, { prefix }),
    loseEvery: (number) => {
      every = number;
    },
    heal: () => {
      every = Number.POSITIVE_INFINITY;
    },
    lost: () => lost,
  };
}

const error = () => Promise.reject(new Error('put: We encountered an internal error. Please try again. (10001)'));

describe.each([
  ['is lost', error, 1_000],
  ['is lost below, where it is sent again', (send: () => ReturnType<R2StoreBucket['put']>) => send(), 280],
])('every 7th reply of a write %s', (_, after, updates) => {
  test('nothing is lost, doubled or fails', () => losesNothing(lossy(after), { updates, maxAttempts: 200 }));
  test('the plain loop doubles', () => plainLoopDoubles(lossy(after), { updates: 140 }));
});

async function listed(store: VersionedStore, prefix = ''): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of store.list?.(prefix, { signal }) ?? []) keys.push(key);
  return keys.sort();
}

describe('a bucket', () => {
  test('is asked once to read, once to write, and once for a page of a list', async () => {
    const calls: string[] = [];
    const { RECORDS } = env;
    const counted: R2StoreBucket = {
      get(name) {
        calls.push(`get ${name}`);
        return RECORDS.get(name);
      },
      put(...all) {
        calls.push(`put ${all[0]}`);
        return RECORDS.put(...all);
      },
      list(options) {
        calls.push(`list ${options.prefix} ${options.cursor !== undefined}`);
        return RECORDS.list({ ...options, limit: 2 } as typeof options);
      },
    };
    const store = r2Store(counted, { prefix: 'counted/' });
    expect(await store.read('a/b', { signal })).toBe(undefined);
    expect(await store.write('a/b', '1', undefined, { signal })).toHaveProperty('revision');
    expect(await store.write('a/b', '1', undefined, { signal })).toEqual({ conflict: true });
    expect(calls.splice(0)).toEqual(['get counted/a~2fb.json', ...Array(2).fill('put counted/a~2fb.json')]);
    await store.write('a/c', '1', undefined, { signal });
    await store.write('a/d', '1', undefined, { signal });
    calls.splice(0);
    expect(await listed(store, 'a/')).toEqual(['a/b', 'a/c', 'a/d']);
    expect(calls).toEqual(['list counted/a~2f false', 'list counted/a~2f true']);
  });

  test('holds the record as JSON for any tool, and under the names of s3Store', async () => {
    const prefix = freshPrefix();
    const state = createState({ store: r2Store(env.RECORDS, { prefix }), initial: () => ({ n: 0 }) });
    await state.update('a/b', (draft) => ++draft.n);
    const asked: string[] = [];
    const s3 = s3Store({
      url: 'https://s3.test/bucket',
      prefix,
      async fetch(target) {
        const name = target.slice('https://s3.test/bucket/'.length);
        asked.push(name);
        const object = await env.RECORDS.get(name);
        return new Response(await object?.text(), { headers: { etag: `"${object?.etag}"` } });
      },
    });
    expect(JSON.parse((await s3.read('a/b', { signal }))?.value ?? '')).toMatchObject({ state: { n: 1 } });
    expect(asked).toEqual([`${prefix}a~2fb.json`]);
  });

  test('is told the type of what it stores, and a write that nobody waits for does no harm', async () => {
    const types: string[] = [];
    let isSlow = true;
    const late: Promise<unknown>[] = [];
    const bucket: R2StoreBucket = {
      ...binding((send) => send()),
      put(...all) {
        types.push(all[2].httpMetadata.contentType);
        const put = isSlow
          ? new Promise<void>((go) => setTimeout(go, 100)).then(() => env.RECORDS.put(...all))
          : env.RECORDS.put(...all);
        late.push(put);
        return put;
      },
    };
    const state = createState({
      store: r2Store(bucket, { prefix: freshPrefix() }),
      initial: () => ({ n: 0 }),
      attemptTimeoutMs: 20,
    });
    const update = state.update('k', (draft) => ++draft.n);
    await new Promise((go) => setTimeout(go, 50));
    isSlow = false;
    expect(await update).toMatchObject({ version: 1, result: 1 });
    await Promise.all(late);
    expect(await state.get('k')).toMatchObject({ version: 1, state: { n: 1 } });
    expect(types.length).toBeGreaterThan(1);
    expect(new Set(types)).toEqual(new Set(['application/json']));
  });
});

test('what is no bucket, or no prefix, is refused at once', () => {
  expect(() => r2Store(undefined as never)).toThrow('bucket.get must be a function, but is undefined');
  expect(() => r2Store({ get() {}, put() {} } as never)).toThrow('bucket.list must be a function');
  expect(() => r2Store(env.RECORDS, { prefix: '../a' })).toThrow('prefix must be of letters, digits and _-./');
});
