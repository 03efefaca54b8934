import { VirtualClock } from '@chunks/base/testing';
import { describe, expect, test } from 'vitest';
import { Member, type Outcome, type Request } from '../src/member.ts';

function make(o: Partial<Request> = {}) {
  const clock = new VirtualClock();
  const ends: Outcome[] = [];
  const request: Request = {
    key: 'k',
    updater: () => undefined,
    maxAttempts: 1,
    timeoutMs: 100,
    signal: undefined,
    ifVersion: undefined,
    skipIfUnchanged: true,
    idempotencyKey: undefined,
    ...o,
  };
  const member = new Member({ request, arrival: 1, clock, done: (how) => ends.push(how) });
  return { clock, ends, member };
}

describe('Member', () => {
  test('settles once, and leaves no timer', async () => {
    const { clock, ends, member } = make();
    member.resolve('one');
    member.resolve('two');
    member.reject(new Error('three'));
    expect(clock.pending).toBe(0);
    await clock.advance(1_000);
    expect(ends).toEqual([{ value: 'one' }]);
  });

  test('out of time: UPDATE_TIMEOUT before it is sent, UPDATE_AMBIGUOUS after, UPDATE_TIMEOUT once it is known to have failed', async () => {
    const program = async (prepare: (member: Member) => void) => {
      const { clock, ends, member } = make();
      prepare(member);
      await clock.advance(100);
      return (ends[0] as { error: { code: string } }).error.code;
    };
    expect(await program(() => undefined)).toBe('UPDATE_TIMEOUT');
    expect(await program((member) => member.send(0))).toBe('UPDATE_AMBIGUOUS');
    expect(
      await program((member) => {
        member.send(0);
        member.unsend();
      }),
    ).toBe('UPDATE_TIMEOUT');
  });

  test('an abort while it is sent waits for the outcome', () => {
    const controller = new AbortController();
    const reason = new Error('gone');
    const { ends, member } = make({ signal: controller.signal });
    member.send(3);
    controller.abort(reason);
    expect(ends).toEqual([]);
    member.unsend();
    expect(ends).toEqual([{ error: reason }]);
  });

  test('the updater’s signal aborts when the call leaves, not when it is done', async () => {
    const left = make();
    const { signal } = left.member;
    await left.clock.advance(100);
    expect(signal.reason).toMatchObject({ code: 'UPDATE_TIMEOUT' });
    const done = make();
    done.member.resolve(1);
    expect(done.member.signal.aborted).toBe(false);
  });

  test('whileHere ends with the promise or with the call, and swallows what comes later', async () => {
    const { clock, member } = make();
    expect(await member.whileHere(Promise.resolve(1))).toBe(1);
    await expect(member.whileHere(Promise.reject(new Error('no')))).rejects.toThrow('no');
    const waiting = member.whileHere(clock.sleep(500).then(() => Promise.reject(new Error('later'))));
    await clock.advance(100);
    expect(await waiting).toBeUndefined();
    await clock.advance(1_000);
    expect(await member.whileHere(new Promise(() => undefined))).toBeUndefined();
  });

  test('an updater that looks at its signal only after the call left sees it aborted', async () => {
    const { clock, ends, member } = make();
    await clock.advance(100);
    expect(member.signal.aborted).toBe(true);
    expect(member.signal.reason).toBe((ends[0] as { error: unknown }).error);
  });
});
