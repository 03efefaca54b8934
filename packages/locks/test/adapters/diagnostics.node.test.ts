import { AsyncLocalStorage } from 'node:async_hooks';
import { channel, tracingChannel } from 'node:diagnostics_channel';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { settle, VirtualClock } from '@chunks/base/testing';
import { KeyedMutex, type Locker } from '@chunks/locks';
import { deadlockDetector } from '@chunks/locks/deadlock';
import { type PublishLocksOptions, publishLocks } from '@chunks/locks/diagnostics';
import { leaseLocker, memoryLeases } from '@chunks/locks/lease';
import { context, trace } from '@opentelemetry/api';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { AsyncContexts, spansOfLocks } from './diagnostics/spans.ts';

const EVENTS = ['queued', 'acquired', 'released', 'timeout', 'aborted', 'rejected', 'expired', 'lost'] as const;
const STEPS = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const;

const offs: (() => void)[] = [];
afterEach(() => {
  for (const off of offs.splice(0)) off();
});

/** Subscribes until the test is over. */
function hear(name: string, listener: (message: never) => void): void {
  const on = listener as (message: unknown) => void;
  channel(name).subscribe(on);
  offs.push(() => channel(name).unsubscribe(on));
}

const publish = (locker: Pick<Locker, 'on'>, options?: PublishLocksOptions): void => {
  offs.push(publishLocks(locker, options));
};

describe('events', () => {
  it('are published as they are told, with the locker they are of', async () => {
    const clock = new VirtualClock(1_000);
    const locks = new KeyedMutex({ clock, maxWaiting: 3 });
    const told: unknown[] = [];
    const published: unknown[] = [];
    for (const event of EVENTS) {
      locks.on(event, (about: object) => told.push({ event, locker: 'chunks', ...about }));
      hear(`chunks:locks:${event}`, (message: object) => published.push({ event, ...message }));
    }
    publish(locks, { name: 'chunks' });
    const controller = new AbortController();
    const first = await locks.acquire('k', { leaseMs: 100 });
    const calls = [
      locks.acquire('k', { timeoutMs: 5 }),
      locks.acquire('k', { signal: controller.signal }),
      locks.acquire('k', { leaseMs: 10 }),
      locks.acquire('k'),
    ];
    const settled = Promise.allSettled(calls);
    await clock.advance(5);
    controller.abort();
    first.release();
    await clock.advance(10);
    await settled;
    expect(published).toEqual(told);
    expect(new Set(published.map((one) => (one as { event: string }).event))).toEqual(new Set(EVENTS));
  });

  it('of several lockers share the channels, and stop one by one', async () => {
    const published: unknown[] = [];
    hear('chunks:locks:acquired', ({ locker, key }: { locker: string; key: string }) => published.push([locker, key]));
    const [one, other] = [new KeyedMutex(), new KeyedMutex()];
    const off = publishLocks(one, { name: 'one' });
    publish(other);
    one.tryAcquire('a');
    other.tryAcquire('b');
    off();
    off();
    one.tryAcquire('c');
    other.tryAcquire('d');
    expect(published).toEqual([
      ['one', 'a'],
      ['', 'b'],
      ['', 'd'],
    ]);
  });

  it('bad input is refused by an error that names option, rule and value', () => {
    const locks = new KeyedMutex();
    expect(() => publishLocks(undefined as never)).toThrow('locker.on must be a function, but is undefined');
    expect(() => publishLocks(locks, { name: 5 as never })).toThrow('name must be a string, but is 5');
  });

  it("are the program's own fault where a subscriber throws: it surfaces, and the lock goes on", async () => {
    const locks = new KeyedMutex();
    publish(locks);
    hear('chunks:locks:acquired', () => {
      throw new Error('of a subscriber');
    });
    const uncaught = new Promise((resolve) => process.once('uncaughtException', resolve));
    const before = process.listeners('uncaughtException');
    for (const listener of before.slice(0, -1)) process.off('uncaughtException', listener);
    expect(locks.tryAcquire('k')?.release()).toBe(true);
    expect(await uncaught).toEqual(new Error('of a subscriber'));
    for (const listener of before.slice(0, -1)) process.on('uncaughtException', listener);
  });
});

