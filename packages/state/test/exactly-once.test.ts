import { VirtualClock } from '@chunks/base/testing';
import { createState, memoryStore } from '@chunks/state';
import { faultyStore, STORE_FAULTS, type StoreFault } from '@chunks/state/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runs } from '../../../.ci/testing/runs.ts';
import { codeOf, drive, recording } from './support/stores.ts';

interface Program {
  readonly instances: number;
  readonly commits: number;
  readonly maxAttempts: number;
  readonly timeoutMs: number;
  readonly faults: readonly StoreFault[];
  readonly lateMs: readonly number[];
  readonly updates: readonly {
    readonly atMs: number;
    readonly instance: number;
    readonly takesMs: number;
    readonly abortMs: number;
  }[];
}

const program: fc.Arbitrary<Program> = fc.record({
  instances: fc.integer({ min: 1, max: 4 }),
  commits: fc.constantFrom(1, 2, 64),
  maxAttempts: fc.constantFrom(1, 3, 20),
  timeoutMs: fc.constantFrom(300, 2_000, 30_000),
  faults: fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constant<StoreFault>('none') },
      { weight: 2, arbitrary: fc.constantFrom(...STORE_FAULTS) },
    ),
    { minLength: 1, maxLength: 40 },
  ),
  lateMs: fc.array(fc.integer({ min: 0, max: 900 }), { minLength: 1, maxLength: 5 }),
  updates: fc.array(
    fc.record({
      atMs: fc.integer({ min: 0, max: 600 }),
      instance: fc.nat({ max: 3 }),
      // Below 0: a plain function.
      takesMs: fc.oneof(fc.constant(-1), fc.integer({ min: 0, max: 120 })),
      abortMs: fc.oneof(
        { weight: 4, arbitrary: fc.constant(-1) },
        { weight: 1, arbitrary: fc.integer({ min: 0, max: 400 }) },
      ),
    }),
    { minLength: 1, maxLength: 30 },
  ),
});

interface Log {
  log: string[];
}

async function run(p: Program) {
  const clock = new VirtualClock();
  const store = recording(memoryStore());
  let call = 0;
  let late = 0;
  const states = Array.from({ length: p.instances }, () =>
    createState<Log>({
      store: faultyStore(store, {
        next: () => p.faults[call++ % p.faults.length] as StoreFault,
        clock,
        lateMs: () => p.lateMs[late++ % p.lateMs.length] as number,
      }),
      initial: () => ({ log: [] }),
      clock,
      random: () => 0.5,
      attemptTimeoutMs: 200,
      remember: { commits: p.commits },
    }),
  );
  const ends = p.updates.map(async ({ atMs, instance, takesMs, abortMs }, i) => {
    const name = `u${i}`;
    await clock.sleep(atMs);
    const controller = new AbortController();
    if (abortMs >= 0) clock.after(abortMs, () => controller.abort(new Error('aborted')));
    const startedMs = clock.now();
    const push = (draft: Log): void => void draft.log.push(name);
    const updater = takesMs < 0 ? push : (draft: Log) => clock.sleep(takesMs).then(() => push(draft));
    const { maxAttempts, timeoutMs } = p;
    const o = { maxAttempts, timeoutMs, signal: controller.signal };
    const end = await (states[instance % p.instances] as (typeof states)[number]).update('key', updater, o).then(
      ({ version, index, batched, state }) => ({ name, version, index, batched, state, code: 'OK' }),
      (error) => ({ name, version: 0, index: 0, batched: 0, state: undefined, code: codeOf(error) }),
    );
    return { ...end, tookMs: clock.now() - startedMs };
  });
  const results = await drive(clock, Promise.all(ends));
  await drive(clock, Promise.all(states.map((state) => state.close())));
  // What was under way lands now, if it still fits.
  await clock.advance(10_000);
  return { results, history: store.history.map(({ value }) => JSON.parse(value)), pending: clock.pending, states };
}

test('applied exactly once or reported, whatever the store loses', { timeout: 60_000 }, async () => {
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(program, async (p) => {
      const { results, history, pending, states } = await run(p);
      const log: string[] = history.at(-1)?.state.log ?? [];
      for (const { name, code, tookMs, version, state } of results) {
        seen.set(code, (seen.get(code) ?? 0) + 1);
        const times = log.filter((other) => other === name).length;
        if (code === 'OK') expect(times, `${name} acknowledged`).toBe(1);
        else if (code === 'UPDATE_AMBIGUOUS') expect(times, `${name} unknown`).toBeLessThanOrEqual(1);
        else expect(times, `${name} rejected with ${code}`).toBe(0);
        // The deadline covers everything.
        expect(tookMs).toBeLessThanOrEqual(p.timeoutMs);
        // Version and state are a matching pair.
        if (code === 'OK') expect(state).toEqual(history[version - 1].state);
      }
      // One by one, without a gap; nothing that was there ever goes away.
      expect(history.map(({ version }) => version)).toEqual(history.map((_, i) => i + 1));
      for (const [i, { state }] of history.entries())
        expect(log.slice(0, state.log.length), `version ${i + 1}`).toEqual(state.log);
      const done = results
        .filter(({ code }) => code === 'OK')
        .sort((a, b) => a.version - b.version || a.index - b.index);
      expect(new Set(done.map(({ version, index }) => `${version} ${index}`)).size).toBe(done.length);
      for (const { name, version, index, batched } of done) {
        const before = history[version - 2]?.state.log.length ?? 0;
        expect(log[before + index]).toBe(name);
        expect(history[version - 1].state.log.length - before).toBe(batched);
      }
      // Nothing is left behind.
      expect(pending).toBe(0);
      for (const state of states) expect(state.stats().latency.count).toBe(state.stats().updates);
    }),
    { numRuns: runs(400) },
  );
  // The property is about all of these: a run that meets none of them shows nothing.
  for (const code of ['OK', 'UPDATE_AMBIGUOUS', 'UPDATE_TIMEOUT', 'STORE_UNAVAILABLE', 'aborted']) {
    expect(seen.get(code) ?? 0, code).toBeGreaterThan(0);
  }
});
