import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../../../.ci/testing/runs.ts';
import { KeyLine, type KeyRecord } from '../../../src/adapters/durable-object/key-line.ts';

const START_MS = 1_700_000_000_000;

describe('KeyLine', () => {
  test('what is asked for is written down every five seconds, and counts at once', () => {
    const line = new KeyLine(undefined);
    line.acquire('a', 600_000, START_MS);
    line.acquire('b', 1_000, START_MS);
    expect(line.takeChange()).toEqual({ isChanged: true, isFreed: false });
    const changes: number[] = [];
    for (let ms = 1_000; ms <= 14_000; ms += 1_000) {
      line.acquire('b', 1_000, START_MS + ms);
      if (line.takeChange().isChanged) changes.push(ms);
    }
    expect(changes).toEqual([5_000, 10_000]);
    line.settle(START_MS + 28_999);
    expect(line.record.line).toHaveLength(1);
    line.settle(START_MS + 29_000);
    expect(line.record.line).toHaveLength(0);
    expect(line.takeChange()).toEqual({ isChanged: true, isFreed: false });
  });

  test('another lease asked for is written down', () => {
    const line = new KeyLine(undefined);
    line.acquire('a', 60_000, START_MS);
    line.acquire('b', 1_000, START_MS);
    line.takeChange();
    line.acquire('b', 1_500, START_MS);
    expect(line.takeChange().isChanged).toBe(true);
    line.release('a', line.record.token, START_MS);
    expect(line.record).toMatchObject({ holder: 'b', endsMs: START_MS + 1_500, isUnclaimed: true });
  });

  test('a line has an end: who comes later gets no place, until there is room', () => {
    const line = new KeyLine(undefined);
    line.acquire('a', 60_000, START_MS);
    for (let i = 0; i < 500; i++) expect(line.acquire(`w${i}`, 1_000, START_MS)).toMatchObject({ queued: true });
    expect(line.acquire('late', 1_000, START_MS)).toEqual({ busy: true, holder: 'a', retryAfterMs: 60_000 });
    expect(line.acquire('w7', 1_000, START_MS)).toMatchObject({ queued: true });
    line.release('w3', 0, START_MS);
    expect(line.acquire('late', 1_000, START_MS)).toMatchObject({ queued: true });
    // Storage of the older kind takes 128 KiB in one value.
    const fullest = structuredClone(line.record);
    for (const place of fullest.line) Object.assign(place, { holder: 'h'.repeat(64) });
    expect(JSON.stringify(fullest).length).toBeLessThan(128 * 1_024);
  });

  test('says when time alone has something to do', () => {
    const line = new KeyLine(undefined);
    expect(line.inspect(START_MS)).toBe(undefined);
    expect(line.dueMs).toBe(Number.POSITIVE_INFINITY);
    line.acquire('a', 5_000, START_MS);
    expect(line.dueMs).toBe(START_MS + 86_400_000);
    line.acquire('b', 5_000, START_MS);
    expect(line.dueMs).toBe(START_MS + 5_000);
    line.release('b', 0, START_MS);
    line.renew('a', START_MS, 172_800_000, START_MS);
    expect(line.dueMs).toBe(START_MS + 172_800_000);
    expect(line.isOld(START_MS + 172_800_000)).toBe(false);
    line.release('a', START_MS, START_MS);
    expect(line.dueMs).toBe(START_MS + 86_400_000);
    expect([line.isOld(START_MS + 86_399_999), line.isOld(START_MS + 86_400_000)]).toEqual([false, true]);
  });
});

type Step =
  | { do: 'ask'; holder: string; leaseMs: number }
  | { do: 'renew' | 'release' | 'leave' | 'release with an old token'; holder: string }
  | { do: 'pass'; ms: number }
  | { do: 'evict' };

const holder = fc.constantFrom('a', 'b', 'c', 'd');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('ask' as const), holder, leaseMs: fc.constantFrom(1_000, 20_000) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constantFrom('renew', 'release', 'leave', 'release with an old token'), holder }),
  },
  // What is written down of being asked for is in steps of five seconds: so are these.
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(0, 5_000, 10_000, 15_000) }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'evict' as const }) },
);

/** The rules, as plainly as they can be said. */
class Rules {
  lease: { holder: string; token: number; endsMs: number; isUnclaimed: boolean } | undefined;
  line: { holder: string; leaseMs: number; askedMs: number }[] = [];
  token = 0;

