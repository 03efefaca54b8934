import {
  DeadlockError,
  isLockError,
  LockClosedError,
  LockError,
  LockLostError,
  LockModeError,
  LockTimeoutError,
  LockUnavailableError,
  QueueFullError,
  StaleTokenError,
} from '@chunks/locks';
import { expect, it } from 'vitest';

it('isLockError knows this package’s errors and no others; each names its key, code and class', () => {
  const errors = [
    [
      new LockTimeoutError('k', 5, { owner: 'A', heldMs: 9 }),
      'LOCK_TIMEOUT',
      /"k" was not free within 5 ms \(held for 9 ms by "A"\)/,
    ],
    [new LockTimeoutError('k', 5, undefined), 'LOCK_TIMEOUT', /"k" was not free within 5 ms$/],
    [new LockLostError('k', { cause: 1 }), 'LOCK_LOST', /"k" is not ours any more/],
    [new LockClosedError('k'), 'LOCK_CLOSED', /closed/],
    [
      new LockUnavailableError('k', 'redis', new Error('why')),
      'LOCK_UNAVAILABLE',
      /"k": no answer from the store "redis": why$/,
    ],
    [new LockUnavailableError('k', 'redis', undefined), 'LOCK_UNAVAILABLE', /"redis"$/],
    [new LockModeError('k', 'shared', 'redis'), 'LOCK_MODE_UNSUPPORTED', /"redis" has no shared leases/],
    [new DeadlockError('k', [{ owner: 'A', holds: 'x', wants: 'k' }]), 'LOCK_DEADLOCK', /"A" holds "x" and wants "k"/],
    [new QueueFullError('k', 3), 'LOCK_QUEUE_FULL', /maxWaiting \(3\)/],
    [new StaleTokenError('k', 1, 2), 'LOCK_STALE_TOKEN', /token 2 already, 1 is older/],
  ] as const;
  for (const [error, code, message] of errors) {
    expect(isLockError(error)).toBe(true);
    expect(error).toBeInstanceOf(LockError);
    expect(error).toMatchObject({ code, key: 'k' });
    expect(error.message).toMatch(message);
    expect(error.name).toBe(error.constructor.name);
  }
  for (const other of [
    new Error('LOCK_TIMEOUT'),
    { code: 'LOCK_TIMEOUT' },
    undefined,
    new DOMException('', 'AbortError'),
  ]) {
    expect(isLockError(other)).toBe(false);
  }
});
