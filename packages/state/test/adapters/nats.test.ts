import { VirtualClock } from '@chunks/base/testing';
import { createState, type VersionedStore } from '@chunks/state';
import { type NatsKv, natsStore } from '@chunks/state/nats';
import { stateContract, versionedStoreContract } from '@chunks/state/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../../.ci/testing/runs.ts';
import { FakeBucket, type FakeOptions, wrongSequence } from './nats/fake-kv.ts';

const { signal } = new AbortController();
const abilities = { watch: true, list: true, remove: true, durable: 'async', maxKeyBytes: 1_000 } as const;

describe('natsStore, over a bucket in this process', () => {
  const bench = () => {
    const bucket = new FakeBucket();
    return { open: () => natsStore(bucket.open()) };
  };
  test.each(versionedStoreContract(bench, abilities))('$name', ({ run }) => run());
  test.each(stateContract(bench, abilities))('$name', ({ run }) => run());
});

describe('while a bucket is deleted and made anew again and again, and answers take their time', () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.constant('update' as const) },
    { weight: 3, arbitrary: fc.constant('read' as const) },
    { weight: 2, arbitrary: fc.constant('remove' as const) },
    { weight: 1, arbitrary: fc.constant('wipe' as const) },
  );

  test('a revision names one value and fits it alone, and what is acknowledged stands where all look', async () => {
    const seen = { written: 0, overwritten: 0, refused: 0, removed: 0 };
    let accidents = 0;
    const program = fc.array(fc.array(step, { maxLength: 15 }), { minLength: 2, maxLength: 4 });
    const property = fc.asyncProperty(fc.scheduler(), program, async (s, clients) => {
      const bucket = new FakeBucket();
      const named = new Map<string, string>();
      const commits = new Map<string, { over: string | undefined; inLife: boolean }>();
      let isAccident = false;
      bucket.onWrite = (subject, { value, operation, author }, over) => {
        const inLife = subject.startsWith(`state.${bucket.messages.get('state')?.value}.`);
        // A trace is no record.
        const overRecord = over?.operation === 'PUT' && over.value !== '' ? over.value : undefined;
        if (operation === 'PUT') commits.set(value, { over: overRecord, inLife });
        // The one that is left: over somebody else's trace of the earlier life, which has by chance the sequence of the own.
        if (!inLife && over?.value === '' && over.author !== author) isAccident = true;
      };
      const name = (revision: string, value: string): void => {
        expect(named.get(revision) ?? value).toBe(value);
        named.set(revision, value);
      };

      async function act(steps: (typeof clients)[number], client: number): Promise<void> {
        const store = natsStore(bucket.open(() => s.schedule(Promise.resolve())));
        let known: string | undefined;
        for (const [i, what] of steps.entries()) {
          if (what === 'wipe') bucket.wipe();
          if (what === 'read') {
            const found = await store.read('key', { signal });
            if (found) name(found.revision, found.value);
            known = found?.revision;
          }
          if (what === 'remove' && known !== undefined) {
            if (await store.remove?.('key', known, { signal })) seen.removed++;
          }
          if (what !== 'update') continue;
          const value = `"${client}.${i}"`;
          const reply = await store.write('key', value, known, { signal });
          if ('conflict' in reply) {
            seen.refused++;
            if (reply.current) name(reply.current.revision, reply.current.value);
            known = reply.current?.revision;
            continue;
          }
          seen.written++;
          if (known !== undefined) seen.overwritten++;
          const commit = commits.get(value);
          expect(commit?.inLife).toBe(true);
          expect(commit?.over).toBe(known === undefined ? undefined : named.get(known));
          name(reply.revision, value);
          known = reply.revision;
        }
      }
      const all = await s.waitFor(Promise.allSettled(clients.map(act)));
      if (isAccident) accidents++;
      else for (const end of all) if (end.status === 'rejected') throw end.reason;
    });
    await fc.assert(property, { numRuns: runs(300) });
    expect(accidents).toBeLessThan(runs(300) / 50);
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(20);
  });
});

describe('watches', () => {
  const ticksOf = (store: VersionedStore) => {
    const ticks = store.watch?.('key', { signal })[Symbol.asyncIterator]();
    if (ticks === undefined) throw new Error('no watch');
    return ticks;
  };

  test('end when the connection breaks, also while they are opened, and leave nothing behind', async () => {
    const bucket = new FakeBucket();
    let breaks = false;
    const turn = async (): Promise<void> => {
      if (breaks && bucket.connections.size > 0) for (const one of bucket.connections) one.push({ type: 'disconnect' });
    };
    const store = natsStore(bucket.open(turn));
    const ticks = ticksOf(store);
    await ticks.next();
    const next = ticks.next();
    for (const one of bucket.connections) {
      one.push({ type: 'reconnect' });
      one.push({ type: 'disconnect' });
    }
    await expect(next).rejects.toThrow('the connection was lost');
    breaks = true;
    await expect(ticksOf(store).next()).rejects.toThrow('the connection was lost');
    expect([bucket.consumers, bucket.connections.size]).toEqual([0, 0]);
  });

  test('look from time to time whether the bucket is still the same, and no longer than they last', async () => {
    const bucket = new FakeBucket();
    const clock = new VirtualClock();
    let calls = 0;
    const store = natsStore(
      bucket.open(async () => void calls++),
      { clock },
    );
    const ticks = ticksOf(store);
    await ticks.next();
    const next = ticks.next();
    next.catch(() => undefined);
    calls = 0;
    await clock.advance(60_000);
    // Two turns each.
    expect(calls).toBe(8);
    bucket.wipe();
    await clock.advance(15_000);
    await expect(next).rejects.toThrow('the bucket was deleted');
    expect(clock.pending).toBe(0);
    const left = ticksOf(store);
    await left.next();
    expect(clock.pending).toBe(1);
    await left.return?.();
    expect(clock.pending).toBe(0);
  });
});

