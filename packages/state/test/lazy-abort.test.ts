import { expect, test } from 'vitest';
import { LazyAbort } from '../src/lazy-abort.ts';

test('the signal is one and the same, and aborts with the first reason, asked for before or after', () => {
  for (const before of [true, false]) {
    const abort = new LazyAbort();
    const early = before ? abort.signal : undefined;
    expect(early?.aborted ?? false).toBe(false);
    abort.abort('first');
    abort.abort('second');
    expect([abort.signal.aborted, abort.signal.reason]).toEqual([true, 'first']);
    expect(abort.signal).toBe(early ?? abort.signal);
  }
});
