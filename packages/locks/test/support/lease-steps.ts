import type { LeaseDriver } from '@chunks/locks/lease';
import fc from 'fast-check';
import { expect } from 'vitest';
import { ask, LONG_MS, take } from '../../src/testing/lease-bench.ts';

export { ask, LONG_MS, take };

/** Real time, because a real server keeps it. At least so much by the wall clock, which timers may be early by. */
export async function pass(ms: number): Promise<void> {
  const untilMs = Date.now() + ms;
  do await new Promise((resolve) => setTimeout(resolve, untilMs - Date.now()));
  while (Date.now() < untilMs);
}

export async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let i = 0; i < 1_000; i++) {
    if (await isSo()) return;
    await pass(20);
  }
  throw new Error(`never came: ${what}`);
}

/** The token of a grant that must come, however long the client takes to find its server again. */
export async function takeInTheEnd(driver: LeaseDriver, key: string, holder: string): Promise<number> {
  let token = 0;
  await until(async () => {
    token = await take(driver, key, holder).catch(() => 0);
    return token > 0;
  }, `a grant of ${key}`);
  return token;
}

export async function watching(driver: LeaseDriver, key: string): Promise<{ wakes: number; stop(): void }> {
  const heard = { wakes: 0, stop: (): void => undefined };
  if (driver.watch === undefined) throw new Error('the driver cannot watch');
  heard.stop = await driver.watch(key, () => {
    heard.wakes++;
  });
  return heard;
}

type Step = readonly ['acquire' | 'renew' | 'release' | 'inspect', driver: number, key: string, holder: string];

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.tuple(
    fc.constantFrom('acquire', 'acquire', 'renew', 'release', 'inspect'),
    fc.nat(1),
    fc.constantFrom('x', 'y'),
    fc.constantFrom('a', 'b', 'c'),
  ),
  { maxLength: 40 },
);

/**
 * Random programs through two drivers of one store, against the plainest model of leases that do not end.
 * @param prefix what makes each program's keys its own
 */
export async function agreesWithTheModel(drivers: readonly LeaseDriver[], prefix: string): Promise<void> {
  let program = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      program++;
      const held = new Map<string, { holder: string; token: number }>();
      const last = new Map<string, number>();
      // What each holder was given last: what it comes back with, whatever has happened since.
      const tokens = new Map<string, number>();
      for (const [what, index, letter, holder] of all) {
        const driver = drivers[index] as LeaseDriver;
        const key = `${prefix}${program} ${letter}`;
        const own = held.get(key);
        const isOurs = own?.holder === holder;
        const token = tokens.get(key + holder) ?? 0;
        if (what === 'acquire') {
          const answer = await ask(driver, key, holder);
          if (own && !isOurs) {
            expect(answer).toMatchObject({ busy: true, holder: own.holder });
            continue;
          }
          const given = 'token' in answer ? answer.token : 0;
          if (own) expect(given).toBe(own.token);
          else expect(given).toBeGreaterThan(last.get(key) ?? 0);
          held.set(key, { holder, token: given });
          last.set(key, given);
          tokens.set(key + holder, given);
        } else if (what === 'renew') {
          expect((await driver.renew(key, holder, token, LONG_MS)) !== false).toBe(isOurs && token === own.token);
        } else if (what === 'release') {
          expect(await driver.release(key, holder, token)).toBe(isOurs && token === own.token);
          if (isOurs && token === own.token) held.delete(key);
        } else {
          expect((await driver.inspect?.(key))?.holder).toBe(own?.holder);
        }
      }
    }),
    { numRuns: 40 },
  );
}
