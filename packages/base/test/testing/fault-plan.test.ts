import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FaultPlan, Speech } from '../../src/testing/fault-plan.ts';

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

test('each n-th request that says the text is struck, however the bytes are cut into packets', () => {
  const words = fc.array(fc.constantFrom('SET', 'GET', 'SE', 'T', 'ä', ' '), { maxLength: 40 });
  fc.assert(
    fc.property(
      words,
      fc.integer({ min: 1, max: 4 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
      (w, n, cuts) => {
        const bytes = bytesOf(w.join(''));
        const [plan, speech] = [new FaultPlan('SET', n, false), new Speech()];
        let said = '';
        let heard = 0;
        for (let at = 0; at < bytes.length; ) {
          const size = cuts.next().value as number;
          const packet = bytes.subarray(at, at + size);
          at += size;
          said += new TextDecoder('latin1').decode(packet);
          const now = said.split('SET').length - 1;
          speech.hear(packet);
          expect(plan.strikes(speech)).toBe(Math.floor(now / n) > Math.floor(heard / n));
          heard = now;
        }
      },
    ),
  );
});

test('one that is meant once strikes once', () => {
  const [plan, speech] = [new FaultPlan('x', 1, true), new Speech()];
  const struck = ['a', 'x', 'x', 'xx'].map((packet) => {
    speech.hear(bytesOf(packet));
    return plan.strikes(speech);
  });
  expect(struck).toEqual([false, true, false, false]);
});

test('a text beyond ASCII is found by its bytes, also in two packets', () => {
  const [plan, speech] = [new FaultPlan('schlüssel 🔑', 1, false), new Speech()];
  const bytes = bytesOf('… schlüssel 🔑');
  speech.hear(bytes.subarray(0, bytes.length - 2));
  expect(plan.strikes(speech)).toBe(false);
  speech.hear(bytes.subarray(bytes.length - 2));
  expect(plan.strikes(speech)).toBe(true);
});

test('what lies far back is forgotten, and nothing counts twice for it', () => {
  const [plan, speech] = [new FaultPlan('x', 2, false), new Speech()];
  speech.hear(bytesOf('x'));
  expect(plan.strikes(speech)).toBe(false);
  for (let i = 0; i < 10; i++) {
    speech.hear(bytesOf('.'.repeat(1_000)));
    expect(plan.strikes(speech)).toBe(false);
  }
});