describe('what is not as it is known', () => {
  const open = (options: FakeOptions) => natsStore(new FakeBucket().open(undefined, options));

  test('a client without what watches, or lists, are built on has none', async () => {
    const noNews = open({ without: 'js' });
    expect(noNews.capabilities).toMatchObject({ watch: false, list: true });
    const state = createState({ store: noNews, initial: () => ({ n: 0 }) });
    await expect(state.watch('key')[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    expect(open({ without: 'jsm' }).capabilities).toMatchObject({ watch: true, list: false });
  });

  test('a client that may read from replicas is made to read from the leader, or refused', async () => {
    const config = { allow_direct: true };
    const reads: unknown[] = [];
    for (const direct of [false, true, undefined]) {
      const kv = new FakeBucket().open(undefined, { config });
      const { get } = kv;
      // As the client does it: by a flag of its own, which is left as it is.
      const bucket = Object.assign(kv, { direct, get: undefined as unknown as NatsKv['get'] });
      bucket.get = function (this: { direct?: boolean }, key) {
        reads.push(this.direct);
        return get(key);
      };
      const store = natsStore(bucket);
      if (direct === undefined) {
        await expect(store.read('key', { signal })).rejects.toMatchObject({
          capability: 'bucket without allow_direct',
        });
      } else {
        await store.read('key', { signal });
        expect((bucket as { direct?: boolean }).direct).toBe(direct);
      }
    }
    expect(new Set(reads)).toEqual(new Set([false]));
    const kv = Object.assign(new FakeBucket().open(), { direct: undefined });
    expect(await natsStore(kv).read('key', { signal })).toBe(undefined);
  });

  test('a codec for keys is refused', async () => {
    const kv = new FakeBucket().open();
    const { get } = kv;
    kv.get = async (key) => {
      const entry = await get(key);
      return entry && { ...entry, rawKey: 'c3RhdGU=' };
    };
    await expect(natsStore(kv).read('key', { signal })).rejects.toMatchObject({
      capability: 'bucket without a codec for keys',
    });
  });

  test('a kv that lacks a method is refused at once', () => {
    const kv = new FakeBucket().open();
    for (const method of ['get', 'put', 'purge', 'watch', 'status'] as const) {
      expect(() => natsStore({ ...kv, [method]: 7 as never })).toThrow(`kv.${method} must be a function, but is 7`);
    }
    expect(() => natsStore(undefined as never)).toThrow('kv.get must be a function, but is undefined');
  });
});

describe('errors of a write', () => {
  const named = (name: string, message = name): Error => Object.assign(new Error(message), { name });
  const coded = (code: number, message = 'sorry'): Error => Object.assign(new Error(message), { code });
  const failing = async (error: Error, replicas = 1): Promise<VersionedStore> => {
    const bucket = new FakeBucket();
    await natsStore(bucket.open()).read('key', { signal });
    const kv = bucket.open();
    const { status } = kv;
    kv.status = async () => ({ ...(await status()), replicas });
    kv.put = () => Promise.reject(error);
    return natsStore(kv);
  };

  test.each([
    ['nobody listens', named('JetStreamNotEnabled'), 3, true],
    ['the bucket is full', coded(10_077, 'maximum bytes exceeded'), 3, true],
    ['no room on one server', coded(10_023), 1, true],
    ['no room on one of three', coded(10_023), 3, undefined],
    ['the disk fails', coded(10_077, 'error opening msg block file'), 1, undefined],
    ['no answer in time', named('TimeoutError', 'timeout'), 1, undefined],
    ['closed while it was under way', named('ClosedConnectionError'), 1, undefined],
    ['too large for the client', named('InvalidArgumentError', "'payload' max_payload size exceeded"), 3, true],
    ['too large for the bucket', coded(10_054), 3, true],
  ])('%s', async (_, error, replicas, definite) => {
    const store = await failing(error, replicas);
    const thrown = await store.write('key', '1', undefined, { signal }).catch((error) => error);
    expect(thrown).toBeInstanceOf(Error);
    expect(thrown.definite).toBe(definite);
    expect([thrown, thrown.cause]).toContain(error);
  });

  test('a conflict is none, by either of its numbers', async () => {
    for (const error of [wrongSequence(), coded(10_164)]) {
      const store = await failing(error);
      expect(await store.write('key', '1', undefined, { signal })).toEqual({ conflict: true });
    }
  });

  test('a first look that fails wrote nothing, and is done again', async () => {
    const kv = new FakeBucket().open();
    const { status } = kv;
    kv.status = () => Promise.reject(new Error('timeout'));
    const store = natsStore(kv);
    await expect(store.write('key', '1', undefined, { signal })).rejects.toMatchObject({ definite: true });
    kv.status = status;
    expect(await store.write('key', '1', undefined, { signal })).toHaveProperty('revision');
  });
});
