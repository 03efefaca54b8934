import { countListeners, settle, VirtualClock } from '@chunks/base/testing';
import { createState, memoryStore, type State, type Versioned, type VersionedStore } from '@chunks/state';
import { faultyStore, type StoreFault } from '@chunks/state/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../.ci/testing/runs.ts';
import { passOn } from '../src/testing/pass-on.ts';
import { codeOf, drive } from './support/stores.ts';

interface Doc {
  n: number;
}
type Seen = Versioned<Doc> | undefined;

const make = (store: VersionedStore, clock = new VirtualClock()): State<Doc> =>
  createState<Doc>({ store, initial: () => ({ n: 0 }), clock, random: () => 0.5, attemptTimeoutMs: 200 });
const bump = (draft: Doc): void => void draft.n++;

/** Counts the store's watches that are open; the first ones break after so many ticks. */
function breaking(inner: VersionedStore, ticks: readonly number[] = []) {
  const counts = { begun: 0, open: 0 };
  const left = [...ticks];
  const store: VersionedStore = {
    ...passOn(inner),
    async *watch(key, o) {
      let bear = left.shift() ?? Number.POSITIVE_INFINITY;
      counts.begun++;
      counts.open++;
      try {
        for await (const _ of inner.watch?.(key, o) ?? []) {
          if (bear-- <= 0) throw new Error('the connection was cut');
          yield;
        }
      } finally {
        counts.open--;
      }
    },
  };
  return { store, counts };
}

/** Takes what comes until it ends. */
function collect(records: AsyncIterable<Seen>) {
  const seen: Seen[] = [];
  const end = (async () => {
    for await (const record of records) seen.push(record);
    return 'ended';
  })().catch(codeOf);
  return { seen, end };
}

test('the present record, then its changes and its end, one’s own and those of others', async () => {
  const store = memoryStore();
  const [own, other] = [make(store), make(store)];
  await own.update('k', bump);
  const { seen, end } = collect(own.watch('k'));
  await settle();
  for (const act of [
    () => own.update('k', bump),
    () => other.update('k', bump),
    () => other.delete('k'),
    () => own.update('k', bump),
  ]) {
    await act();
    await settle();
  }
  await other.update('elsewhere', bump);
  await own.close();
  expect(await end).toBe('ended');
  const record = (version: number, n: number) => ({ version, state: { n } });
  expect(seen).toEqual([record(1, 1), record(2, 2), record(3, 3), undefined, record(5, 1)]);
});

test('against a model: nothing twice, nothing backwards, the last state in the end, whatever breaks', async () => {
  const step = fc.record({
    call: fc.constantFrom('update', 'update', 'delete', 'wait'),
    instance: fc.nat({ max: 1 }),
    ms: fc.integer({ min: 0, max: 300 }),
  });
  const faults: fc.Arbitrary<StoreFault[]> = fc.array(fc.constantFrom('none', 'lose-request', 'hang-before', 'delay'), {
    maxLength: 9,
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 25 }),
      faults,
      fc.array(fc.nat({ max: 4 }), { maxLength: 5 }),
      async (program, reads, ticks) => {
        const clock = new VirtualClock();
        const inner = memoryStore();
        let asked = 0;
        const next = (call: string) => (call === 'read' ? (reads[asked++ % (reads.length + 1)] ?? 'none') : 'none');
        const { store, counts } = breaking(faultyStore(inner, { next, clock }), ticks);
        const watcher = make(store, clock);
        const writers = [make(inner, clock), make(inner, clock)];
        const { seen, end } = collect(watcher.watch('k'));
        let now: Seen;
        for (const { call, instance, ms } of program) {
          const writer = writers[instance] as State<Doc>;
          if (call === 'wait') await clock.advance(ms);
          if (call === 'update') {
            const { version, state } = await drive(clock, writer.update('k', bump));
            now = { version, state };
          }
          if (call === 'delete' && (await drive(clock, writer.delete('k')))) now = undefined;
        }
        await clock.advance(5_000);
        expect(seen.length).toBeGreaterThan(0);
        expect(seen.at(-1)).toEqual(now);
        let version = 0;
        for (const [i, record] of seen.entries()) {
          if (record === undefined) expect(i === 0 || seen[i - 1] !== undefined, 'undefined once').toBe(true);
          else {
            expect(record.version).toBeGreaterThan(version);
            version = record.version;
          }
        }
        await drive(clock, watcher.close());
        expect([await end, counts.open, clock.pending]).toEqual(['ended', 0, 0]);
      },
    ),
    { numRuns: runs(150) },
  );
});

