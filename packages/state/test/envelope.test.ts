import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../../../.ci/testing/runs.ts';
import { absent, type Base, bytesOf, checkSize, follow, isApplied, pack, unpack, versionOf } from '../src/envelope.ts';

const remember = { commits: 64, keys: 256, maxBytes: 16_384 };
const asBase = (contents: Omit<Base, 'revision' | 'asOf'>): Base => ({
  ...contents,
  revision: String(contents.version),
  asOf: 0,
});
const write = (base: Base, writeId: string, commits: number): Base =>
  asBase(follow('k', base, { shape: 0, json: '{}', writeId, applied: [], remember: { ...remember, commits } }));

describe('pack and unpack', () => {
  test('come back to each other, the state as it is', () => {
    fc.assert(
      fc.property(
        fc.option(
          fc.jsonValue().map((value) => ({ value })),
          { nil: undefined },
        ),
        fc.array(fc.string()),
        (state, recent) => {
          const json = state && JSON.stringify(state);
          const contents = {
            shape: 0,
            version: 3,
            json,
            writeId: 'w.1',
            recent,
            forgotten: 1,
            applied: [{ key: 'a', version: 2, result: [1] }],
          };
          expect(unpack('k', { value: pack(contents), revision: 'r' }, 9)).toEqual({
            ...contents,
            parsed: json && { state: JSON.parse(json) },
            revision: 'r',
            asOf: 9,
          });
        },
      ),
    );
  });
  test('the text is one JSON document with the fields that other tools look for', () => {
    const value = pack({
      shape: 0,
      version: 3,
      json: '{"n":1}',
      writeId: 'w.1',
      recent: [],
      forgotten: 0,
      applied: [],
    });
    expect(JSON.parse(value)).toEqual({
      format: 1,
      shape: 0,
      version: 3,
      writeId: 'w.1',
      recent: [],
      forgotten: 0,
      applied: [],
      state: { n: 1 },
    });
  });
  test('a deleted record has a version of its own, which no caller sees', () => {
    const value = pack({
      shape: 0,
      version: 3,
      json: undefined,
      writeId: 'w.1',
      recent: [],
      forgotten: 0,
      applied: [],
    });
    const base = unpack('k', { value, revision: 'r' }, 0);
    expect([base.version, versionOf(base), versionOf(absent(0))]).toEqual([3, 0, 0]);
  });
});

test('isApplied never errs: it says yes or no only where that is so, whoever wrote in between', () => {
  let unknown = 0;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat({ max: 6 }), fc.constantFrom(1, 2, 3, 64)), { maxLength: 30 }),
      fc.array(fc.tuple(fc.nat({ max: 6 }), fc.constantFrom(1, 2, 3, 64)), { maxLength: 30 }),
      fc.boolean(),
      (before, after, mine) => {
        let count = 0;
        const writeAll = (base: Base, writers: typeof before) =>
          writers.reduce((last, [writer, commits]) => write(last, `w${writer}.${++count}`, commits), base);
        const base = writeAll(absent(0), before);
        const written = mine ? write(base, 'mine.1', 2) : write(base, 'other.1', 2);
        const found = writeAll(written, after);
        const answer = isApplied('mine.1', base, found);
        if (answer === undefined) unknown++;
        else expect(answer).toBe(mine);
        expect(found.recent.length).toBeLessThanOrEqual(64);
      },
    ),
    { numRuns: runs(500) },
  );
  expect(unknown).toBeGreaterThan(0);
});

test('while fewer writers than remembered take part, it always knows', () => {
  let base = absent(0);
  base = write(base, 'mine.1', 4);
  const before = base;
  base = write(base, 'mine.2', 4);
  for (let i = 0; i < 1_000; i++) base = write(base, `w${i % 4}.${i}`, 4);
  expect(isApplied('mine.2', before, base)).toBe(true);
  expect(isApplied('mine.3', before, base)).toBe(false);
});

test('bytesOf counts UTF-8', () => {
  expect(bytesOf('aé😀')).toBe(1 + 2 + 4);
});

test('a record is too large when its bytes are more than the limit, whatever letters it is written in', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'é', '€', '😀'), maxLength: 40 });
  fc.assert(
    fc.property(text, text, fc.integer({ min: -60, max: 60 }), (state, writeId, room) => {
      const contents = { ...absent(0), json: JSON.stringify(state), writeId };
      const bytes = bytesOf(pack(contents));
      const limit = bytes + room;
      if (room >= 0) expect(checkSize('key', contents, limit)).toBe(contents);
      else expect(() => checkSize('key', contents, limit)).toThrow(`has ${bytes} bytes, the limit is ${limit}`);
    }),
  );
});
