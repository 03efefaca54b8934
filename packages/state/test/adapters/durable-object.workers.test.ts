import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { heard, seededRandom } from '@chunks/base/testing';
import { createState } from '@chunks/state';
import { durableObjectStore, type StateNamespace, type StateStub } from '@chunks/state/durable-object';
import { historyCases, stateContract, versionedStoreContract } from '@chunks/state/testing';
import { describe, expect, test } from 'vitest';
import { type LossyLink, losesNothing, plainLoopDoubles } from '../support/lost-replies.ts';
import { oneInThreeLost, QUICK_FAULTS } from '../support/stores.ts';

const { signal } = new AbortController();
const { capabilities } = durableObjectStore(env.STATES);

type Send = (stub: StateStub, ...args: Parameters<StateStub['fetch']>) => ReturnType<StateStub['fetch']>;
const asItIs: Send = (stub, ...args) => stub.fetch(...args);

let stores = 0;

/** Objects of its own, by their names; and a hand on the way to them. */
function space(send: Send = asItIs): StateNamespace<unknown> & { stub(key: string): StateStub } {
  const prefix = `${++stores}:`;
  const idFromName = (name: string): unknown => env.STATES.idFromName(`${prefix}${name}`);
  return {
    idFromName,
    get: (id) => {
      const stub = env.STATES.get(id);
      return { fetch: (...args) => send(stub, ...args) };
    },
    stub: (key) => env.STATES.get(idFromName(JSON.stringify(key))),
  };
}

const bench = () => {
  const objects = space();
  return { open: () => durableObjectStore(objects) };
};

describe('durableObjectStore', () => {
  for (const { name, run } of versionedStoreContract(bench, capabilities)) test(name, run);
  for (const { name, run } of stateContract(bench, capabilities)) test(name, run);
});

describe('random histories, one call in five goes wrong', () => {
  const o = { faults: QUICK_FAULTS, random: seededRandom(800) };
  for (const { name, run } of historyCases(bench, o)) test(name, run);
});

describe('createState over objects that lose one call in three', () => {
  for (const { name, run } of stateContract(oneInThreeLost(bench, 400), capabilities)) test(name, run);
});

function lossy(): LossyLink {
  let every = Number.POSITIVE_INFINITY;
  let [writes, lost] = [0, 0];
  const objects = space(async (stub, ...args) => {
    const answer = await stub.fetch(...args);
    if (args[1].method !== 'PUT' || ++writes % every !== 0) return answer;
    lost++;
    throw Object.assign(new Error('Network connection lost.'), { retryable: true });
  });
  return {
    open: () => durableObjectStore(objects),
    loseEvery: (number) => {
      every = number;
    },
    heal: () => {
      every = Number.POSITIVE_INFINITY;
    },
    lost: () => lost,
  };
}

describe('every 7th reply of a write is lost', () => {
  test('nothing is lost, doubled or fails', () => losesNothing(lossy()));
  test('the plain loop doubles', () => plainLoopDoubles(lossy(), { updates: 210 }));
});

test('an object is asked once for each call, and a conflict says what stands there', async () => {
  const methods: string[] = [];
  const objects = space((stub, ...args) => {
    methods.push(args[1].method);
    return stub.fetch(...args);
  });
  const store = durableObjectStore(objects);
  expect(await store.read('k', { signal })).toBe(undefined);
  const reply = await store.write('k', '"é😀"', undefined, { signal });
  const revision = 'revision' in reply ? reply.revision : '';
  const current = { value: '"é😀"', revision };
  expect(await store.read('k', { signal })).toEqual(current);
  expect(await store.write('k', '1', undefined, { signal })).toEqual({ conflict: true, current });
  expect(await store.write('k', '1', 'other', { signal })).toEqual({ conflict: true, current });
  expect(await store.write('absent', '1', revision, { signal })).toEqual({ conflict: true });
  expect(await store.remove?.('k', revision, { signal })).toBe(true);
  expect(methods).toEqual(['GET', 'PUT', 'GET', 'PUT', 'PUT', 'PUT', 'DELETE']);
});

test('who only asks leaves nothing behind in an object', async () => {
  const objects = space();
  const store = durableObjectStore(objects);
  await store.read('k', { signal });
  await store.write('k', '1', 'other', { signal });
  await store.remove?.('k', 'other', { signal });
  const tables = await runInDurableObject(objects.stub('k'), (_, { storage }) =>
    storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'chunks_state'").toArray(),
  );
  expect(tables).toEqual([]);
});

