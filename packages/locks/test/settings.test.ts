import { VirtualClock } from '@chunks/base/testing';
import { type AcquireOptions, KeyedMutex, type KeyedMutexOptions } from '@chunks/locks';
import { describe, expect, it } from 'vitest';

// What the caller wrote, which error, and what its message must name.
const badOptions: [unknown, typeof RangeError | typeof TypeError, RegExp][] = [
  [{ timeoutMs: Number.NaN }, RangeError, /timeoutMs.*≥ 0.*NaN/],
  [{ timeoutMs: -1 }, RangeError, /timeoutMs.*≥ 0.*-1/],
  [{ timeoutMs: '500' }, TypeError, /timeoutMs.*number.*"500"/],
  [{ leaseMs: Number.NaN }, RangeError, /leaseMs.*≥ 1.*NaN/],
  [{ leaseMs: 0 }, RangeError, /leaseMs.*≥ 1.*0/],
  [{ leaseMs: -5 }, RangeError, /leaseMs.*≥ 1.*-5/],
  [{ maxHoldMs: 0 }, RangeError, /maxHoldMs.*≥ 1.*0/],
  [{ maxHoldMs: Number.NaN }, RangeError, /maxHoldMs.*≥ 1.*NaN/],
  [{ mode: 'both' }, RangeError, /mode.*"exclusive", "shared".*"both"/],
  [{ owner: 7 }, TypeError, /owner.*string.*7/],
  [{ signal: new AbortController() }, TypeError, /signal.*AbortSignal.*AbortController/],
  [{ signal: null }, TypeError, /signal must be an AbortSignal, but is null/],
  [{ signal: 5 }, TypeError, /signal must be an AbortSignal, but is 5/],
];
const badRetries: [unknown, typeof RangeError | typeof TypeError, RegExp][] = [
  [{ retry: { attempts: 0 } }, RangeError, /retry\.attempts.*≥ 1.*0/],
  [{ retry: { attempts: 1.5 } }, RangeError, /retry\.attempts.*integer.*1\.5/],
  [{ retry: {} }, TypeError, /retry\.attempts.*number.*undefined/],
  [{ retry: { attempts: 2, baseMs: -1 } }, RangeError, /retry\.baseMs.*≥ 0.*-1/],
  [{ retry: { attempts: 2, maxMs: Number.NaN } }, RangeError, /retry\.maxMs.*≥ 0.*NaN/],
];
const badSettings: [unknown, typeof RangeError | typeof TypeError, RegExp][] = [
  ...badOptions.slice(0, 6),
  [{ maxWaiting: -1 }, RangeError, /maxWaiting.*≥ 0.*-1/],
  [{ maxWaiting: 0.5 }, RangeError, /maxWaiting.*integer.*0\.5/],
  [{ onExpired: 'ignore' }, RangeError, /onExpired.*"reclaim", "report".*"ignore"/],
  [{ random: 4 }, TypeError, /random.*function.*4/],
  [{ deadlocks: {} }, TypeError, /deadlocks\.claim must be a function, but is undefined/],
  [{ deadlocks: null }, TypeError, /deadlocks\.claim must be a function, but is undefined/],
];

describe('bad input is refused by an error that names option, rule and value, and changes nothing', () => {
  for (const [options, kind, message] of badSettings) {
    it(`new KeyedMutex: ${message.source}`, () => {
      const make = (): KeyedMutex => new KeyedMutex(options as KeyedMutexOptions);
      expect(make).toThrow(kind);
      expect(make).toThrow(message);
    });
  }

  for (const [options, kind, message] of [...badOptions, ...badRetries]) {
    it(`acquire, acquireAll, run, runAll: ${message.source}`, async () => {
      const locks = new KeyedMutex({ clock: new VirtualClock() });
      const bad = options as AcquireOptions;
      const task = (): never => expect.unreachable();
      for (const call of [
        locks.acquire('k', bad),
        locks.acquireAll(['k'], bad),
        locks.run('k', task, bad),
        locks.runAll(['k'], task, bad),
      ]) {
        const error = await call.catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(kind);
        expect((error as Error).message).toMatch(message);
      }
      expect(locks.stats()).toMatchObject({ activeLocks: 0, acquired: 0 });
    });
  }

  for (const [options, kind, message] of badOptions.slice(3)) {
    it(`tryAcquire: ${message.source}`, () => {
      const locks = new KeyedMutex({ clock: new VirtualClock() });
      expect(() => locks.tryAcquire('k', options as AcquireOptions)).toThrow(kind);
      expect(() => locks.tryAcquire('k', options as AcquireOptions)).toThrow(message);
    });
  }

  it('keys and tasks', async () => {
    const locks = new KeyedMutex({ clock: new VirtualClock() });
    for (const [key, kind, message] of [
      ['', RangeError, /key must be a non-empty string, but is ""/],
      [undefined, TypeError, /key must be a string, but is undefined/],
      [7, TypeError, /key must be a string, but is 7/],
    ] as [string, typeof RangeError, RegExp][]) {
      await expect(locks.acquire(key)).rejects.toThrow(message);
      await expect(locks.acquire(key)).rejects.toThrow(kind);
      await expect(locks.run(key, () => 1)).rejects.toThrow(message);
      expect(() => locks.tryAcquire(key)).toThrow(message);
      expect(() => locks.isLocked(key)).toThrow(message);
      await expect(locks.acquireAll(['a', key])).rejects.toThrow(kind);
    }
    await expect(locks.acquireAll('abc')).rejects.toThrow(/keys must be an iterable of strings, but is "abc"/);
    await expect(locks.run('k', 7 as never)).rejects.toThrow(/task must be a function, but is 7/);
    await expect(locks.runAll(['k'], undefined as never)).rejects.toThrow(/task must be a function/);
    expect(() => locks.on('acquired', 7 as never)).toThrow(/listener must be a function/);
    expect(locks.snapshot().held).toEqual([]);
  });
});

describe('defaults', () => {
  it('are the locker’s, then the documented ones', async () => {
    const clock = new VirtualClock();
    const lock = await new KeyedMutex({ clock }).acquire('k');
    expect(lock).toMatchObject({ mode: 'exclusive', owner: '', expiresAtMs: clock.now() + 30_000 });
    const locks = new KeyedMutex({ clock, leaseMs: 10, timeoutMs: 5 });
    expect((await locks.acquire('k', { timeoutMs: undefined })).expiresAtMs).toBe(clock.now() + 10);
    const end = locks.acquire('k').catch(({ waitedMs }) => waitedMs);
    await clock.advance(5);
    expect(await end).toBe(5);
  });
});
