import { createState, type VersionedStore } from '@chunks/state';

/** One property of a store; `run` throws when it does not hold. Each gets keys of its own. */
export interface ContractCase {
  readonly name: string;
  run(store: VersionedStore): Promise<void>;
}

function equal(actual: unknown, expected: unknown, what: string): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: expected ${b}, got ${a}`);
}

const signal = new AbortController().signal;

async function written(store: VersionedStore, key: string, value: string, expected?: string): Promise<string> {
  const reply = await store.write(key, value, expected, { signal });
  if ('conflict' in reply) throw new Error(`unexpected conflict for ${JSON.stringify(key)}`);
  return reply.revision;
}

async function refused(store: VersionedStore, key: string, expected: string | undefined): Promise<void> {
  const reply = await store.write(key, 'must not be written', expected, { signal });
  equal('conflict' in reply, true, 'a write on another revision is a conflict');
  const current = 'conflict' in reply ? reply.current : undefined;
  if (current !== undefined) equal(current, await store.read(key, { signal }), 'current is what stands there');
}

/** Keys that stores like to confuse: prefixes, separators, globs, NUL, lone surrogates, forms of one letter, length. */
export const OPAQUE_KEYS: readonly string[] = [
  '',
  ' ',
  'a',
  'a/b',
  'a/',
  '/a',
  'a:b',
  'a:',
  'a\0b',
  'a\0',
  '\0',
  'a*',
  'a?',
  'a%',
  'a_',
  '[a]',
  '..',
  '../a',
  'A',
  'á',
  'a\u0301',
  '\ud800',
  '\ud801',
  '\udc00',
  '\ufffd',
  '😀',
  '\\u0000',
  '\\',
  '"',
  "'; DROP TABLE chunks_state; --",
  '__proto__',
  'constructor',
  'k'.repeat(50_000),
  `${'k'.repeat(50_000)}2`,
];

/** What `createState` relies on. For stores that answer every call. */
export const storeContract: readonly ContractCase[] = [
  {
    name: 'a key that was never written reads as undefined',
    async run(store) {
      equal(await store.read('contract:absent', { signal }), undefined, 'read');
    },
  },
  {
    name: 'what was written is read, under the revision of the write',
    async run(store) {
      const revision = await written(store, 'contract:read', 'one');
      equal(await store.read('contract:read', { signal }), { value: 'one', revision }, 'read');
    },
  },
  {
    name: 'a create fails when the key exists, a replace when it does not',
    async run(store) {
      await refused(store, 'contract:create', 'never given');
      const revision = await written(store, 'contract:create', 'one');
      await refused(store, 'contract:create', undefined);
      equal(await store.read('contract:create', { signal }), { value: 'one', revision }, 'nothing was written');
    },
  },
  {
    name: 'no revision comes twice, not even with an old value',
    async run(store) {
      const revisions = [await written(store, 'contract:aba', 'A')];
      for (const value of ['B', 'A', 'A']) {
        revisions.push(await written(store, 'contract:aba', value, revisions.at(-1)));
      }
      equal(new Set(revisions).size, revisions.length, 'different revisions');
      for (const old of revisions.slice(0, -1)) await refused(store, 'contract:aba', old);
    },
  },
  {
    name: 'of many writes on one revision exactly one wins',
    async run(store) {
      const first = await written(store, 'contract:race', '0');
      const replies = await Promise.all(
        Array.from({ length: 50 }, (_, i) => store.write('contract:race', String(i), first, { signal })),
      );
      const winners = replies.flatMap((reply, i) => ('revision' in reply ? [{ value: String(i), ...reply }] : []));
      equal(winners.length, 1, 'winners');
      equal(await store.read('contract:race', { signal }), winners[0], 'the winner stands there');
    },
  },
  {
    name: 'values, which are JSON documents, come back to the letter',
    async run(store) {
      const values = [
        '',
        ' ',
        '\n',
        'a\0b',
        '\ud800',
        '😀',
        'a\u0301',
        '\u2028',
        '"\\',
        'x'.repeat(300_000),
        '{"a":"é"}',
      ];
      for (const [i, value] of values.map((text) => JSON.stringify(text)).entries()) {
        await written(store, `contract:value:${i}`, value);
        equal((await store.read(`contract:value:${i}`, { signal }))?.value, value, `value ${i}`);
      }
    },
  },
  {
    name: 'no key reaches the record of another',
    async run(store) {
      const revisions: string[] = [];
      for (const [i, key] of OPAQUE_KEYS.entries()) revisions.push(await written(store, `opaque${key}`, `value ${i}`));
      for (const [i, key] of OPAQUE_KEYS.entries()) {
        equal(await store.read(`opaque${key}`, { signal }), { value: `value ${i}`, revision: revisions[i] }, 'read');
      }
    },
  },
];

const counter = (store: VersionedStore) =>
  createState({ store, initial: () => ({ log: [] as string[] }), retry: { maxMs: 5 }, attemptTimeoutMs: 30 });

async function exact(store: VersionedStore, key: string, instances: number, each: number): Promise<void> {
  const states = Array.from({ length: instances }, () => counter(store));
  const names = states.flatMap((_, s) => Array.from({ length: each }, (_, i) => `${s}-${i}`));
  const ends = await Promise.all(
    names.map((name, i) =>
      (states[i % instances] as (typeof states)[number])
        .update(key, (draft) => void draft.log.push(name), { maxAttempts: 200 })
        .then(
          ({ version, index }) => ({ name, version, index }),
          (error) => ({ name, code: error.code as string }),
        ),
    ),
  );
  const last = await counter(store).get(key);
  const times = (name: string) => last?.state.log.filter((other) => other === name).length ?? 0;
  for (const end of ends) {
    if ('version' in end) equal(times(end.name), 1, `${end.name} acknowledged`);
    else if (end.code === 'UPDATE_AMBIGUOUS') equal(times(end.name) <= 1, true, `${end.name} unknown, at most once`);
    else equal(times(end.name), 0, `${end.name} failed with ${end.code}`);
  }
  const done = ends.flatMap((end) => ('version' in end ? [end] : []));
  equal(new Set(done.map(({ version, index }) => `${version} ${index}`)).size, done.length, '(version, index) unique');
  done.sort((a, b) => a.version - b.version || a.index - b.index);
  const acknowledged = new Set(done.map(({ name }) => name));
  equal(
    last?.state.log.filter((name) => acknowledged.has(name)),
    done.map(({ name }) => name),
    '(version, index) is the order of application',
  );
}

/** What must hold through `createState`, also when the store loses requests, replies and time. */
export const stateContract: readonly ContractCase[] = [
  { name: '50 parallel updaters are exact', run: (store) => exact(store, 'state:50', 1, 50) },
  { name: '200 parallel updaters are exact', run: (store) => exact(store, 'state:200', 1, 200) },
  { name: '1000 parallel updaters are exact', run: (store) => exact(store, 'state:1000', 1, 1_000) },
  { name: 'two instances race and lose nothing', run: (store) => exact(store, 'state:two', 2, 100) },
  { name: 'eight instances race and lose nothing', run: (store) => exact(store, 'state:eight', 8, 10) },
  {
    name: 'versions go on over a deletion',
    async run(store) {
      const state = counter(store);
      const first = await state.update('state:delete', (draft) => void draft.log.push('old'));
      equal(await state.delete('state:delete'), true, 'delete');
      equal(await state.delete('state:delete'), false, 'delete again');
      equal(await state.get('state:delete'), undefined, 'get');
      const next = await state.update('state:delete', (draft) => void draft.log.push('new'));
      equal([next.version - first.version, next.state.log], [2, ['new']], 'created again');
    },
  },
  {
    name: 'no key reaches the record of another',
    async run(store) {
      const state = counter(store);
      await Promise.all(OPAQUE_KEYS.map((key) => state.update(`state${key}`, (draft) => void draft.log.push(key))));
      for (const key of OPAQUE_KEYS) {
        equal(await state.get(`state${key}`), { state: { log: [key] }, version: 1 }, 'record');
      }
    },
  },
];
