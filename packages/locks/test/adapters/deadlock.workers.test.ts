import { KeyedMutex } from '@chunks/locks';
import { deadlockDetector } from '@chunks/locks/deadlock';
import { expect, test } from 'vitest';

test('on workerd, too, a task that asks for its own key is refused, and two that ask for each other’s', async () => {
  const deadlocks = deadlockDetector();
  const locks = new KeyedMutex({ deadlocks });
  await expect(locks.run('k', () => locks.run('k', () => undefined))).rejects.toMatchObject({ code: 'LOCK_DEADLOCK' });
  const both = (from: string, to: string): Promise<string> =>
    locks.run(from, () => Promise.resolve().then(() => locks.run(to, () => 'done')));
  const outcomes = await Promise.allSettled([both('a', 'b'), both('b', 'a')]);
  expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
});