describe('traces', () => {
  /** Every step, with the context it was published in. */
  const record = (who: AsyncLocalStorage<string>): string[] => {
    const log: string[] = [];
    for (const what of ['wait', 'hold']) {
      for (const step of STEPS) {
        hear(`tracing:chunks:locks:${what}:${step}`, ({ owner, outcome }: { owner: string; outcome?: string }) => {
          log.push([what, step, owner, outcome, `in ${who.getStore()}`].filter(Boolean).join(' '));
        });
      }
    }
    return log;
  };

  it('begin and end in the context of who asked, whoever released, aborted, or let the time pass', async () => {
    const who = new AsyncLocalStorage<string>();
    const log = record(who);
    const clock = new VirtualClock();
    const locks = new KeyedMutex({ clock });
    publish(locks);
    const controller = new AbortController();
    const ask = (owner: string, options = {}): ReturnType<KeyedMutex['acquire']> =>
      who.run(owner, () => locks.acquire('k', { owner, ...options }));
    const first = await ask('A');
    const second = ask('B', { leaseMs: 5 });
    const gone = [ask('C', { timeoutMs: 2 }), ask('D', { signal: controller.signal })];
    for (const one of gone) one.catch(() => undefined);
    await clock.advance(2);
    controller.abort();
    who.run('somebody', () => first.release());
    await clock.advance(5);
    await second;
    const both = (what: string, owner: string): string[] =>
      ['start', 'end'].map((step) => `${what} ${step} ${owner} in ${owner}`);
    const ended = (what: string, owner: string, outcome: string, failed = false): string[] =>
      [...(failed ? ['error'] : []), 'asyncStart', 'asyncEnd'].map(
        (step) => `${what} ${step} ${owner} ${outcome} in ${owner}`,
      );
    expect(log).toEqual([
      ...both('hold', 'A'),
      ...both('wait', 'B'),
      ...both('wait', 'C'),
      ...both('wait', 'D'),
      ...ended('wait', 'C', 'timeout', true),
      ...ended('wait', 'D', 'aborted', true),
      ...ended('hold', 'A', 'released'),
      ...ended('wait', 'B', 'acquired'),
      ...both('hold', 'B'),
      ...ended('hold', 'B', 'lost', true),
    ]);
  });

  it('are one object from beginning to end, and say how it ended', async () => {
    const clock = new VirtualClock(1_000);
    const deadlocks = deadlockDetector();
    const locks = new KeyedMutex({ clock, deadlocks });
    publish(locks, { name: 'files' });
    const [begun, ended]: [object[], object[]] = [[], []];
    for (const what of ['wait', 'hold']) {
      hear(`tracing:chunks:locks:${what}:start`, (message: object) => begun.push(message));
      hear(`tracing:chunks:locks:${what}:asyncEnd`, (message: object) => ended.push(message));
    }
    const first = await locks.acquire('k');
    const waits = [locks.acquire('k', { timeoutMs: 3, owner: 'late' }), locks.acquire('k', { mode: 'shared' })];
    waits[0]?.catch(() => undefined);
    await clock.advance(4);
    first.release();
    const second = await waits[1];
    void locks.close();
    await clock.advance(1);
    second?.release();
    const about = { locker: 'files', key: 'k', mode: 'exclusive', owner: '' };
    expect(ended).toEqual([
      {
        ...about,
        owner: 'late',
        attempt: 2,
        startMs: 1_000,
        endMs: 1_003,
        outcome: 'timeout',
        error: expect.objectContaining({ code: 'LOCK_TIMEOUT', waitedMs: 3 }),
      },
      { ...about, attempt: 1, startMs: 1_000, endMs: 1_004, token: first.token, waitedMs: 0, outcome: 'released' },
      { ...about, mode: 'shared', attempt: 3, startMs: 1_000, endMs: 1_004, outcome: 'acquired' },
      {
        ...about,
        mode: 'shared',
        attempt: 3,
        startMs: 1_004,
        endMs: 1_005,
        token: second?.token,
        waitedMs: 4,
        outcome: 'released',
      },
    ]);
    expect(new Set(begun)).toEqual(new Set(ended));
    for (const one of ended) expect(begun.includes(one)).toBe(true);
  });

  it('end for every wait and hold that began, each once, over any number of locks of any kind', async () => {
    const use = fc.record({
      key: fc.constantFrom('a', 'b'),
      mode: fc.constantFrom('exclusive' as const, 'shared' as const),
      timeoutMs: fc.option(fc.nat(9), { nil: undefined }),
      leaseMs: fc.integer({ min: 1, max: 20 }),
      workMs: fc.nat(9),
      aborts: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(use, { maxLength: 30 }), fc.nat(40), fc.boolean(), async (uses, closeMs, leased) => {
        const clock = new VirtualClock();
        const locker: Locker = leased
          ? leaseLocker(memoryLeases({ clock }), { clock, maxWaiting: 10, random: () => 0.5 })
          : new KeyedMutex({ clock, maxWaiting: 10 });
        const steps = new Map<object, string[]>();
        const mine: (() => void)[] = [];
        for (const what of ['wait', 'hold']) {
          for (const step of STEPS) {
            const on = (message: unknown): void => {
              const { outcome = '', error } = message as { outcome?: string; error?: unknown };
              const seen = steps.get(message as object) ?? [];
              steps.set(message as object, [...seen, `${what} ${step} ${outcome}${error === undefined ? '' : ' !'}`]);
            };
            channel(`tracing:chunks:locks:${what}:${step}`).subscribe(on);
            mine.push(() => channel(`tracing:chunks:locks:${what}:${step}`).unsubscribe(on));
          }
        }
        mine.push(publishLocks(locker));
        for (const { workMs, aborts, ...options } of uses) {
          const signal = aborts ? AbortSignal.abort() : undefined;
          const late = new AbortController();
          void clock.sleep(workMs).then(() => aborts && late.abort());
          locker.acquire(options.key, { ...options, signal: workMs === 0 ? signal : late.signal }).then(
            (lock) => clock.sleep(workMs).then(() => lock.release()),
            () => undefined,
          );
        }
        await clock.advance(closeMs);
        const closed = locker.close();
        await clock.advance(1_000);
        await closed;
        for (const off of mine) off();
        const { acquired } = locker.stats();
        const whole = [...steps.values()].map((one) => one.join(', '));
        const fine =
          /^wait start , wait end , (wait asyncStart acquired, wait asyncEnd acquired|wait error (timeout|aborted|rejected) !, wait asyncStart \2 !, wait asyncEnd \2 !)$|^hold start , hold end , (hold asyncStart released, hold asyncEnd released|hold error lost !, hold asyncStart lost !, hold asyncEnd lost !)$/;
        for (const one of whole) expect(one).toMatch(fine);
        expect(whole.filter((one) => one.startsWith('hold')).length).toBe(acquired);
      }),
      { numRuns: 300 },
    );
  });

  it('are not told of what began before somebody subscribed, and build up nothing where nobody has', async () => {
    const who = new AsyncLocalStorage<string>();
    const locks = new KeyedMutex();
    publish(locks);
    const first = locks.tryAcquire('k');
    const second = locks.acquire('k');
    const log = record(who);
    first?.release();
    (await second).release();
    // The second hold began when somebody listened already.
    expect(log.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      'hold start',
      'hold end',
      'hold asyncStart',
      'hold asyncEnd',
    ]);
  });

  it('are forgotten once they have ended', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const traces: WeakRef<object>[] = [];
    for (const what of ['wait', 'hold']) {
      hear(`tracing:chunks:locks:${what}:start`, (message: object) => traces.push(new WeakRef(message)));
    }
    const clock = new VirtualClock();
    const locks = new KeyedMutex({ clock });
    publish(locks);
    for (let i = 0; i < 300; i++) {
      const held = locks.run('k', () => clock.sleep(5));
      const waits = [locks.run('k', () => undefined), locks.acquire('k', { timeoutMs: 2 })];
      const lost = locks.acquire('other', { leaseMs: 1 });
      const settled = Promise.allSettled([held, ...waits, lost]);
      await clock.advance(10);
      await settled;
    }
    expect(traces).toHaveLength(300 * 5);
    await setImmediate();
    collect();
    expect(traces.filter((one) => one.deref() !== undefined).length).toBeLessThan(10);
  });
});

