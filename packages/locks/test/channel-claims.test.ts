import { describe, expect, it } from 'vitest';
import { claimChannel } from '../src/channel-claims.ts';

describe('claims of a channel', () => {
  it('only the last one given up may end it, in whatever order', () => {
    const connection = {};
    const [first, second, third] = [1, 2, 3].map(() => claimChannel(connection, 'x'));
    expect([second?.(), first?.(), third?.()]).toEqual([false, false, true]);
    expect(claimChannel(connection, 'x')()).toBe(true);
  });

  it('count once, however often they are given up', () => {
    const connection = {};
    const [first, second] = [claimChannel(connection, 'x'), claimChannel(connection, 'x')];
    expect([first(), first(), first(), second(), second()]).toEqual([false, false, false, true, false]);
  });

  it('know nothing of other channels and other connections', () => {
    const [one, other] = [{}, {}];
    const claims = [claimChannel(one, 'x'), claimChannel(one, 'y'), claimChannel(other, 'x')];
    expect(claims.map((giveUp) => giveUp())).toEqual([true, true, true]);
  });
});
