import type { LockMode } from '@chunks/locks';
import type { LeaseDriver } from '@chunks/locks/lease';
import type { LeaseFault } from '@chunks/locks/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Attempt, bare, LeaseWorld } from '../lease-model.ts';

const who = fc.nat(2);
const key = fc.constantFrom('a', 'a', 'b');
const mode = fc.constantFrom<LockMode>('exclusive', 'exclusive', 'shared');
const leaseMs = fc.constantFrom(60, 200, 2_000);
const maxHoldMs = fc.constantFrom(undefined, 90, 100_000);
const timeoutMs = fc.oneof(fc.constant(undefined), fc.integer({ min: 0, max: 300 }));
const pick = fc.nat(1_000);
const ms = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 40, max: 3_000 }));

const calm = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('acquire'), who, key, mode, leaseMs, maxHoldMs, timeoutMs }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('try'), who, key, mode, leaseMs, maxHoldMs }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('release'), pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('abort'), pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('extend'), pick, leaseMs }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('pass'), ms }) },
);
const wild = fc.oneof(
  { weight: 18, arbitrary: calm },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('stop'), who }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('go on'), who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cut off'), who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('heal'), who }) },
);
type Step = typeof wild extends fc.Arbitrary<infer S> ? S : never;

/** What the network does to calls, one after the other, over and over. */
const fault: fc.Arbitrary<LeaseFault | undefined> = fc.oneof(
  { weight: 6, arbitrary: fc.constant(undefined) },
  { weight: 4, arbitrary: fc.record({ requestMs: fc.nat(40), replyMs: fc.nat(40) }) },
  { weight: 2, arbitrary: fc.constantFrom('unreachable' as const, 'reply lost' as const) },
  { weight: 1, arbitrary: fc.record({ replyMs: fc.constantFrom(Number.POSITIVE_INFINITY, 500) }) },
);

const use = ({ mode, leaseMs, maxHoldMs }: { mode: LockMode; leaseMs: number; maxHoldMs: number | undefined }) => ({
  mode,
  leaseMs,
  maxHoldMs,
});

async function play(world: LeaseWorld, one: Step, faults: readonly (LeaseFault | undefined)[]): Promise<void> {
  const chosen = (from: Attempt[], pick: number): Attempt | undefined => from[pick % Math.max(1, from.length)];
  const process = 'who' in one ? world.processes[one.who % world.processes.length] : undefined;
  if (one.do === 'acquire') world.acquire(one.who, one.key, { ...use(one), timeoutMs: one.timeoutMs });
  if (one.do === 'try') world.tryAcquire(one.who, one.key, use(one));
  if (one.do === 'release') void world.release(chosen(world.with('held'), one.pick));
  if (one.do === 'abort') chosen(world.with('waiting'), one.pick)?.controller.abort(new Error('enough'));
  if (one.do === 'extend') {
    const extended = chosen(world.with('held'), one.pick)?.lock?.extend(one.leaseMs);
    extended?.catch(({ code }) => expect(code).toMatch(/^LOCK_(LOST|UNAVAILABLE)$/));
  }
  if (one.do === 'pass') await world.clock.advance(one.ms);
  if (one.do === 'stop') process?.clock.stop();
  if (one.do === 'go on') process?.clock.goOn();
  if (one.do === 'cut off' && process) process.fault = () => 'unreachable';
  if (one.do === 'heal' && process) process.fault = ({ count }) => faults[count % Math.max(1, faults.length)];
}

const ticks = (step: fc.Arbitrary<Step>): fc.Arbitrary<Step[][]> =>
  fc.array(fc.array(step, { minLength: 1, maxLength: 3 }), { maxLength: 40 });

describe('several processes on one store', () => {
  it.each([
    ['all calm', calm, (driver: LeaseDriver) => driver],
    ['a bad network, and processes that stand still', wild, (driver: LeaseDriver) => driver],
    ['the same, on a store that keeps no line and tells of nothing', wild, bare],
  ])('never do what they must not, and leave nothing behind: %s', async (_, step, alter) => {
    await fc.assert(
      fc.asyncProperty(ticks(step as typeof wild), fc.array(fault, { maxLength: 20 }), async (rounds, faults) => {
        const world = new LeaseWorld(3, { handOff: { maxGrants: 3 }, requestTimeoutMs: 100 }, alter);
        for (const steps of rounds) {
          for (const one of steps) await play(world, one, faults);
          await world.check();
        }
        await world.end();
      }),
      { numRuns: 300 },
    );
  });
});
