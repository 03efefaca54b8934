import { type LeaseDriver, leaseLocker, memoryLeases } from '@chunks/locks/lease';
import { type LockerBench, lockerContract, VirtualClock } from '@chunks/locks/testing';
import { describe, test } from 'vitest';
import { bare } from '../lease-model.ts';

const bench = (alter: (driver: LeaseDriver) => LeaseDriver): LockerBench => {
  const clock = new VirtualClock();
  const driver = alter(memoryLeases({ clock }));
  return { open: (options) => leaseLocker(driver, { ...options, clock }), pass: (ms) => clock.advance(ms) };
};

const slow = async <T>(answer: Promise<T>): Promise<T> => {
  for (let turn = 0; turn < 5; turn++) await null;
  return answer;
};

const late = (driver: LeaseDriver): LeaseDriver => ({
  name: 'late',
  modes: driver.modes,
  acquire: (...call) => slow(driver.acquire(...call)),
  renew: (...call) => slow(driver.renew(...call)),
  release: (...call) => slow(driver.release(...call)),
  inspect: async (key) => driver.inspect?.(key),
  watch: (...call) => slow(driver.watch?.(...call) as Promise<() => void>),
});

describe.each([
  ['in memory', (driver: LeaseDriver) => driver, true],
  ['on a driver that takes its time', late, true],
  ['on a driver that does no more than it must', bare, true],
])('a lease locker %s is a locker', (_, alter, shared) => {
  for (const { name, run } of lockerContract(() => bench(alter), { shared })) test(name, run);
});
