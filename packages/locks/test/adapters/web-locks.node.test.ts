import type { LockManager as NodeLockManager } from 'node:worker_threads';
import { deferred } from '@chunks/base';
import { createLockManager, type LockManager } from '@chunks/locks/web-locks';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { runs } from '../../../../.ci/testing/runs.ts';
import { LockQueue } from '../../src/adapters/web-locks/lock-queue.ts';
import { type Program, programs, Run } from './web-locks/programs.ts';

const native = navigator.locks as LockManager;
// It came with Node 24: before that there is nothing to compare with.
const describeBeside = describe.skipIf(native === undefined);
let made = 0;
const nextPrefix = (): string => `chunks ${++made}/`;

afterEach(() => {
  vi.restoreAllMocks();
});

/** What many programs came to, so that nothing is left out by chance. */
class Tally {
  readonly #counts: Record<string, number> = {};

  add(log: readonly string[]): void {
    const all = log.join('\n').matchAll(/without|in, \d \w+|over with|over by \w+|pending \d|held \d/g);
    for (const [match] of all) {
      const what = match.replace(/\d /, '');
      this.#counts[what] = (this.#counts[what] ?? 0) + 1;
    }
  }

  /** Those seen at least so often. */
  often(least: number): string[] {
    return Object.keys(this.#counts)
      .filter((what) => (this.#counts[what] ?? 0) >= least)
      .sort();
  }
}

const SEEN = [
  'held 0',
  'held 1',
  'held 2',
  'in, exclusive',
  'in, shared',
  'over by AbortError',
  'over by EvalError',
  'over by RangeError',
  'over by SyntaxError',
  'over by URIError',
  'over with',
  'pending 0',
  'pending 1',
  'pending 2',
  'without',
];

describeBeside('random programs, on this manager and on Node’s own navigator.locks', () => {
  const tally = new Tally();

  async function compare(program: Program, abortsWaiting: boolean): Promise<void> {
    const theirs = await new Run(native, nextPrefix(), abortsWaiting).play(program);
    const ours = await new Run(createLockManager(), nextPrefix(), abortsWaiting).play(program);
    expect(ours).toEqual(theirs);
    tally.add(ours);
  }

  it('give one log: who is in when, outcomes and query(), each in the same tick', async () => {
    await fc.assert(
      fc.asyncProperty(programs, (program) => compare(program, false)),
      { numRuns: 10_000 },
    );
    expect(tally.often(200)).toEqual(SEEN);
  });

  it('and where aborts meet those who wait, once these stay in the line as they do in Node', async () => {
    vi.spyOn(LockQueue.prototype, 'withdraw').mockImplementation(() => undefined);
    await fc.assert(
      fc.asyncProperty(programs, (program) => compare(program, true)),
      { numRuns: runs(2_000) },
    );
  });
});

describeBeside('arguments', () => {
  const signal = (): AbortSignal => new AbortController().signal;
  const never = (): string => 'entered';
  const odd: [string, () => unknown[]][] = [
    ['none', () => []],
    ['a name alone', () => ['a']],
    ['a name and nothing', () => ['a', undefined]],
    ['a name and null', () => ['a', null]],
    ['options without a callback', () => ['a', {}]],
    ['options and no function', () => ['a', {}, 'b']],
    ['null for options', () => ['a', null, never]],
    ['undefined for options', () => ['a', undefined, never]],
    ['a callback for options', () => ['a', () => 'wrong', never]],
    ['a callback and nothing', () => ['a', never, undefined]],
    ['a text for options', () => ['a', 'b', never]],
    ['a number for options', () => ['a', 5, never]],
    ['a number for a name', () => [5, never]],
    ['an object for a name', () => [{ toString: () => 'a' }, never]],
    ['a symbol for a name', () => [Symbol('a'), never]],
    ['a symbol for a name, and no function', () => [Symbol('a'), 5]],
    ['a name that cannot be had', () => [{ toString: () => signal().throwIfAborted(), valueOf: null }, never]],
    ['an unknown mode', () => ['a', { mode: 'both' }, never]],
    ['null for a mode', () => ['a', { mode: null }, never]],
    ['a mode as an object', () => ['a', { mode: { toString: () => 'shared' } }, never]],
    ['a symbol for a mode', () => ['a', { mode: Symbol('shared') }, never]],
    ['null for a signal', () => ['a', { signal: null }, never]],
    ['false for a signal', () => ['a', { signal: false }, never]],
    ['an object for a signal', () => ['a', { signal: {} }, never]],
    ['a function for a signal', () => ['a', { signal: Object.assign(() => undefined, { aborted: true }) }, never]],
    ['half a signal', () => ['a', { signal: { aborted: false } }, never]],
    ['a wrong signal and a wrong mode', () => ['-a', { signal: 5, mode: 'both' }, never]],
    ['an aborted signal', () => ['a', { signal: AbortSignal.abort() }, never]],
    ['a signal aborted with null', () => ['a', { signal: AbortSignal.abort(null) }, never]],
    ['an aborted signal and all else wrong', () => ['-a', { ...all(), signal: AbortSignal.abort('late') }, never]],
    ['a name with a hyphen and all else wrong', () => ['-a', { ...all(), signal: signal() }, never]],
    ['all options at once', () => ['a', { ...all(), signal: signal() }, never]],
    ['steal and shared', () => ['a', { steal: true, mode: 'shared' }, never]],
    ['steal and a signal', () => ['a', { steal: 'yes', signal: signal() }, never]],
    ['ifAvailable and a signal', () => ['a', { ifAvailable: 1, signal: signal() }, never]],
    ['a hyphen alone', () => ['-', never]],
    ['a hyphen later on', () => ['a-', never]],
    ['an empty name', () => ['', never]],
  ];
  const all = (): object => ({ steal: true, ifAvailable: true, mode: 'shared' });

  /** How it ends, and after how many ticks. */
  async function fateOf(manager: LockManager, args: readonly unknown[]): Promise<string> {
    let fate: string | undefined;
    (manager.request.bind(manager) as (...given: unknown[]) => Promise<unknown>)(...args).then(
      (value) => (fate = `over with ${value}`),
      (error) => (fate = `over by ${error?.name ?? error}, ${error instanceof DOMException}`),
    );
    let ticks = 0;
    for (; fate === undefined; ticks++) await undefined;
    return `${fate} in ${ticks}`;
  }

  it.each(odd)('%s: the same outcome as in Node', async (_, args) => {
    expect(await fateOf(createLockManager(), args())).toBe(await fateOf(native, args()));
  });
});

describeBeside('where it is the standard that is followed, Node still does otherwise', () => {
  const both = [createLockManager(), native];
  const inTurn = async <T>(look: (manager: LockManager, name: string) => Promise<T>): Promise<T[]> => [
    await look(both[0] as LockManager, nextPrefix()),
    await look(both[1] as LockManager, nextPrefix()),
  ];
  const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));
  const holding = async (manager: LockManager, name: string): Promise<number> =>
    (await manager.query()).held.filter((one) => one.name === name).length;

  it('an aborted request has left the line', async () => {
    const found = await inTurn(async (manager, name) => {
      const [controller, hold] = [new AbortController(), deferred<void>()];
      const holder = manager.request(name, { mode: 'shared' }, () => hold.promise);
      const refused = manager.request(name, { signal: controller.signal }, () => undefined).catch(() => undefined);
      let movedUp = false;
      const behind = manager.request(name, { mode: 'shared' }, () => void (movedUp = true));
      controller.abort();
      await refused;
      await turn();
      const waiting = (await manager.query()).pending.filter((one) => one.name === name).length;
      const seen = { movedUp, waiting };
      hold.resolve();
      await Promise.all([holder, behind]);
      return seen;
    });
    expect(found).toEqual([
      { movedUp: true, waiting: 0 },
      { movedUp: false, waiting: 2 },
    ]);
  });

  it('a callback that throws has given the lock back', async () => {
    const found = await inTurn(async (manager, name) => {
      const thrown = manager.request(name, () => {
        throw new RangeError('thrown');
      });
      await thrown.catch(() => undefined);
      return await holding(manager, name);
    });
    expect(found).toEqual([0, 1]);
  });

  it('a promise that is not a native one keeps the lock', async () => {
    const found = await inTurn(async (manager, name) => {
      // biome-ignore lint/suspicious/noThenProperty: it is what is tried.
      void manager.request(name, () => ({ then: () => undefined }));
      await turn();
      return await holding(manager, name);
    });
    expect(found).toEqual([1, 0]);
  });

  it('ten thousand callbacks that return at once follow one another', async () => {
    const found = await inTurn(async (manager, name) => {
      const hold = deferred<void>();
      const holder = manager.request(name, () => hold.promise);
      let entered = 0;
      for (let i = 0; i < 10_000; i++) void manager.request(name, () => void entered++).catch(() => undefined);
      hold.resolve();
      await holder;
      await turn();
      return entered === 10_000;
    });
    expect(found).toEqual([true, false]);
  });
});

describe('its type', () => {
  it('is that of Node’s', async () => {
    const standard: NodeLockManager = createLockManager();
    const value: number = await standard.request('a', { mode: 'shared' }, async () => 7);
    expect(value).toBe(7);
  });
});
