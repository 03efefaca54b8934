import { DatabaseSync } from 'node:sqlite';
import { VirtualClock } from '@chunks/base/testing';
import { type LeaseDriver, memoryLeases } from '@chunks/locks/lease';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LeaseTable } from '../../../src/adapters/sqlite/lease-table.ts';

const DAY_MS = 86_400_000;

interface Bench {
  readonly clock: VirtualClock;
  readonly database: DatabaseSync;
  readonly table: LeaseTable;
  /** The smallest driver, which the table must equal in every answer. */
  readonly model: LeaseDriver;
}

function bench(): Bench {
  const clock = new VirtualClock();
  const database = new DatabaseSync(':memory:');
  return { clock, database, table: new LeaseTable(database), model: memoryLeases({ clock }) };
}

const { signal } = new AbortController();
const KEYS = ['key', 'other'];
const HOLDERS = ['a', 'b', 'c', 'd'];
/** Of each holder's own, so that both keep the same in the line. */
const LEASES_MS: Record<string, number> = { a: 1, b: 1_500, c: 5_000, d: 60_000 };

const where = { key: fc.constantFrom(...KEYS), holder: fc.constantFrom(...HOLDERS) };
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('acquire' as const), ...where }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('renew' as const), ...where }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('release' as const), ...where }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), ...where }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('inspect' as const), ...where }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      ms: fc.constantFrom(0, 1, 999, 1_500, 2_000, 7_000, 15_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('turn back' as const), ms: fc.constantFrom(1, 1_000, 10_000) }) },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Both do the step. @returns what each says */
async function take(at: Bench, one: Step, tokens: Map<string, number>): Promise<[table: unknown, model: unknown]> {
  const { clock, table, model } = at;
  const nowMs = clock.now();
  if (one.do === 'pass') await clock.advance(one.ms);
  if (one.do === 'turn back') clock.jump(-one.ms);
  if (one.do === 'pass' || one.do === 'turn back') return [undefined, undefined];
  const { key, holder } = one;
  const leaseMs = LEASES_MS[holder] as number;
  const token = tokens.get(`${key} ${holder}`) ?? 0;
  switch (one.do) {
    case 'acquire': {
      const answer = table.acquire(key, holder, leaseMs, nowMs);
      if ('token' in answer) tokens.set(`${key} ${holder}`, answer.token);
      return [answer, await model.acquire(key, holder, leaseMs, { mode: 'exclusive', signal })];
    }
    case 'renew':
      return [table.renew(key, holder, token, leaseMs, nowMs), await model.renew(key, holder, token, leaseMs)];
    case 'release':
      return [table.release(key, holder, token, nowMs), await model.release(key, holder, token)];
    case 'leave': {
      // The table also takes a lease that was asked for, and its answer lost; the model only one that nobody asked for.
      const left = table.release(key, holder, 0, nowMs);
      await model.release(key, holder, token);
      return [left, await model.release(key, holder, 0)];
    }
    default:
      return [table.inspect(key, nowMs), await model.inspect?.(key)];
  }
}

describe('the table', () => {
  test('gives every answer that leases in memory give, over any program', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const at = bench();
        const tokens = new Map<string, number>();
        for (const one of steps) {
          const [said, expected] = await take(at, one, tokens);
          expect(said, JSON.stringify(one)).toEqual(expected);
        }
        at.database.close();
      }),
      { numRuns: 300 },
    );
  });

  test('a lease that was seen to have ended does not revive when the clock is set back', () => {
    const { clock, table } = bench();
    const nowMs = clock.now();
    const granted = table.acquire('key', 'a', 1_000, nowMs);
    const token = 'token' in granted ? granted.token : 0;
    expect(table.inspect('key', nowMs + 1_000)).toBe(undefined);
    expect(table.renew('key', 'a', token, 1_000, nowMs)).toBe(false);
    expect(table.inspect('key', nowMs)).toBe(undefined);
  });

  test('holds apart keys that are the same in UTF-8', () => {
    const { clock, table } = bench();
    for (const [i, key] of ['\ud800', '\udfff', '\ufffd', '\\ud800'].entries()) {
      expect(table.acquire(key, `holder ${i}`, 1_000, clock.now())).toEqual({ token: clock.now() });
    }
  });

  test('tells which keys were freed or handed on, and no others', () => {
    const { clock, table } = bench();
    const nowMs = clock.now();
    const freed = (work: () => unknown): string[] => {
      work();
      return [...table.takeFreed()];
    };
    expect(freed(() => table.acquire('key', 'a', 1_000, nowMs))).toEqual([]);
    expect(freed(() => table.acquire('key', 'b', 1_000, nowMs))).toEqual([]);
    expect(freed(() => table.release('key', 'c', 0, nowMs))).toEqual([]);
    expect(freed(() => table.release('key', 'a', nowMs, nowMs))).toEqual(['key']);
    expect(freed(() => table.renew('key', 'b', nowMs + 1, 1_000, nowMs))).toEqual([]);
    expect(freed(() => table.inspect('key', nowMs + 1_000))).toEqual(['key']);
    expect(freed(() => table.inspect('key', nowMs + 1_000))).toEqual([]);
  });

  test('records go when their token is a day old and new keys come; live leases and young tokens stay', () => {
    const { clock, database, table } = bench();
    const nowMs = clock.now();
    const keys = (): string[] =>
      database
        .prepare('SELECT key FROM chunks_leases ORDER BY key')
        .all()
        .map(({ key }) => key as string);
    for (let i = 0; i < 10; i++) table.acquire(`old ${i}`, 'a', 1_000, nowMs);
    table.acquire('long', 'a', 10 * DAY_MS, nowMs);
    // Three who died in the line: one is handed the key, two are left.
    for (const holder of ['b', 'c', 'd']) table.acquire('old 0', holder, 1_000, nowMs);
    table.acquire('young', 'a', 1_000, nowMs + 10_000);
    const laterMs = nowMs + DAY_MS + 5_000;
    for (let i = 0; i < 4; i++) table.acquire(`new ${i}`, 'a', 1_000, laterMs);
    expect(keys()).toEqual(['long', 'new 0', 'new 1', 'new 2', 'new 3', 'old 8', 'old 9', 'young']);
    expect(database.prepare('SELECT count(*) AS n FROM chunks_lease_line').get()).toEqual({ n: 0 });
    // A key that comes back costs no sweep, a token of a day ago less one ms stays.
    table.acquire('young', 'a', 1_000, laterMs);
    expect(keys()).toContain('old 8');
    for (let i = 4; i < 9; i++) table.acquire(`new ${i}`, 'a', 1_000, laterMs);
    expect(keys().filter((key) => key.startsWith('old'))).toEqual([]);
    expect(keys()).toContain('long');
  });
});
