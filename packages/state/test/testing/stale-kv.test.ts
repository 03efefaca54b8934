import { VirtualClock } from '@chunks/base';
import { seededRandom } from '@chunks/base/testing';
import { type StaleKvOptions, staleKv } from '@chunks/state/testing';
import type { KvNamespace } from '@chunks/state/workers-kv';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../../.ci/testing/runs.ts';

const LAG_MS = 60_000;

function world(seed: number, o: StaleKvOptions = {}) {
  const clock = new VirtualClock();
  const kv = staleKv({ clock, random: seededRandom(seed), colos: 3, ...o });
  return { clock, kv, colos: kv.colos as readonly [KvNamespace, KvNamespace, KvNamespace] };
}

const namesOf = async (colo: KvNamespace, prefix = ''): Promise<string[]> => {
  const names: string[] = [];
  for (let cursor: string | undefined, isFirst = true; isFirst || cursor !== undefined; isFirst = false) {
    const page = await colo.list({ prefix, cursor });
    names.push(...page.keys.map(({ name }) => name));
    cursor = page.cursor;
  }
  return names;
};

describe('staleKv', () => {
  test('shows each key as it was at some instant of the last minute, and nothing else', async () => {
    const step = fc.record({
      key: fc.constantFrom('a', 'b'),
      colo: fc.nat({ max: 2 }),
      do: fc.constantFrom('put', 'delete', 'get', 'list'),
      waitMs: fc.oneof(fc.nat({ max: 3_000 }), fc.nat({ max: 70_000 })),
    });
    let stale = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), fc.nat(), async (program, seed) => {
        const { clock, kv } = world(seed);
        const history: Record<string, { atMs: number; value: string | null }[]> = { a: [], b: [] };
        const possible = (key: string): (string | null)[] => {
          const changes = [{ atMs: 0, value: null }, ...(history[key] ?? [])];
          return changes
            .filter((_, i) => (changes[i + 1]?.atMs ?? Number.POSITIVE_INFINITY) > clock.now() - LAG_MS)
            .map(({ value }) => value);
        };
        for (const [i, one] of program.entries()) {
          const colo = kv.colos[one.colo] as KvNamespace;
          if (one.do === 'get') {
            const value = await colo.get(one.key, 'text');
            expect(possible(one.key)).toContain(value);
            if (value !== possible(one.key).at(-1)) stale++;
          } else if (one.do === 'list') {
            const names = await namesOf(colo);
            for (const key of ['a', 'b']) {
              const shows = possible(key).map((value) => value !== null);
              expect(shows).toContain(names.includes(key));
            }
          } else {
            const value = one.do === 'put' ? `value ${i}` : null;
            const writing = value === null ? colo.delete(one.key) : colo.put(one.key, value);
            const last = history[one.key]?.at(-1);
            if (last !== undefined && clock.now() - last.atMs < 1_000) {
              await expect(writing).rejects.toThrow('429 Too Many Requests');
            } else {
              await writing;
              history[one.key]?.push({ atMs: clock.now(), value });
            }
          }
          await clock.advance(one.waitMs);
        }
        await clock.advance(LAG_MS);
        for (const colo of kv.colos) {
          expect(await namesOf(colo)).toEqual([...kv.truth().keys()].sort());
          for (const key of ['a', 'b']) {
            expect(await colo.get(key, 'text')).toBe(history[key]?.at(-1)?.value ?? null);
            expect(await colo.get(key, 'text')).toBe(kv.truth().get(key) ?? null);
          }
        }
      }),
      { numRuns: runs(50) },
    );
    expect(stale).toBeGreaterThan(runs(50) / 5);
  });

  test('a place keeps an answer: what was looked for too early stays missing, what was deleted stays, for a while', async () => {
    let missing = 0;
    let standing = 0;
    let listedApart = 0;
    for (let seed = 0; seed < 50; seed++) {
      const { clock, colos } = world(seed);
      const [here, there] = colos;
      await here.get('a', 'text');
      await here.put('a', 'one');
      if ((await here.get('a', 'text')) === null) missing++;
      await clock.advance(30_000);
      if ((await namesOf(there)).includes('a') !== ((await there.get('a', 'text')) !== null)) listedApart++;
      await clock.advance(30_000);
      expect([await here.get('a', 'text'), await there.get('a', 'text')]).toEqual(['one', 'one']);
      await here.delete('a');
      await clock.advance(10_000);
      if ((await there.get('a', 'text')) === 'one') standing++;
    }
    for (const count of [missing, standing, listedApart]) expect(count).toBeGreaterThan(5);
  });

  test('takes one write of a key in a second, a deletion is one, and counts what it refused', async () => {
    const { clock, kv, colos } = world(1);
    await colos[0].put('a', 'one');
    await expect(colos[1].put('a', 'two')).rejects.toThrow('KV PUT failed: 429 Too Many Requests');
    await expect(colos[2].delete('a')).rejects.toThrow('KV DELETE failed: 429 Too Many Requests');
    await colos[1].put('b', 'other');
    await clock.advance(999);
    await expect(colos[0].put('a', 'two')).rejects.toThrow('429');
    await clock.advance(1);
    await colos[0].put('a', 'two');
    expect(Object.fromEntries(kv.truth())).toEqual({ a: 'two', b: 'other' });
    expect(kv.counts).toEqual({ get: 0, put: 5, list: 0, delete: 1, refused: 3 });
  });

  test('lists page by page, in order', async () => {
    const { clock, kv, colos } = world(1, { pageSize: 3 });
    const keys = Array.from({ length: 8 }, (_, i) => `p/${7 - i}`);
    for (const key of [...keys, 'q/1']) await colos[0].put(key, 'v');
    await clock.advance(LAG_MS);
    expect(await namesOf(colos[1], 'p/')).toEqual(keys.sort());
    expect(kv.counts.list).toBe(3);
  });

  test('calls take time and overtake each other', async () => {
    const { clock, kv, colos } = world(3, { latencyMs: 100, writeEveryMs: 0 });
    const order: number[] = [];
    const writes = Array.from({ length: 10 }, (_, i) => colos[0].put(`k${i}`, 'v').then(() => order.push(i)));
    await clock.advance(0);
    expect(kv.truth().size).toBe(0);
    await clock.advance(200);
    await Promise.all(writes);
    expect(order).not.toEqual([...order].sort((a, b) => a - b));
  });

  test('the same random makes the same run', async () => {
    const shown = async (seed: number): Promise<unknown[]> => {
      const { clock, colos } = world(seed);
      const answers: unknown[] = [];
      for (let i = 0; i < 20; i++) {
        await colos[0].put('a', String(i));
        await clock.advance(7_000);
        answers.push(await colos[1].get('a', 'text'), (await namesOf(colos[2])).length);
      }
      return answers;
    };
    expect(await shown(1)).toEqual(await shown(1));
    expect(await shown(1)).not.toEqual(await shown(2));
  });

  test('without lag it shows everything at once', async () => {
    const { colos } = world(1, { lagMs: 0 });
    await colos[0].get('a', 'text');
    await colos[0].put('a', 'one');
    expect([await colos[1].get('a', 'text'), await namesOf(colos[2])]).toEqual(['one', ['a']]);
  });

  test.each([
    [{ colos: 0 }, 'colos must be an integer ≥ 1, but is 0'],
    [{ lagMs: -1 }, 'lagMs must be a number ≥ 0, but is -1'],
    [{ writeEveryMs: Number.NaN }, 'writeEveryMs must be a number ≥ 0, but is NaN'],
    [{ pageSize: 1.5 }, 'pageSize must be an integer ≥ 1, but is 1.5'],
    [{ latencyMs: '1' as never }, 'latencyMs must be a number, but is "1"'],
    [{ random: 4 as never }, 'random must be a function, but is 4'],
  ])('refuses %j', (options, message) => {
    expect(() => staleKv(options)).toThrow(message);
  });
});