  settle(nowMs: number): void {
    this.line = this.line.filter(({ askedMs }) => nowMs - askedMs < 15_000);
    if (this.lease && this.lease.endsMs <= nowMs) this.next(nowMs);
  }

  next(nowMs: number): void {
    const [first, ...others] = this.line;
    this.lease = undefined;
    this.line = others;
    if (first) this.give(first.holder, nowMs, Math.min(2_000, first.leaseMs), true);
  }

  give(holder: string, nowMs: number, leaseMs: number, isUnclaimed: boolean): void {
    this.token = Math.max(this.token + 1, nowMs);
    this.lease = { holder, token: this.token, endsMs: nowMs + leaseMs, isUnclaimed };
  }

  ask(holder: string, leaseMs: number, nowMs: number): unknown {
    this.settle(nowMs);
    if (!this.lease) this.give(holder, nowMs, leaseMs, false);
    if (this.lease?.holder === holder) {
      Object.assign(this.lease, { endsMs: nowMs + leaseMs, isUnclaimed: false });
      return { token: this.lease.token };
    }
    const place = this.line.find((one) => one.holder === holder);
    if (place) Object.assign(place, { askedMs: nowMs, leaseMs });
    else this.line.push({ holder, leaseMs, askedMs: nowMs });
    return {
      busy: true,
      holder: this.lease?.holder,
      retryAfterMs: (this.lease?.endsMs ?? 0) - nowMs,
      queued: true,
    };
  }

  renew(holder: string, token: number, nowMs: number): unknown {
    this.settle(nowMs);
    if (this.lease?.holder !== holder || this.lease.token !== token) return false;
    Object.assign(this.lease, { endsMs: nowMs + 20_000, isUnclaimed: false });
    return this.line.length === 0 ? true : { contended: true };
  }

  release(holder: string, token: number, nowMs: number): unknown {
    this.settle(nowMs);
    const isOurs = this.lease?.holder === holder && this.lease.token === token;
    const isHandedOn = token === 0 && this.lease?.holder === holder && this.lease.isUnclaimed;
    if (token === 0) this.line = this.line.filter((one) => one.holder !== holder);
    if (isOurs || isHandedOn) this.next(nowMs);
    return isOurs;
  }
}

/** The line as an object keeps it: gone from memory at any time, and then as it was last stored. */
class Kept {
  line: KeyLine = new KeyLine(undefined);
  #stored: KeyRecord | undefined;

  do<T>(work: (line: KeyLine) => T): T {
    const answer = work(this.line);
    if (this.line.takeChange().isChanged) this.#stored = structuredClone(this.line.record);
    return answer;
  }

  evict(): void {
    this.line = new KeyLine(structuredClone(this.#stored));
  }
}

test('any program: the rules hold, evictions or not', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let nowMs = START_MS;
      const [rules, kept] = [new Rules(), new Kept()];
      const tokens = new Map<string, number>();
      for (const one of steps) {
        if (one.do === 'pass') nowMs += one.ms;
        else if (one.do === 'evict') kept.evict();
        else if (one.do === 'ask') {
          const answer = kept.do((line) => line.acquire(one.holder, one.leaseMs, nowMs));
          expect(answer).toEqual(rules.ask(one.holder, one.leaseMs, nowMs));
          if ('token' in answer) tokens.set(one.holder, answer.token);
        } else {
          const last = tokens.get(one.holder) ?? 1;
          const token = one.do === 'leave' ? 0 : last - (one.do === 'release with an old token' ? 1 : 0);
          if (one.do === 'renew') {
            expect(kept.do((line) => line.renew(one.holder, token, 20_000, nowMs))).toEqual(
              rules.renew(one.holder, token, nowMs),
            );
          } else {
            expect(kept.do((line) => line.release(one.holder, token, nowMs))).toBe(
              rules.release(one.holder, token, nowMs),
            );
          }
        }
        rules.settle(nowMs);
        const { lease } = rules;
        const state = lease && { holder: lease.holder, mode: 'exclusive', expiresInMs: lease.endsMs - nowMs };
        expect(kept.do((line) => line.inspect(nowMs))).toEqual(state);
      }
    }),
    { numRuns: runs(1_000) },
  );
});
