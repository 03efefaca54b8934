import { type LeaseDriver, leaseLocker, memoryLeases } from '@chunks/locks/lease';
import { describe, expect, it } from 'vitest';
import { checkLeaseSettings, checkLeaseTerms } from '../../src/lease/settings.ts';

describe('the options of a lease locker', () => {
  it('have defaults', () => {
    const settings = checkLeaseSettings({});
    expect(settings).toMatchObject({ pollMinMs: 25, pollMaxMs: 500, maxGrants: 64, requestTimeoutMs: 5_000 });
    expect([settings.driftMs(30_000), settings.driftMs(100)]).toEqual([302, 3]);
    expect(checkLeaseSettings({ driftMs: 7 }).driftMs(30_000)).toBe(7);
    // Every lease is renewed, to ten leases where nothing else is said.
    expect(checkLeaseTerms(settings, undefined)).toMatchObject({ leaseMs: 30_000, holdMs: 300_000 });
    expect(checkLeaseTerms(settings, { leaseMs: 50 })).toMatchObject({ leaseMs: 50, holdMs: 500 });
    expect(checkLeaseTerms(settings, { leaseMs: 50, maxHoldMs: 70 })).toMatchObject({ leaseMs: 50, holdMs: 70 });
  });

  it.each([
    [{ driftMs: -1 }, /driftMs/],
    [{ driftMs: Number.NaN }, /driftMs/],
    [{ poll: { minMs: 0, maxMs: 5 } }, /poll\.minMs/],
    [{ poll: { minMs: 10, maxMs: 5 } }, /poll\.maxMs/],
    [{ handOff: { maxGrants: 0 } }, /handOff\.maxGrants/],
    [{ handOff: { maxGrants: 128 } }, /handOff\.maxGrants/],
    [{ handOff: { maxGrants: 1.5 } }, /handOff\.maxGrants/],
    [{ requestTimeoutMs: 0 }, /requestTimeoutMs/],
    [{ leaseMs: Number.POSITIVE_INFINITY }, /leaseMs/],
    [{ leaseMs: 2 ** 31 }, /leaseMs/],
    [{ leaseMs: 2 }, /leaseMs must be more than the drift of 2\.02 ms, but is 2/],
    [{ leaseMs: 100, driftMs: 100 }, /leaseMs/],
    [{ timeoutMs: -1 }, /timeoutMs/],
  ])('%j are refused', (options, message) => {
    expect(() => leaseLocker(memoryLeases(), options)).toThrow(RangeError);
    expect(() => leaseLocker(memoryLeases(), options)).toThrow(message);
  });

  it('are checked per acquisition, too', async () => {
    const locks = leaseLocker(memoryLeases(), { driftMs: 10 });
    await expect(locks.acquire('k', { leaseMs: 10 })).rejects.toThrow(/leaseMs/);
    await expect(locks.acquire('k', { leaseMs: Number.POSITIVE_INFINITY })).rejects.toThrow(RangeError);
    expect((await locks.acquire('k', { maxHoldMs: Number.POSITIVE_INFINITY })).held).toBe(true);
  });

  it('need a driver that is one', () => {
    const { acquire, renew, release, modes } = memoryLeases();
    for (const driver of [undefined, {}, { acquire, renew, modes }, { acquire, renew, release }]) {
      expect(() => leaseLocker(driver as unknown as LeaseDriver)).toThrow(TypeError);
    }
  });
});
