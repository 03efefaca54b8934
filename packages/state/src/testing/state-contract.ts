import type { MaybePromise } from '@chunks/base';
import { type ContractCase, casesOf, equal, isTrue } from '@chunks/base/testing';
import { createState } from '../create-state.ts';
import type { State } from '../types.ts';
import { opaqueKeys } from './opaque-keys.ts';
import { type StoreAbilities, type StoreBench, type StoreCases, StoreTrial } from './store-bench.ts';

interface Log {
  log: string[];
}

async function opened(trial: StoreTrial): Promise<State<Log>> {
  return createState({ store: await trial.open(), initial: () => ({ log: [] as string[] }), retry: { maxMs: 5 } });
}

// What a store that fails may do to an update, even to one that is tried again and again.
const ALLOWED = ['UPDATE_CONFLICT', 'UPDATE_TIMEOUT', 'STORE_UNAVAILABLE'];

/** Each update writes its name down, so that what was lost or done twice is seen. */
async function exact(trial: StoreTrial, instances: number, each: number): Promise<void> {
  const states = await Promise.all(Array.from({ length: instances }, () => opened(trial)));
  const names = Array.from({ length: instances * each }, (_, i) => `update-${i}`);
  const ends = await Promise.all(
    names.map((name, i) =>
      (states[i % instances] as State<Log>)
        .update('key', (draft) => draft.log.push(name), { maxAttempts: 200, timeoutMs: 60_000 })
        .then(
          ({ version, index, result }) => ({ name, version, index, result }),
          (error) => ({ name, code: error.code as string }),
        ),
    ),
  );
  const { state, version } = (await (await opened(trial)).get('key')) ?? { state: { log: [] }, version: 0 };
  const { log } = state;
  const times = new Map<string, number>();
  for (const name of log) times.set(name, (times.get(name) ?? 0) + 1);
  for (const end of ends) {
    const found = times.get(end.name) ?? 0;
    if ('version' in end) equal(found, 1, `${end.name} acknowledged`);
    else if (end.code === 'UPDATE_AMBIGUOUS') equal(found <= 1, true, `${end.name} unknown, at most once`);
    else equal([found, ALLOWED.includes(end.code)], [0, true], `${end.name} failed with ${end.code}`);
  }
  const done = ends.flatMap((end) => ('version' in end ? [end] : []));
  isTrue(done.length > names.length / 2, 'most updates come through');
  done.sort((a, b) => a.version - b.version || a.index - b.index);
  equal(new Set(done.map(({ version, index }) => `${version} ${index}`)).size, done.length, '(version, index) unique');
  // Only a commit whose updates were all told to be unknown may have a version that nobody names.
  const unknown = ends.filter((end) => 'code' in end && end.code === 'UPDATE_AMBIGUOUS').length;
  const unnamed = version - new Set(done.map((end) => end.version)).size;
  isTrue(unnamed >= 0 && unnamed <= unknown, `versions without a gap: ${unnamed} unnamed, ${unknown} unknown`);
  const acknowledged = new Set(done.map(({ name }) => name));
  equal(
    log.filter((name) => acknowledged.has(name)),
    done.map(({ name }) => name),
    '(version, index) is the order of application',
  );
  // What an updater returned is what it saw: its place in the log.
  for (const { name, result } of done) equal(log[result - 1], name, 'the result of each is its own');
}

const cases: StoreCases = {
  '50 parallel updaters are exact': (trial) => exact(trial, 1, 50),
  '200 parallel updaters are exact': (trial) => exact(trial, 1, 200),
  '1000 parallel updaters are exact': (trial) => exact(trial, 1, 1_000),
  'two instances race and lose nothing': (trial) => exact(trial, 2, 100),
  'eight instances race and lose nothing': (trial) => exact(trial, 8, 10),

  'versions go on over a deletion': async (trial) => {
    const state = await opened(trial);
    const first = await state.update('key', (draft) => draft.log.push('old'));
    equal(await state.delete('key'), true, 'delete');
    equal(await state.delete('key'), false, 'delete again');
    equal(await state.get('key'), undefined, 'get');
    const next = await state.update('key', (draft) => draft.log.push('new'));
    equal([next.version - first.version, next.state.log], [2, ['new']], 'created again');
  },

  'no key reaches the record of another': async (trial) => {
    const state = await opened(trial);
    const keys = opaqueKeys(trial.abilities.maxKeyBytes);
    await Promise.all(keys.map((key, i) => state.update(key, (draft) => draft.log.push(`${i}`))));
    for (const [i, key] of keys.entries()) {
      equal(await state.get(key), { state: { log: [`${i}`] }, version: 1 }, 'record');
    }
  },
};

/**
 * What must hold through `createState` on a store, also when that loses requests, replies and time, as plain cases.
 * @param make a store of its own for each case, see {@link StoreBench}; it may be a `faultyStore`
 * @example
 * // All processes of a case share its store.
 * const bench = () => {
 *   const store = memoryStore();
 *   return { open: () => store };
 * };
 * for (const { name, run } of stateContract(bench, memoryStore().capabilities)) test(name, run);
 */
export function stateContract(
  make: () => MaybePromise<StoreBench>,
  abilities: StoreAbilities,
): readonly ContractCase[] {
  return casesOf(cases, async () => new StoreTrial(await make(), abilities));
}
