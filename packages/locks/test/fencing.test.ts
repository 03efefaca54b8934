import { VirtualClock } from '@chunks/base/testing';
import { assertFresh, FencingGuard, KeyedMutex, type LocalLock, StaleTokenError } from '@chunks/locks';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

describe('tokens', () => {
  it('rise strictly with each exclusive grant, also within a millisecond, over mutexes and after a step back in time', () => {
    const step = fc.record({
      mutex: fc.nat(3),
      key: fc.constantFrom('a', 'b'),
      jumpMs: fc.integer({ min: -5, max: 5 }),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const clock = new VirtualClock();
        let last = 0;
        const mutexes = Array.from({ length: 4 }, () => new KeyedMutex({ clock }));
        for (const { mutex, key, jumpMs } of steps) {
          clock.jump(jumpMs);
          const lock = mutexes[mutex]?.tryAcquire(key) as LocalLock;
          expect(lock.token).toBeGreaterThan(last);
          expect(lock.token).toBeGreaterThanOrEqual(clock.now() * 1000);
          expect(Number.isSafeInteger(lock.token)).toBe(true);
          last = lock.token;
          lock.release();
        }
      }),
    );
  });

  it('count from the clock, so that the next process goes on above this one', () => {
    // A clock that is ahead of everything this test file has used.
    const clock = new VirtualClock(1_900_000_000_000.25);
    const token = new KeyedMutex({ clock }).tryAcquire('k')?.token;
    expect(token).toBe(1_900_000_000_000_250);
  });
});

describe('FencingGuard and assertFresh', () => {
  it('refuse exactly the tokens below the highest one before, per key', () => {
    const write = fc.record({ key: fc.constantFrom('a', 'b'), token: fc.nat(10), forget: fc.boolean() });
    fc.assert(
      fc.property(fc.array(write), (writes) => {
        const guard = new FencingGuard();
        const stored = new Map<string, number>();
        for (const { key, token, forget } of writes) {
          const storedToken = stored.get(key);
          if (storedToken !== undefined && token < storedToken) {
            const refusal = expect.objectContaining({ code: 'LOCK_STALE_TOKEN', key, token, storedToken });
            expect(() => guard.admit(key, token)).toThrow(refusal);
            expect(() => assertFresh(key, storedToken, token)).toThrow(StaleTokenError);
          } else {
            guard.admit(key, token);
            assertFresh(key, storedToken, token);
            stored.set(key, token);
          }
          if (!forget) continue;
          guard.forget(key);
          stored.delete(key);
        }
      }),
    );
  });

  it('refuse what is no token', () => {
    for (const token of [Number.NaN, -1, 1.5, '7' as unknown as number]) {
      expect(() => new FencingGuard().admit('k', token)).toThrow(/token must be/);
      expect(() => assertFresh('k', token, 7)).toThrow(/storedToken must be/);
    }
    expect(() => assertFresh('', 1, 2)).toThrow(/key must be/);
  });

  it('keep an old holder’s late write out', async () => {
    const clock = new VirtualClock();
    const locks = new KeyedMutex({ clock, leaseMs: 10 });
    const guard = new FencingGuard();
    const old = await locks.acquire('k');
    await clock.advance(10);
    const next = await locks.acquire('k');
    guard.admit('k', next.token);
    expect(() => guard.admit('k', old.token)).toThrow(StaleTokenError);
  });
});