describe('leaving', () => {
  test('break ends the store’s watch', async () => {
    const { store, counts } = breaking(memoryStore());
    for await (const record of make(store).watch('k')) {
      expect([record, counts.open]).toEqual([undefined, 1]);
      break;
    }
    await settle();
    expect(counts).toEqual({ begun: 1, open: 0 });
  });

  test('return ends it also while somebody waits for the next; nothing is begun before the first', async () => {
    const { store, counts } = breaking(memoryStore());
    const watch = make(store).watch('k');
    const records = watch[Symbol.asyncIterator]();
    await settle();
    expect(counts.begun).toBe(0);
    expect(await records.next()).toEqual({ done: false, value: undefined });
    const waiting = records.next();
    await settle();
    expect(await records.return?.()).toEqual({ done: true, value: undefined });
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect([counts.open, await records.next()]).toEqual([0, { done: true, value: undefined }]);
    // Each loop is a watch of its own.
    expect(await watch[Symbol.asyncIterator]().next()).toEqual({ done: false, value: undefined });
  });

  test('an abort ends it with the reason, wherever it waits; no listener stays', async () => {
    const reason = new Error('gone');
    const never = <T>(): Promise<T> => new Promise(() => undefined);
    const hanging = { [Symbol.asyncIterator]: () => ({ next: never<IteratorResult<void>> }) };
    const inner = memoryStore();
    for (const store of [inner, { ...inner, watch: () => hanging }, { ...inner, read: never<undefined> }]) {
      const controller = new AbortController();
      const listeners = countListeners(controller.signal);
      const clock = new VirtualClock();
      const state = make(store, clock);
      const end = (async () => {
        for await (const _ of state.watch('k', controller)) await settle();
      })();
      await settle();
      controller.abort(reason);
      await expect(end).rejects.toBe(reason);
      expect(listeners()).toBe(0);
      await clock.advance(1_000);
      expect(clock.pending).toBe(0);
    }
    await expect(
      make(inner)
        .watch('k', { signal: AbortSignal.abort(reason) })
        [Symbol.asyncIterator]()
        .next(),
    ).rejects.toBe(reason);
  });

  test('close ends it while it waits for the store to come back', async () => {
    const clock = new VirtualClock();
    const inner = memoryStore();
    const state = make(
      {
        ...inner,
        watch: () => {
          throw new Error('down');
        },
      },
      clock,
    );
    const { end } = collect(state.watch('k'));
    await settle();
    await state.close();
    expect(await end).toBe('ended');
    expect(clock.pending).toBe(0);
    expect(await collect(state.watch('k')).end).toBe('STATE_CLOSED');
  });
});

describe('failures', () => {
  test('of the store’s watch are borne as by get: twenty in a row, a success between makes them few again', async () => {
    const clock = new VirtualClock();
    const inner = memoryStore();
    const down = make(
      {
        ...inner,
        watch: () => {
          throw new Error('down');
        },
      },
      clock,
    );
    const error = await drive(
      clock,
      down
        .watch('k')
        [Symbol.asyncIterator]()
        .next()
        .catch((error) => error),
    );
    expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE', attempts: 20, cause: { message: 'down' } });
    let begun = 0;
    const fragile: VersionedStore = {
      ...inner,
      async *watch() {
        begun++;
        yield;
        throw new Error('cut');
      },
    };
    const state = make(fragile, clock);
    const { seen, end } = collect(state.watch('k'));
    await clock.advance(5_000);
    expect(begun).toBeGreaterThan(60);
    expect(seen).toEqual([undefined]);
    await state.close();
    expect(await end).toBe('ended');
  });

  test('after a long rest too: the time that was quiet does not count', async () => {
    const clock = new VirtualClock();
    let cut = (_: Error): void => undefined;
    const store: VersionedStore = {
      ...memoryStore(),
      async *watch() {
        yield;
        await new Promise<never>((_, reject) => {
          cut = reject;
        });
      },
    };
    const state = make(store, clock);
    const { seen, end } = collect(state.watch('k'));
    await clock.advance(3_600_000);
    await state.update('k', bump);
    cut(new Error('the connection was cut'));
    await clock.advance(1_000);
    expect(seen).toEqual([undefined, { state: { n: 1 }, version: 1 }]);
    await state.close();
    expect(await end).toBe('ended');
  });

  test('a schema that throws ends it with that very error', async () => {
    const store = memoryStore();
    await make(store).update('k', bump);
    const broken = new Error('broken schema');
    const validate = () => {
      throw broken;
    };
    const schema = { '~standard': { version: 1, vendor: 'test', validate } } as const;
    const state = createState<Doc>({ store, initial: () => ({ n: 0 }), schema });
    await expect(state.watch('k')[Symbol.asyncIterator]().next()).rejects.toBe(broken);
  });

  test('a store’s watch that just ends is begun anew', async () => {
    const clock = new VirtualClock();
    const inner = memoryStore();
    let begun = 0;
    const state = make(
      {
        ...inner,
        async *watch() {
          begun++;
          yield;
        },
      },
      clock,
    );
    const { seen } = collect(state.watch('k'));
    await clock.advance(1_000);
    await state.update('k', bump);
    await clock.advance(1_000);
    expect(begun).toBeGreaterThan(3);
    expect(seen).toMatchObject([undefined, { version: 1 }]);
    await state.close();
  });

  test('a record that cannot be read, a store that went back, and one that cannot watch end it', async () => {
    const inner = memoryStore();
    await inner.write('bad', 'damaged', undefined, { signal: new AbortController().signal });
    expect(await collect(make(inner).watch('bad')).end).toBe('CORRUPT_RECORD');
    expect(await collect(make(inner).watch(7 as never)).end).toContain('key must be a string');
    const blind = make({ ...inner, capabilities: { ...inner.capabilities, watch: false } });
    const error = await blind
      .watch('k')
      [Symbol.asyncIterator]()
      .next()
      .catch((error) => error);
    expect(error).toMatchObject({ code: 'UNSUPPORTED', capability: 'watch', store: 'memory', key: 'k' });
  });
});

test('versions begin anew where a tombstone was purged, and what stands then is told', async () => {
  const clock = new VirtualClock();
  const inner = memoryStore();
  const writer = make(inner, clock);
  await writer.update('k', bump);
  await writer.update('k', bump);
  const { seen } = collect(make(inner, clock).watch('k'));
  await settle();
  await writer.delete('k');
  await settle();
  await clock.advance(3_600_000);
  await writer.purge('k', { olderThanMs: 3_600_000 });
  await writer.update('k', bump);
  await settle();
  expect(seen).toMatchObject([{ version: 2 }, undefined, { version: 1 }]);
});