test('a record may have two megabytes, less a little', async () => {
  const store = durableObjectStore(space());
  const { maxValueBytes = 0 } = store.capabilities;
  expect(maxValueBytes).toBeGreaterThan(1_999_000);
  const value = `"${'é'.repeat((maxValueBytes - 2) / 2)}"`;
  expect(await store.write('k', value, undefined, { signal })).toHaveProperty('revision');
  expect((await store.read('k', { signal }))?.value === value).toBe(true);
  const state = createState({ store, initial: () => ({ text: '' }) });
  const update = state.update('other', (draft) => void (draft.text = value));
  await expect(update).rejects.toMatchObject({ code: 'VALUE_TOO_LARGE', limit: maxValueBytes });
});

describe('an object that goes away', () => {
  test('evicted between calls: the record and its revision outlive it', async () => {
    const objects = space();
    const state = createState({ store: durableObjectStore(objects), initial: () => ({ n: 0 }) });
    for (let n = 1; n <= 5; n++) {
      expect(await state.update('k', (draft) => ++draft.n)).toMatchObject({ version: n, result: n });
      await evictDurableObject(objects.stub('k'));
    }
    expect(await state.get('k')).toEqual({ state: { n: 5 }, version: 5 });
  });

  test('reset with writes under way, under 200 updates of four processes: none is lost, none is there twice', async () => {
    let [writes, resets] = [0, 0];
    const objects = space(async (stub, ...args) => {
      const asked = heard(stub.fetch(...args));
      if (args[1].method === 'PUT' && ++writes % 30 === 0 && resets < 6) {
        resets++;
        // Whether it lives to say so is nothing to rely on.
        await runInDurableObject(stub, (_, state) => state.abort('reset by the test')).catch(() => undefined);
      }
      return asked;
    });
    const open = () =>
      createState({
        store: durableObjectStore(objects),
        initial: () => ({ log: [] as string[] }),
        // Each update is a write of its own.
        coalesce: false,
        retry: { maxMs: 5 },
      });
    const states = [open(), open(), open(), open()];
    const names = Array.from({ length: 200 }, (_, i) => `update ${i}`);
    const ends = await Promise.all(
      names.map((name, i) => states[i % 4]?.update('k', (draft) => draft.log.push(name), { maxAttempts: 1_000 })),
    );
    const last = await open().get('k');
    expect(resets).toBe(6);
    expect(last?.version).toBe(200);
    expect([...(last?.state.log ?? [])].sort()).toEqual([...names].sort());
    expect(ends.map((end) => last?.state.log[Number(end?.result) - 1])).toEqual(names);
  });
});

describe('what is no answer of a state object', () => {
  const answering = (send: Send) => durableObjectStore(space(send));

  test.each<[name: string, send: Send, message: string]>([
    [
      'overload, which may come after a resend',
      async () => Promise.reject(Object.assign(new Error('Durable Object is overloaded.'), { overloaded: true })),
      'overloaded',
    ],
    ['no such route', async () => new Response('no such route', { status: 404 }), 'answered 404: no such route'],
    ['a page', async () => new Response('<html>'), 'answered 200: <html>'],
    ['another method', (stub, to, init) => stub.fetch(to, { ...init, method: 'PATCH' }), 'answered 405'],
  ])('%s says nothing about what was written', async (_, send, message) => {
    const store = answering(send);
    for (const call of [
      () => store.read('k', { signal }),
      () => store.write('k', '1', undefined, { signal }),
      () => store.write('k', '1', 'e', { signal }),
      () => store.remove?.('k', 'e', { signal }),
    ]) {
      const error = await Promise.resolve(call()).catch((error: Error & { definite?: true }) => error);
      expect(error).toMatchObject({ message: expect.stringContaining(message) });
      expect(error).not.toHaveProperty('definite');
    }
  });

  test('a call that is cut takes its request along', async () => {
    const signals: unknown[] = [];
    const store = answering((stub, to, init) => {
      signals.push((init as { signal?: unknown }).signal);
      return stub.fetch(to, init);
    });
    await store.read('k', { signal });
    expect(signals).toEqual([signal]);
    await expect(store.read('k', { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});

test('what is no namespace is refused at once', () => {
  expect(() => durableObjectStore(undefined as never)).toThrow('namespace.idFromName must be a function');
  expect(() => durableObjectStore({ idFromName() {} } as never)).toThrow('namespace.get must be a function');
});
