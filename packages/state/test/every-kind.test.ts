import { VirtualClock } from '@chunks/base/testing';
import { createState, memoryStore, type StandardSchema, type State } from '@chunks/state';
import { faultyStore, STORE_FAULTS, type StoreFault } from '@chunks/state/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runs } from '../../../.ci/testing/runs.ts';
import { codeOf, drive, recording } from './support/stores.ts';

// Every kind of call there is, by several instances on one key of a store that fails, against what the store has
// recorded: each is applied as often as its outcome says, where its outcome says, on the version that it asked for.

interface Log {
  log: string[];
}

const kinds = ['push', 'delete', 'skip', 'throw', 'invalid', 'keyed', 'if-version', 'slow', 'lossy'] as const;
type Kind = (typeof kinds)[number];

const program = fc.record({
  instances: fc.integer({ min: 1, max: 3 }),
  schema: fc.constantFrom('none', 'at once', 'later'),
  faults: fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constant<StoreFault>('none') },
      { weight: 1, arbitrary: fc.constantFrom(...STORE_FAULTS) },
    ),
    { minLength: 1, maxLength: 40 },
  ),
  calls: fc.array(
    fc.record({
      kind: fc.constantFrom<Kind>(...kinds),
      atMs: fc.integer({ min: 0, max: 400 }),
      instance: fc.nat({ max: 2 }),
      // Which of three idempotency keys, or which version is expected.
      n: fc.nat({ max: 4 }),
      maxAttempts: fc.constantFrom(1, 3, 20),
      abortMs: fc.oneof(
        { weight: 4, arbitrary: fc.constant(-1) },
        { weight: 1, arbitrary: fc.integer({ min: 0, max: 60 }) },
      ),
    }),
    { minLength: 1, maxLength: 25 },
  ),
});
type Program = typeof program extends fc.Arbitrary<infer P> ? P : never;
type Call = Program['calls'][number];

const isLog = (value: unknown): value is Log => (value as Log).log.every((name) => !name.startsWith('bad'));
const answer = (value: unknown) =>
  isLog(value) ? { value } : { issues: [{ message: 'expected nothing bad', path: ['log', 0] }] };

function schemaOf(p: Program, clock: VirtualClock): StandardSchema<Log> | undefined {
  if (p.schema === 'none') return undefined;
  const later = async (value: unknown) => {
    await clock.sleep(3);
    return answer(value);
  };
  return { '~standard': { version: 1, vendor: 'test', validate: p.schema === 'later' ? later : answer } };
}

interface End {
  readonly call: Call;
  /** What it adds to the log. */
  readonly name: string;
  readonly code: string;
  readonly version?: number;
  readonly index?: number;
  readonly result?: unknown;
  readonly replayed?: boolean;
}

async function make(state: State<Log>, clock: VirtualClock, call: Call, name: string): Promise<Omit<End, 'call'>> {
  const { kind, n, maxAttempts, abortMs } = call;
  const controller = new AbortController();
  const { signal } = controller;
  if (abortMs >= 0) clock.after(abortMs, () => controller.abort(new Error('aborted')));
  if (kind === 'delete') return { name, code: 'OK', result: await state.delete('key', { signal }) };
  const push = (draft: Log): number => draft.log.push(name);
  const o = {
    maxAttempts,
    signal,
    ...(kind === 'keyed' && { idempotencyKey: name }),
    ...(kind === 'if-version' && { ifVersion: n }),
  };
  const end = await state.update(
    'key',
    (draft, { skip }) => {
      if (kind === 'slow') return clock.sleep(20 * n).then(() => push(draft));
      const length = push(draft);
      if (kind === 'throw') throw new Error('thrown');
      if (kind === 'lossy') Object.assign(draft, { nothing: undefined });
      return kind === 'skip' ? skip(length) : length;
    },
    o,
  );
  return { name, code: 'OK', ...end };
}