describe('OpenTelemetry', () => {
  it('has a span for each wait and each hold, with its attributes, times and parent', async () => {
    const exporter = new InMemorySpanExporter();
    const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
    const contexts = new AsyncContexts();
    context.setGlobalContextManager(contexts);
    offs.push(() => context.disable());
    const tracer = provider.getTracer('test');
    offs.push(spansOfLocks(tracer));
    const clock = new VirtualClock();
    const locks = new KeyedMutex({ clock, deadlocks: deadlockDetector() });
    publish(locks, { name: 'files' });
    const request = (name: string, options = {}): Promise<unknown> =>
      tracer.startActiveSpan(name, async (span) => {
        await locks.run('video-7', () => clock.sleep(10), { owner: name, ...options }).catch(() => undefined);
        span.end();
      });
    const all = [request('GET /1'), request('PUT /2'), request('GET /3', { mode: 'shared', timeoutMs: 15 })];
    await clock.advance(100);
    await Promise.all(all);
    await provider.forceFlush();
    const spans = exporter.getFinishedSpans();
    const roots = new Map(
      spans.filter((span) => span.name.includes('/')).map((span) => [span.spanContext().spanId, span.name]),
    );
    const ms = ([s, ns]: [number, number]): number => s * 1e3 + ns / 1e6;
    const startMs = clock.now() - 100;
    const seen = spans
      .filter((span) => span.name.startsWith('lock.'))
      .map((span) => [
        roots.get(span.parentSpanContext?.spanId ?? ''),
        span.name,
        Math.round(ms(span.startTime) - startMs),
        Math.round(ms(span.endTime) - startMs),
        span.attributes['lock.outcome'],
        span.status.code,
      ]);
    expect(seen).toEqual([
      ['GET /1', 'lock.hold', 0, 10, 'released', 0],
      ['PUT /2', 'lock.wait', 0, 10, 'acquired', 0],
      ['GET /3', 'lock.wait', 0, 15, 'timeout', 2],
      ['PUT /2', 'lock.hold', 10, 20, 'released', 0],
    ]);
    expect(spans.find((span) => span.name === 'lock.wait')?.attributes).toEqual({
      'lock.locker': 'files',
      'lock.key': 'video-7',
      'lock.mode': 'exclusive',
      'lock.owner': 'PUT /2',
      'lock.outcome': 'acquired',
    });
    expect(trace.getActiveSpan()).toBe(undefined);
  });

  it("subscribes by node's tracingChannel, too", async () => {
    const locks = new KeyedMutex();
    publish(locks);
    const log: string[] = [];
    const on = (step: string) => (): void => void log.push(step);
    const subscribers = {
      start: on('start'),
      end: on('end'),
      asyncStart: on('asyncStart'),
      asyncEnd: on('asyncEnd'),
      error: on('error'),
    };
    const channels = tracingChannel('chunks:locks:hold');
    channels.subscribe(subscribers);
    offs.push(() => channels.unsubscribe(subscribers));
    await locks.run('k', () => settle());
    expect(log).toEqual(['start', 'end', 'asyncStart', 'asyncEnd']);
  });
});
