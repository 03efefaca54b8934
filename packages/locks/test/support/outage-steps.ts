import type { FaultProxy, VirtualClock } from '@chunks/base/testing';
import { type LeaseDriver, type LeaseRenewal, leaseLocker } from '@chunks/locks/lease';
import { expect } from 'vitest';
import type { OwnServer } from '../../../../.ci/testing/own-server.ts';
import { ask, LONG_MS, take, takeInTheEnd, until, watching } from './lease-steps.ts';

// What every driver with a server behind it goes through, step by step. The first driver of each is the one that the
// trouble happens to, the other one sees what became of it.

/** Cut before the acquire arrives: an error, and the key is free. */
export async function cutEarly(driver: LeaseDriver, other: LeaseDriver, proxy: FaultProxy, key: string): Promise<void> {
  // What the client sends at first is sent: the next message is the acquire itself.
  await take(driver, `${key} before`, 'a');
  proxy.cutNext('request', `${key} here`);
  await expect(take(driver, `${key} here`, 'a')).rejects.toThrow(Error);
  expect([proxy.hasCut, await other.inspect?.(`${key} here`)]).toEqual([true, undefined]);
  expect(await takeInTheEnd(driver, `${key} here`, 'a')).toBeGreaterThan(0);
}

/**
 * Cut after each call was carried out: an error, and asked again the holder gets the same token.
 * @param renewal what a renewal says once somebody else has asked
 */
export async function loseReplies(
  [driver, other]: readonly [LeaseDriver, LeaseDriver],
  proxy: FaultProxy,
  name: string,
  renewal: LeaseRenewal,
): Promise<void> {
  const key = `${name} here`;
  await take(driver, `${name} before`, 'a');
  proxy.cutNext('reply', key);
  await expect(take(driver, key, 'a')).rejects.toThrow(Error);
  expect(proxy.hasCut).toBe(true);
  // Neither free nor lost: it is ours, only we do not know.
  expect(await ask(other, key, 'b')).toMatchObject({ busy: true, holder: 'a' });
  const token = await takeInTheEnd(driver, key, 'a');
  expect(await driver.renew(key, 'a', token, LONG_MS)).toEqual(renewal);

  proxy.cutNext('reply', key);
  await expect(driver.renew(key, 'a', token, 10 * LONG_MS)).rejects.toThrow(Error);
  expect((await other.inspect?.(key))?.expiresInMs).toBeGreaterThan(9 * LONG_MS);
  expect(await takeInTheEnd(driver, key, 'a')).toBe(token);

  proxy.cutNext('reply', key);
  await expect(driver.release(key, 'a', token)).rejects.toThrow(Error);
  expect(await other.inspect?.(key)).toBeUndefined();
  expect(await take(other, key, 'b')).toBeGreaterThan(token);
}

/** The server is away: every call says so. */
export async function refuseAll(driver: LeaseDriver, mine: number): Promise<void> {
  await expect(ask(driver, 'theirs', 'a')).rejects.toThrow(Error);
  await expect(driver.renew('mine', 'a', mine, LONG_MS)).rejects.toThrow(Error);
  await expect(driver.release('mine', 'a', mine)).rejects.toThrow(Error);
  await expect(driver.inspect?.('mine')).rejects.toThrow(Error);
}

/**
 * Busy, lost and unreachable, as lockers tell them.
 * @param wipe makes the server forget all leases
 */
export async function tellApart(
  drivers: readonly [LeaseDriver, LeaseDriver],
  server: OwnServer,
  wipe: () => Promise<unknown>,
): Promise<void> {
  const [mine, theirs] = [leaseLocker(drivers[0]), leaseLocker(drivers[1])];
  const lock = await theirs.acquire('key');
  await expect(mine.acquire('key', { timeoutMs: 50 })).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
  await wipe();
  await expect(lock.extend()).rejects.toMatchObject({ code: 'LOCK_LOST' });
  expect(lock.held).toBe(false);
  await server.kill();
  await expect(mine.acquire('key')).rejects.toMatchObject({ code: 'LOCK_UNAVAILABLE', cause: expect.any(Error) });
  await server.start();
  await until(
    () =>
      mine
        .run('key', () => true)
        .catch((error: { code?: string }) => {
          expect(error.code).toBe('LOCK_UNAVAILABLE');
          return false;
        }),
    'a lock after the outage',
  );
  await Promise.all([mine.close(), theirs.close()]);
}

/** @param listeners how many connections listen, as the server has it */
export async function hearOnOneConnection(
  driver: LeaseDriver,
  clock: VirtualClock,
  listeners: () => Promise<number>,
): Promise<void> {
  expect(await listeners()).toBe(0);
  const heard = await Promise.all(Array.from({ length: 50 }, (_, i) => watching(driver, `key ${i}`)));
  expect(await listeners()).toBe(1);
  for (const { stop } of heard) stop();
  await clock.advance(1_000);
  await until(async () => (await listeners()) === 0, 'the end of the connection');
  await watching(driver, 'again');
  expect(await listeners()).toBe(1);
  await driver.close?.();
  await until(async () => (await listeners()) === 0, 'the end of the connection');
}

/** The connection that listens breaks: everybody is woken once, and it heals with the next busy answer. */
export async function breakWatches(
  [driver, other]: readonly [LeaseDriver, LeaseDriver],
  proxy: FaultProxy,
  listeners: () => Promise<number>,
  whileBroken: () => Promise<void> = async () => undefined,
): Promise<void> {
  const token = await take(other, 'broken', 'a');
  const heard = [await watching(driver, 'broken'), await watching(driver, 'another')];
  proxy.breakAll();
  await until(() => heard.every(({ wakes }) => wakes === 1), 'a wake for everybody');
  await whileBroken();
  await until(
    () =>
      ask(driver, 'broken', 'b').then(
        (answer) => 'busy' in answer,
        () => false,
      ),
    'a busy answer',
  );
  // Woken again once it is back: nobody told what happened meanwhile.
  await until(() => heard.every(({ wakes }) => wakes === 2), 'a wake for what was missed');
  expect(await listeners()).toBe(1);
  expect(await other.release('broken', 'a', token)).toBe(true);
  await until(() => heard[0]?.wakes === 3, 'the wake');
  expect(heard[1]?.wakes).toBe(2);
}