async function run(p: Program) {
  const clock = new VirtualClock();
  const store = recording(memoryStore());
  let asked = 0;
  const next = (): StoreFault => p.faults[asked++ % p.faults.length] as StoreFault;
  const schema = schemaOf(p, clock);
  const states = Array.from({ length: p.instances }, () =>
    createState<Log>({
      store: faultyStore(store, { next, clock }),
      initial: () => ({ log: [] }),
      clock,
      random: () => 0.5,
      attemptTimeoutMs: 200,
      ...(schema && { schema }),
    }),
  );
  const ends = p.calls.map(async (call, i): Promise<End> => {
    await clock.sleep(call.atMs);
    const name = { keyed: `key-${call.n % 3}`, invalid: `bad-${i}` }[call.kind as string] ?? `u${i}`;
    const state = states[call.instance % p.instances] as State<Log>;
    return make(state, clock, call, name).then(
      (end) => ({ call, ...end }),
      (error) => ({ call, name, code: codeOf(error) }),
    );
  });
  const results = await drive(clock, Promise.all(ends));
  await drive(clock, Promise.all(states.map((state) => state.close())));
  await clock.advance(10_000);
  expect(clock.pending).toBe(0);
  return { results, records: store.history.map(({ value }) => JSON.parse(value) as Stored) };
}

interface Stored {
  readonly version: number;
  readonly state: Log | null;
  readonly deletedAtMs?: number;
}

/** What each version added; undefined for a deletion. Nothing that was there may go away but by a deletion. */
function additions(records: readonly Stored[]): (string[] | undefined)[] {
  let before: string[] = [];
  return records.map(({ state, version, deletedAtMs }, i) => {
    expect(version).toBe(i + 1);
    expect(deletedAtMs !== undefined).toBe(state === null);
    const log = state?.log ?? [];
    const added = state === null ? undefined : log.slice(before.length);
    if (state !== null) expect(log.slice(0, before.length), `version ${version}`).toEqual(before);
    before = log;
    return added;
  });
}

function checkUpdate(end: End, added: (string[] | undefined)[], records: readonly Stored[]): void {
  const { call, name, code, version = 0, index = 0 } = end;
  const times = added.flatMap((names) => names ?? []).filter((other) => other === name).length;
  const what = `${name}, ${call.kind}, ${code}`;
  if (call.kind === 'keyed') {
    expect(times, what).toBeLessThanOrEqual(1);
    if (code === 'OK') expect(times, what).toBe(1);
    if (!end.replayed || code !== 'OK') return;
    // What its updater returned, long ago or in this very commit: how long the log was then.
    const first = added.findIndex((names) => names?.includes(name));
    expect(end.result, what).toBe((records[first]?.state?.log.indexOf(name) ?? Number.NaN) + 1);
    return;
  }
  if (code === 'UPDATE_AMBIGUOUS') expect(times, what).toBeLessThanOrEqual(1);
  else expect(times, what).toBe(code === 'OK' && call.kind !== 'skip' ? 1 : 0);
  if (code !== 'OK' || call.kind === 'skip') return;
  expect(added[version - 1]?.[index], what).toBe(name);
  if (call.kind !== 'if-version') return;
  expect(index, what).toBe(0);
  // 0 means that there was none, whatever its tombstone's version.
  if (call.n === 0) expect(records[version - 2]?.state ?? null, what).toBeNull();
  else expect(version, what).toBe(call.n + 1);
}

test('whatever is called, it is applied once or not at all, as told', { timeout: 60_000 }, async () => {
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(program, async (p) => {
      const { results, records } = await run(p);
      const added = additions(records);
      const deletions = results.filter(({ call }) => call.kind === 'delete');
      for (const end of results) {
        const how = end.replayed ? 'replayed' : end.result === false ? 'nothing to delete' : end.code;
        seen.set(`${end.call.kind}: ${how}`, (seen.get(`${end.call.kind}: ${how}`) ?? 0) + 1);
        if (end.call.kind !== 'delete') checkUpdate(end, added, records);
      }
      const count = added.filter((names) => names === undefined).length;
      const sure = deletions.filter(({ result }) => result === true).length;
      const perhaps = deletions.filter(({ code }) => code === 'UPDATE_AMBIGUOUS').length;
      expect([count >= sure, count <= sure + perhaps], `${count} deletions, ${sure} told`).toEqual([true, true]);
      // Nothing invalid was ever written, where a schema was asked.
      if (p.schema !== 'none') for (const { state } of records) if (state !== null) expect(isLog(state)).toBe(true);
    }),
    { numRuns: runs(600) },
  );
  const met = [
    'push: OK',
    'delete: OK',
    'delete: nothing to delete',
    'skip: OK',
    'throw: thrown',
    'invalid: INVALID_STATE',
    'keyed: OK',
    'keyed: replayed',
    'if-version: OK',
    'if-version: UPDATE_CONFLICT',
    'slow: OK',
    'slow: aborted',
    'keyed: aborted',
    'lossy: LOSSY_STATE',
  ];
  for (const how of met) expect(seen.get(how) ?? 0, how).toBeGreaterThan(0);
});
